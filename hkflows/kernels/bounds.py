"""Bounds that parameters cannot cross, whatever their size, and that zero does not feel."""

import jax
import jax.numpy as jnp

Array = jax.Array

SLACK = 1e-3


def within(value: Array, bound: float) -> Array:
    """Returns `m tanh(value / m)`: within `(-m, m)`, and `value` to second order at zero."""
    return bound * jnp.tanh(value / bound)


def above_minus_one(value: Array) -> Array:
    """Returns what stays above `-(1 - SLACK)`, and is `value` where that is not negative.

    Below zero it is `b (exp(value / b) - 1)` with `b = 1 - SLACK`, so the slope is continuous.
    """
    bound = 1.0 - SLACK
    return bound * jax.nn.elu(value / bound)
