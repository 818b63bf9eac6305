"""The training loop: optax steps scanned on the device, the host asked once a chunk."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

Array = jax.Array
Params = Any

# So many non-finite steps in a row, at the end of a chunk, end a fit; each of them leaves the
# parameters as they were.
MAX_NONFINITE_STEPS = 20


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
    loss: Callable[[Params, Any], Array],
    params: Params,
    *,
    key: Array,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    chunk_steps: int,
    inputs: Callable[[Array, Array], Any],
    score: Callable[[Params, Array], tuple[Array, Any]],
    stop: Callable[[int, list[float], Any], str | None],
    progress: bool,
) -> Result:
    """Minimises a loss, and keeps the parameters with the best score.

    Args:
        loss: maps the parameters and one step's input to a scalar.
        params: where to start, a pytree of arrays.
        key: a PRNG key.
        optimizer: an optax gradient transformation.
        num_steps: the number of steps.
        chunk_steps: steps between two visits of the host.
        inputs: maps a key and the numbers of a chunk's steps, `[chunk_steps]`, to a pytree with one
            step's input in each row.
        score: maps the parameters after a chunk and the chunk's mean loss (over its finite steps;
            infinite if they are the fewer) to the scalar by which those parameters are kept, lower
            is better, and a report for `stop`.
        stop: asked on the host after every chunk with the number of steps done, the scores so far
            and the last report; why to stop, or `None` to go on.
        progress: whether to show a progress bar.
    """
    if not callable(getattr(optimizer, "init", None)):
        raise ValueError(
            f"`optimizer` must be an optax gradient transformation; got {optimizer!r}."
        )
    # A step with a non-finite gradient changes nothing: not even after many in a row, which is for
    # the host to notice.
    optimizer = optax.apply_if_finite(optimizer, max_consecutive_errors=np.iinfo(np.int32).max)

    def step(state: tuple[Params, Any], row: Any) -> tuple[tuple[Params, Any], Array]:
        params, opt_state = state
        value, gradient = jax.value_and_grad(loss)(params, row)
        # A gradient can be finite where the loss is not; that step must not count as a good one.
        gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(value), g, jnp.nan), gradient)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    @jax.jit
    def chunk(params: Params, opt_state: Any, key: Array, done: Array, steps: Array) -> tuple:
        """Does `steps` of `chunk_steps` steps: a shorter last chunk needs no program of its own."""
        rows = inputs(key, done + jnp.arange(chunk_steps))

        def body(index: Array, carry: tuple) -> tuple:
            state, losses = carry
            state, value = step(state, jax.tree.map(lambda row: row[index], rows))
            return state, losses.at[index].set(value)

        losses = jnp.full(chunk_steps, jnp.nan)
        (params, opt_state), losses = jax.lax.fori_loop(
            0, steps, body, ((params, opt_state), losses)
        )
        finite = jnp.isfinite(losses)
        count = jnp.sum(finite)
        mean = jnp.where(2 * count >= steps, jnp.sum(losses, where=finite) / count, jnp.inf)
        report = losses, score(params, mean), opt_state.notfinite_count, opt_state.total_notfinite
        return params, opt_state, report

    opt_state = optimizer.init(params)
    best, best_score, best_report = params, np.inf, None
    losses: list[np.ndarray] = []
    scores: list[float] = []
    stop_reason = f"all {num_steps} steps done"

    with tqdm(total=num_steps, disable=not progress, unit="step") as bar:
        done = 0
        while done < num_steps:
            key, chunk_key = jax.random.split(key)
            steps = min(chunk_steps, num_steps - done)
            params, opt_state, report = chunk(params, opt_state, chunk_key, done, steps)
            chunk_losses, (chunk_score, detail), streak, num_skipped = jax.device_get(report)
            done += steps
            losses.append(chunk_losses[:steps])
            scores.append(float(chunk_score))
            bar.update(steps)
            bar.set_postfix(loss=f"{scores[-1]:.4g}")

            if scores[-1] < best_score:
                best, best_score, best_report = params, scores[-1], detail
            if streak >= MAX_NONFINITE_STEPS:
                stop_reason = f"the loss or its gradient was not finite in {streak} steps in a row"
                break
            if reason := stop(done, scores, detail):
                stop_reason = reason
                break

    return Result(
        params=best,
        losses=np.concatenate(losses),
        scores=np.asarray(scores),
        score=best_score,
        report=best_report,
        num_skipped=int(num_skipped),
        stop_reason=stop_reason,
    )


def patience(limit: int) -> Callable[[int, list[float], Any], str | None]:
    """Returns a rule that stops after so many chunks without a better score."""

    def stop(done: int, scores: list[float], report: Any) -> str | None:
        since_best = len(scores) - 1 - int(np.argmin(scores))
        return f"no better score in {limit} evaluations" if since_best >= limit else None

    return stop


def adam(schedule: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Returns Adam with a schedule, gradients clipped to norm 10."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))


def check_flow(flow: hk.Transformed) -> hk.Transformed:
    """Returns the flow if it is one, or raises `ValueError`."""
    if not callable(getattr(flow, "init", None)) or not callable(getattr(flow, "apply", None)):
        raise ValueError(
            "`flow` must be an `hk.Transformed` that builds a `FlowDistribution`, such as "
            f"`hkflows.flows.nsf(event_size)`; got {flow!r}."
        )
    if "rng" in inspect.signature(flow.apply).parameters:
        raise ValueError(
            "`flow` must build its distribution without a random key: wrap it in "
            "`hk.without_apply_rng`."
        )
    return flow
