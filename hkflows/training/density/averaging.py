"""Averages of parameters on their way."""

import functools
from typing import Any, NamedTuple

import jax
import optax

Params = Any


class Averaged(NamedTuple):
    """Parameters, and the mean of those before them."""

    now: Params
    mean: Params


@functools.cache
def averaging(
    optimizer: optax.GradientTransformation, num_steps: float
) -> optax.GradientTransformation:
    """Returns the optimizer for `Averaged` parameters: the mean follows the others.

    Both start at the same parameters. After each step

        mean <- mean + (now - mean) / num_steps,

    so that it averages over about the last `num_steps` steps, with what it started from, of weight
    `(1 - 1 / num_steps)^t` after t of them. The gradient with respect to the mean is not used.

    Equal arguments give the same object, by which a compiled loop knows it again.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: Averaged) -> Any:
        return optimizer.init(params.now)

    def update(gradient: Averaged, state: Any, params: Any, **extra: Any) -> tuple[Averaged, Any]:
        updates, state = optimizer.update(gradient.now, state, params.now, **extra)
        now = optax.apply_updates(params.now, updates)
        pull = jax.tree.map(lambda mean, new: (new - mean) / num_steps, params.mean, now)
        return Averaged(updates, pull), state

    return optax.GradientTransformationExtraArgs(init, update)
