"""Derivatives of gradients, also where a function has a reverse rule only."""

from collections.abc import Callable

import jax

Array = jax.Array


def gradient_along(
    function: Callable[[Array], Array], x: Array, direction: Array, step: Array | float
) -> Array:
    """Returns the Hessian of a function, times a direction, `[D]`.

    A solver of differential equations may have a gradient and no derivative of that; then it is
    the central difference of gradients over a step.

    Args:
        function: maps `[D]` to a scalar.
        x: `[D]`.
        direction: `[D]`.
        step: how far to go, in units of the direction.
    """
    gradient = jax.grad(function)
    try:
        return jax.jvp(gradient, (x,), (direction,))[1]
    except TypeError:  # "can't apply forward-mode autodiff to a custom_vjp function"
        ahead, behind = (gradient(x + end * direction) for end in (step, -step))
        return (ahead - behind) / (2.0 * step)
