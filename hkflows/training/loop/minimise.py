"""The training loop: optax steps scanned on the device, the host asked once a chunk."""

import contextlib
import dataclasses
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hkflows.sharding import fetch, place
from hkflows.training.loop.checkpoints import Checkpoints
from hkflows.training.loop.chunk import Objective, Params, Visit, chunk, first, light_chunk
from hkflows.training.loop.snapshot import Callback, Snapshot
from hkflows.training.optimizers import check_optimizer
from hkflows.training.signals import has_come, held_back
from hkflows.training.storage import digests
from hkflows.training.storage.arrays import raw

Array = jax.Array
# (steps done, scores so far, report of the best of them) -> the reason to stop, or `None`.
# The first score is that of the start.
StopRule = Callable[[int, np.ndarray, Any], str | None]
# (steps done, steps wanted) -> the input of as many steps, or of fewer if there are no more, in
# arrays on the host.
Feed = Callable[[int, int], Any]

# So many non-finite steps in a row, at the end of a chunk, end a fit; each of them leaves the
# parameters as they were.
MAX_NONFINITE_STEPS = 20
MOST_SKIPPED = 0.05  # of the steps, before the reason to stop speaks of them


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run of the loop leaves.

    Attributes:
        params: the parameters with the lowest score.
        losses: the loss of every step, `[num_steps]`.
        scores: the score at the start and after every chunk, `[1 + num_chunks]`.
        score: the lowest, that of `params`; infinite, with the first parameters, if none is finite.
        report: what came with it, or `None`.
        num_skipped: steps whose loss or gradient was not finite; they changed nothing.
        stop_reason: why the run ended.
    """

    params: Params
    losses: np.ndarray
    scores: np.ndarray
    score: float
    report: Any
    num_skipped: int
    stop_reason: str


def minimise(
    objective: Objective,
    params: Params,
    fixed: Any = None,
    *,
    key: Array,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    chunk_steps: int,
    feed: Feed | None = None,
    stop: StopRule | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint_dir: pathlib.Path | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
    short: bool = False,
) -> Result:
    """Minimises an objective, and keeps the parameters with the best score.

    Those of the start are among them: whatever an optimizer does, it makes nothing worse.

    Ctrl-C ends the run after the chunk at hand; a second one at once, with `KeyboardInterrupt`.
    With checkpoints SIGTERM does so too, and is obeyed when the last checkpoint is written.

    While it runs, LAPACK has one thread: those that wait for its next call take the cores from XLA.

    Args:
        objective: what to minimise.
        params: where to start, a pytree of arrays.
        fixed: the arrays of the objective.
        key: a PRNG key.
        optimizer: an optax gradient transformation.
        num_steps: the number of steps.
        chunk_steps: steps between two visits of the host.
        feed: if given, what gives the steps their input, in place of the objective. It is asked for
            that of the next chunk while the device is at work on one.
        stop: if given, asked on the host after every chunk.
        progress: whether to show a progress bar.
        callback: called on the host after every chunk.
        checkpoint_dir: where to write checkpoints, if any.
        resume: whether to go on from the last checkpoint there, if there is one.
        mesh: if given, the devices that hold `fixed`, and while they are trained the parameters.
        short: whether few steps are likely, so that the time to compile matters more than theirs.

    Raises:
        ValueError: if `checkpoint_dir` has been used for anything else, or is damaged.
    """
    check_optimizer(optimizer)
    if checkpoint_dir is not None and jax.process_count() > 1:
        raise ValueError(
            "`checkpoint_dir` must not be given to one of several processes; got "
            f"{str(checkpoint_dir)!r} and {jax.process_count()} processes."
        )

    def ahead(done: int) -> tuple[int, Any]:
        """Returns the length of the next chunk, and what its steps are fed with."""
        steps = min(chunk_steps, num_steps - done)
        if feed is None or steps == 0:
            return steps, None
        rows = feed(done, steps)
        return len(jax.tree.leaves(rows)[0]), place(_padded(rows, chunk_steps), mesh)

    state = place(first(optimizer, params, key), mesh)
    visits: list[Visit] = []
    done = 0
    steps, rows = ahead(done)
    checkpoints = None
    if checkpoint_dir is not None:
        lowered = chunk.lower(objective, optimizer, chunk_steps, mesh, state, fixed, steps, rows)
        problem = digests.problem(
            type(objective).__name__,
            lowered,
            key=key,
            data=fixed,
            settings={"number of steps": num_steps, "start": digests.of_tree(params)},
        )
        checkpoints = Checkpoints(checkpoint_dir, problem, resume)
        if done := checkpoints.last_step():
            template = state, lowered.out_info[1]
            state, visits = checkpoints.restore(*template, num_visits=1 + -(-done // chunk_steps))
            state = place(state, mesh)
            steps, rows = ahead(done)

    run = light_chunk if short else chunk
    interrupted = False
    with (
        threadpool_limits(1, "blas"),
        held_back(signal.SIGINT),
        held_back(signal.SIGTERM, then_obey=True) if checkpoints else contextlib.nullcontext(),
        checkpoints or contextlib.nullcontext(),
        tqdm(total=num_steps, initial=done, disable=not progress, unit="step") as bar,
    ):
        while (stop_reason := _why_stop(done, num_steps, visits, stop, interrupted)) is None:
            if steps == 0:
                stop_reason = f"the data came to their end, after {done} steps"
                break
            told = []
            for length in (steps,) if visits else (0, steps):  # the start is scored as well
                state, last = run(
                    objective, optimizer, chunk_steps, mesh, state, fixed, length, rows
                )
                told.append(last)
            done += steps
            steps, rows = ahead(done)
            due = checkpoints if checkpoints and checkpoints.is_due() else None
            told, saved = jax.device_get((told, raw(state) if due else None))
            visits += told
            visit = visits[-1]
            if due:
                due.save(done, saved, visits)
            bar.set_postfix(
                loss=f"{visit.loss:.4g}",
                best=f"{visit.best_score:.4g}",
                skipped=int(visit.skipped.total),
                refresh=False,
            )
            bar.update(done - bar.n)
            if callback is not None:
                try:
                    callback(_snapshot(done, visit, fetch(state.params, mesh)))
                except KeyboardInterrupt:
                    interrupted = True
            interrupted |= has_come(signal.SIGINT) or has_come(signal.SIGTERM)
        if checkpoints:
            checkpoints.save(done, raw(state), visits)

    scores = _scores(visits)
    best = int(np.argmin(scores))
    if best == 0 and np.isfinite(scores[best]):
        stop_reason += "; nothing was better than the start"
    num_skipped = int(visits[-1].skipped.total)
    if num_skipped > MOST_SKIPPED * done:
        stop_reason += f"; {num_skipped} were skipped, their loss or gradient not finite"
    return Result(
        params=fetch(state.best, mesh),
        losses=np.concatenate([visit.losses for visit in visits[1:]])[:done],
        scores=scores,
        score=float(scores[best]),
        report=visits[best].report if np.isfinite(scores[best]) else None,
        num_skipped=num_skipped,
        stop_reason=stop_reason,
    )


def _why_stop(
    done: int, num_steps: int, visits: list[Visit], stop: StopRule | None, interrupted: bool
) -> str | None:
    """Returns why a run ends here, or `None` if it goes on."""
    if not visits:
        return None
    last = visits[-1]
    if last.skipped.streak >= MAX_NONFINITE_STEPS:
        return f"the loss or its gradient was not finite in {last.skipped.streak} steps in a row"
    scores = _scores(visits)
    if stop is not None and (reason := stop(done, scores, visits[np.argmin(scores)].report)):
        return reason
    if done == num_steps:
        return f"all {num_steps} steps done"
    return f"interrupted after {done} steps" if interrupted else None


def _padded(rows: Any, length: int) -> Any:
    """Returns arrays of one length, the end of which may be anything."""
    return jax.tree.map(lambda array: np.resize(array, (length, *array.shape[1:])), rows)


def _scores(visits: list[Visit]) -> np.ndarray:
    return np.asarray([visit.score for visit in visits])


def _snapshot(done: int, visit: Visit, params: Params) -> Snapshot:
    return Snapshot(
        step=done,
        loss=float(visit.loss),
        score=float(visit.score),
        best_score=float(visit.best_score),
        num_skipped=int(visit.skipped.total),
        params=jax.tree.map(jnp.copy, params),  # the next chunk takes the buffers of these
    )
