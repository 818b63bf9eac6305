"""A chunk of optimiser steps, all of it on the device."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hkflows.compilation import LIGHT, quick_jit
from hkflows.sharding import gathered

Array = jax.Array
Params = Any


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

        It is asked at the start and after every chunk, and told the mean of the chunk's finite
        losses, infinite unless at least half of the losses are finite.
        """


class Skipped(NamedTuple):
    """Steps whose loss, or the norm of whose gradient, was not finite; they changed nothing."""

    streak: Array  # how many of them in a row, up to the last step
    total: Array


class State(NamedTuple):
    """Where a run is: with the objective and the fixed arrays this decides all that follows."""

    params: Params
    opt_state: Any
    key: Array
    step: Array
    skipped: Skipped
    best: Params
    best_score: Array


class Visit(NamedTuple):
    """What the host is told of the start and after a chunk."""

    losses: Array  # [chunk_steps], NaN where the chunk is shorter
    loss: Array  # the mean of the finite ones, infinite unless at least half are
    score: Array
    best_score: Array
    report: Any
    skipped: Skipped


@functools.partial(jax.jit, static_argnames="optimizer")
def first(optimizer: optax.GradientTransformation, params: Params, key: Array) -> State:
    """Returns where a run starts, in buffers of its own: the first chunk takes them."""
    params, best = (jax.tree.map(lambda p: jnp.array(p, p.dtype), params) for _ in range(2))
    step, streak, total = (jnp.zeros((), int) for _ in range(3))
    infinity = jnp.full((), jnp.inf, float)
    skipped = Skipped(streak, total)
    return State(params, optimizer.init(params), jnp.copy(key), step, skipped, best, infinity)


def _chunk(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    chunk_steps: int,
    mesh: Mesh | None,
    state: State,
    fixed: Any,
    steps: Array | int,
    rows: Any = None,
) -> tuple[State, Visit]:
    """Does `steps` of `chunk_steps` steps: a shorter chunk needs no program of its own.

    A chunk of no steps only scores the parameters.

    Each step takes a row of `rows`; if there are none, of what the objective has for it.
    """
    optimizer = optax.with_extra_args_support(optimizer)  # some look at the value of the loss
    key, inputs_key = jax.random.split(state.key)
    if rows is None:
        rows = objective.inputs(fixed, inputs_key, state.step + jnp.arange(chunk_steps))

    def step(index: Array, carry: tuple[Params, Any, Skipped, Array]) -> tuple:
        params, opt_state, skipped, losses = carry
        row = jax.tree.map(lambda row: row[index], rows)
        loss, gradient = jax.value_and_grad(objective.loss)(params, fixed, row)

        def update(params: Params, opt_state: Any) -> tuple[Params, Any]:
            try:
                updates, opt_state = optimizer.update(gradient, opt_state, params, value=loss)
            except TypeError as error:
                raise ValueError(
                    "`optimizer` must do with gradients, parameters and the value of the loss, "
                    f"without a line search; it says: {error}"
                ) from error
            return optax.apply_updates(params, updates), opt_state

        # The norm is not finite if an entry is not: one number to ask for, where
        # `optax.apply_if_finite` compiles a test and a choice for every array.
        usable = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))
        params, opt_state = jax.lax.cond(
            usable, update, lambda *unchanged: unchanged, params, opt_state
        )
        skipped = Skipped(jnp.where(usable, 0, skipped.streak + 1), skipped.total + ~usable)
        return params, opt_state, skipped, losses.at[index].set(loss)

    carry = (state.params, state.opt_state, state.skipped, jnp.full(chunk_steps, jnp.nan))
    params, opt_state, skipped, losses = jax.lax.fori_loop(0, steps, step, carry)
    finite = jnp.isfinite(losses)
    count = jnp.sum(finite)
    mean = jnp.sum(losses, where=finite) / jnp.maximum(count, 1)
    loss = jnp.where((count > 0) & (2 * count >= steps), mean, jnp.inf)

    score, report = objective.score(params, fixed, loss)
    score = jnp.where(jnp.isnan(score), jnp.inf, score).astype(state.best_score.dtype)
    best, best_score = jax.tree.map(
        lambda new, old: jnp.where(score < state.best_score, new, old),
        (params, score),
        (state.best, state.best_score),
    )
    state = State(params, opt_state, key, state.step + steps, skipped, best, best_score)
    return gathered((state, Visit(losses, loss, score, best_score, report, skipped)), mesh)


_SETTINGS: dict[str, Any] = {
    "static_argnames": ("objective", "optimizer", "chunk_steps", "mesh"),
    "donate_argnames": "state",
}
chunk = jax.jit(_chunk, **_SETTINGS)
light_chunk = quick_jit(_chunk, options=LIGHT, **_SETTINGS)  # less time to compile, more a step
