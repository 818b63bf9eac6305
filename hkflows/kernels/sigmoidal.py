"""A monotone network of one hidden layer of sigmoids, and its numeric inverse.

    y = e x + (1 - e) logit(sum_i w_i sigmoid(a_i x + b_i)),   w_i > 0, sum_i w_i = 1, a_i > 0.

The logit of a mean of sigmoids lies between the smallest and the largest `a_i x + b_i`: that
encloses the inverse. The small `e` keeps the slope, which is exponentially small between steep
sigmoids that lie far apart, above `e`.

References:
    Huang, Krueger, Lacoste & Courville (2018), "Neural autoregressive flows", equation 8,
    arXiv:1804.00779.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hkflows.kernels import root

Array = jax.Array

MIN_SLOPE = 1e-3  # e


class Units(NamedTuple):
    """The hidden units, each `[..., H]`: their log-weights, slopes and shifts."""

    log_weights: Array
    slopes: Array
    shifts: Array


def forward(x: Array, units: Units) -> tuple[Array, Array]:
    """Returns the network at `x`, shape `[...]`, and the log of its slope there."""
    z = x[..., None] * units.slopes + units.shifts
    # With p the mean of the sigmoids: what each unit adds to log p, and to log (1 - p).
    on = units.log_weights + jax.nn.log_sigmoid(z)
    off = units.log_weights + jax.nn.log_sigmoid(-z)
    logit = jax.nn.logsumexp(on, axis=-1) - jax.nn.logsumexp(off, axis=-1)
    # d log p / dx - d log (1 - p) / dx, all terms positive.
    share = jax.nn.softmax(on, axis=-1) * jax.nn.sigmoid(-z)
    share = share + jax.nn.softmax(off, axis=-1) * jax.nn.sigmoid(z)
    slope = MIN_SLOPE + (1.0 - MIN_SLOPE) * jnp.sum(units.slopes * share, axis=-1)
    return MIN_SLOPE * x + (1.0 - MIN_SLOPE) * logit, jnp.log(slope)


def inverse(y: Array, units: Units) -> tuple[Array, Array]:
    """Returns the `x` that `forward` maps to `y`, and minus the log of the slope there."""
    shape = jnp.broadcast_shapes(y.shape, units.slopes.shape[:-1])
    y = jnp.broadcast_to(y, shape).astype(jnp.result_type(y, units.slopes))
    x = root.solve(forward, _bracket, y, units)
    return x, -forward(x, units)[1]


def _bracket(y: Array, units: Units) -> tuple[Array, Array]:
    """Returns the smallest and the largest inverse that a single unit would have."""
    alone = (y[..., None] - (1.0 - MIN_SLOPE) * units.shifts) / (
        MIN_SLOPE + (1.0 - MIN_SLOPE) * units.slopes
    )
    return jnp.min(alone, axis=-1), jnp.max(alone, axis=-1)
