"""The training loop: optax steps scanned on the device, the host asked once a chunk."""

import dataclasses
import functools
import signal
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from hkflows.training.signals import has_come, held_back
from hkflows.training.snapshot import Callback, Snapshot

Array = jax.Array
Params = Any
# Maps the number of steps done, the scores so far and the last report to why to stop, or `None`.
StopRule = Callable[[int, np.ndarray, Any], str | None]

# So many non-finite steps in a row, at the end of a chunk, end a fit; each of them leaves the
# parameters as they were.
MAX_NONFINITE_STEPS = 20


class Objective(Protocol):
    """What the loop minimises: functions and settings, all that a compiled step depends on.

    An objective is hashable. A second run with an equal one, and with arrays of the same shapes,
    compiles nothing. Arrays that it needs, such as data, are handed to it as `fixed`, a pytree.
    """

    def inputs(self, fixed: Any, key: Array, steps: Array) -> Any:
        """Returns a pytree with one step's input in each row, for the numbers of the steps."""

    def loss(self, params: Params, fixed: Any, row: Any) -> Array:
        """Returns the loss of one step, a scalar."""

    def score(self, params: Params, fixed: Any, mean_loss: Array) -> tuple[Array, Any]:
        """Returns the scalar by which parameters are kept, lower is better, and a report.

        It is asked after every chunk, and told the mean of the chunk's finite losses; infinite if
        they are the fewer.
        """


class State(NamedTuple):
    """Where a run is: with the objective and the fixed arrays this decides all that follows."""

    params: Params
    opt_state: Any
    key: Array
    step: Array
    best: Params
    best_score: Array


class Visit(NamedTuple):
    """What the host is told after a chunk."""

    losses: Array  # [chunk_steps], NaN where the last chunk is shorter
    loss: Array  # their mean
    score: Array
    best_score: Array
    report: Any
    streak: Array  # of steps at the end whose gradient was not finite
    num_skipped: Array  # of all such steps so far


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run of the loop leaves.

    Attributes:
        params: the parameters with the lowest score.
        losses: the loss of every step, `[num_steps]`.
        scores: the score after every chunk, `[num_chunks]`.
        score: the lowest, that of `params`; infinite, with the first parameters, if none is finite.
        report: what came with it, or `None`.
        num_skipped: steps whose gradient was not finite; they changed nothing.
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
    stop: StopRule | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> Result:
    """Minimises an objective, and keeps the parameters with the best score.

    Ctrl-C ends the run after the chunk at hand; a second one at once, with `KeyboardInterrupt`.

    Args:
        objective: what to minimise.
        params: where to start, a pytree of arrays.
        fixed: the arrays of the objective.
        key: a PRNG key.
        optimizer: an optax gradient transformation.
        num_steps: the number of steps.
        chunk_steps: steps between two visits of the host.
        stop: if given, asked on the host after every chunk.
        progress: whether to show a progress bar.
        callback: called on the host after every chunk.
    """
    if not callable(getattr(optimizer, "init", None)):
        raise ValueError(
            f"`optimizer` must be an optax gradient transformation; got {optimizer!r}."
        )
    state = _first(optimizer, params, key)
    visits: list[Visit] = []
    done = 0
    interrupted = False
    with (
        held_back(signal.SIGINT),
        tqdm(total=num_steps, disable=not progress, unit="step") as bar,
    ):
        while (stop_reason := _why_stop(done, num_steps, visits, stop, interrupted)) is None:
            steps = min(chunk_steps, num_steps - done)
            state, told = _chunk(objective, optimizer, chunk_steps, state, fixed, steps)
            visit = jax.device_get(told)
            visits.append(visit)
            done += steps
            bar.set_postfix(
                loss=f"{visit.loss:.4g}",
                best=f"{visit.best_score:.4g}",
                skipped=int(visit.num_skipped),
                refresh=False,
            )
            bar.update(steps)
            if callback is not None:
                try:
                    callback(_snapshot(done, visit, state.params))
                except KeyboardInterrupt:
                    interrupted = True
            interrupted = interrupted or has_come(signal.SIGINT)

    scores = _scores(visits)
    best = int(np.argmin(scores))
    return Result(
        params=state.best,
        losses=np.concatenate([visit.losses for visit in visits])[:done],
        scores=scores,
        score=float(scores[best]),
        report=visits[best].report if np.isfinite(scores[best]) else None,
        num_skipped=int(visits[-1].num_skipped),
        stop_reason=stop_reason,
    )


def patience(limit: int) -> StopRule:
    """Returns a rule that stops after so many chunks without a better score."""

    def stop(done: int, scores: np.ndarray, report: Any) -> str | None:
        since_best = len(scores) - 1 - int(np.argmin(scores))
        return f"no better score in {limit} evaluations" if since_best >= limit else None

    return stop


def _why_stop(
    done: int, num_steps: int, visits: list[Visit], stop: StopRule | None, interrupted: bool
) -> str | None:
    """Returns why a run ends here, or `None` if it goes on."""
    if not visits:
        return None
    last = visits[-1]
    if last.streak >= MAX_NONFINITE_STEPS:
        return f"the loss or its gradient was not finite in {last.streak} steps in a row"
    if stop is not None and (reason := stop(done, _scores(visits), last.report)):
        return reason
    if done == num_steps:
        return f"all {num_steps} steps done"
    return f"interrupted after {done} steps" if interrupted else None


def _scores(visits: list[Visit]) -> np.ndarray:
    return np.asarray([visit.score for visit in visits])


def _snapshot(done: int, visit: Visit, params: Params) -> Snapshot:
    return Snapshot(
        step=done,
        loss=float(visit.loss),
        score=float(visit.score),
        best_score=float(visit.best_score),
        num_skipped=int(visit.num_skipped),
        params=jax.tree.map(jnp.copy, params),  # the next chunk takes the buffers of these
    )


@functools.partial(jax.jit, static_argnames="optimizer")
def _first(optimizer: optax.GradientTransformation, params: Params, key: Array) -> State:
    """Returns where a run starts, in buffers of its own: the first chunk takes them."""
    params, best = (jax.tree.map(lambda p: jnp.array(p, p.dtype), params) for _ in range(2))
    opt_state = _skipping(optimizer).init(params)
    infinity = jnp.full((), jnp.inf, float)
    return State(params, opt_state, jnp.copy(key), jnp.zeros((), int), best, infinity)


@functools.partial(
    jax.jit,
    static_argnames=("objective", "optimizer", "chunk_steps"),
    donate_argnames="state",
)
def _chunk(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    chunk_steps: int,
    state: State,
    fixed: Any,
    steps: Array | int,
) -> tuple[State, Visit]:
    """Does `steps` of `chunk_steps` steps: a shorter last chunk needs no program of its own."""
    optimizer = _skipping(optimizer)
    key, inputs_key = jax.random.split(state.key)
    rows = objective.inputs(fixed, inputs_key, state.step + jnp.arange(chunk_steps))

    def step(index: Array, carry: tuple[Params, Any, Array]) -> tuple[Params, Any, Array]:
        params, opt_state, losses = carry
        row = jax.tree.map(lambda row: row[index], rows)
        loss, gradient = jax.value_and_grad(objective.loss)(params, fixed, row)
        # A gradient can be finite where the loss is not; that step must not count as a good one.
        gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(loss), g, jnp.nan), gradient)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, losses.at[index].set(loss)

    carry = (state.params, state.opt_state, jnp.full(chunk_steps, jnp.nan))
    params, opt_state, losses = jax.lax.fori_loop(0, steps, step, carry)
    finite = jnp.isfinite(losses)
    count = jnp.sum(finite)
    loss = jnp.where(2 * count >= steps, jnp.sum(losses, where=finite) / count, jnp.inf)

    score, report = objective.score(params, fixed, loss)
    score = jnp.where(jnp.isnan(score), jnp.inf, score).astype(state.best_score.dtype)
    best, best_score = jax.tree.map(
        lambda new, old: jnp.where(score < state.best_score, new, old),
        (params, score),
        (state.best, state.best_score),
    )
    return (
        State(params, opt_state, key, state.step + steps, best, best_score),
        Visit(
            losses,
            loss,
            score,
            best_score,
            report,
            opt_state.notfinite_count,
            opt_state.total_notfinite,
        ),
    )


def _skipping(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimizer that skips steps with a non-finite gradient.

    Even after many in a row, which is for the host to notice.
    """
    return optax.apply_if_finite(optimizer, max_consecutive_errors=np.iinfo(np.int32).max)
