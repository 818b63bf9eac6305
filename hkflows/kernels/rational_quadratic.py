"""The monotone rational-quadratic spline with linear tails, in both directions.

Between the knots `(x_k, y_k)` and `(x_{k+1}, y_{k+1})`, with `w` and `h` the sides of the bin,
`s = h / w` its mean slope and `d_0`, `d_1` the slopes at its ends, and `t = (x - x_k) / w`,

    y = y_k + h (s t^2 + d_0 t (1 - t)) / q,   q = s + (d_0 + d_1 - 2 s) t (1 - t),
    dy/dx = s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / q^2.

Outside `(-bound, bound)` the map is the identity, and the slopes at both ends are one.

References:
    Gregory & Delbourgo (1982), "Piecewise rational quadratic interpolation to monotonic data".
    Durkan, Bekasov, Murray & Papamakarios (2019), "Neural spline flows", arXiv:1906.04032.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

MIN_SIDE = 1e-3  # smallest side of a bin, as a fraction of the box
MIN_SLOPE = 1e-3  # smallest slope at a knot


class Bin(NamedTuple):
    """The bin that holds a point: its lower corner, its sides and the slopes at its ends."""

    x: Array
    y: Array
    width: Array
    height: Array
    slope_0: Array
    slope_1: Array


def num_params(num_bins: int) -> int:
    """Returns the number of unconstrained parameters: widths, heights and the inner slopes."""
    return 3 * num_bins - 1


def forward(x: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the spline at `x`, shape `[...]`, and the log of its slope there.

    Args:
        x: `[...]`.
        params: `[..., 3 K - 1]`, unconstrained; all zeros give the identity.
        num_bins: K.
        bound: the half-width of the box.
    """
    inside = jnp.abs(x) < bound
    x_inside = jnp.where(inside, x, 0.0)
    x_knots, y_knots, slopes = _knots(params, num_bins, bound)
    bin_ = _select(x_inside, x_knots, x_knots, y_knots, slopes)
    t = (x_inside - bin_.x) / bin_.width
    y, log_slope = _evaluate(bin_, t)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)


def inverse(y: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the `x` that `forward` maps to `y`, and minus the log of the slope there.

    With `r = (y - y_k) / h` and `c = d_0 + d_1 - 2 s`, `t` is the root in [0, 1] of
    `a t^2 + b t - s r`, `a = s - d_0 + c r`, `b = d_0 - c r`. Of the two forms of the root, the one
    that adds numbers of equal sign is taken, so that nothing cancels.
    """
    inside = jnp.abs(y) < bound
    y_inside = jnp.where(inside, y, 0.0)
    x_knots, y_knots, slopes = _knots(params, num_bins, bound)
    bin_ = _select(y_inside, y_knots, x_knots, y_knots, slopes)
    s = bin_.height / bin_.width
    r = (y_inside - bin_.y) / bin_.height
    c = bin_.slope_0 + bin_.slope_1 - 2.0 * s
    a = s - bin_.slope_0 + c * r
    b = bin_.slope_0 - c * r
    # The discriminant is (2 a t + b)^2 at the root, positive; only rounding can make it less.
    root = jnp.sqrt(jnp.maximum(b**2 + 4.0 * a * s * r, jnp.finfo(y.dtype).tiny))
    rising = b >= 0.0
    t = jnp.where(
        rising,
        2.0 * s * r / jnp.where(rising, b + root, 1.0),
        (root - b) / jnp.where(rising, 1.0, 2.0 * a),
    )
    _, log_slope = _evaluate(bin_, t)
    x = bin_.x + bin_.width * t
    return jnp.where(inside, x, y), jnp.where(inside, -log_slope, 0.0)


def _knots(params: Array, num_bins: int, bound: float) -> tuple[Array, Array, Array]:
    """Returns the knots' abscissae, ordinates and slopes, each `[..., K + 1]`."""
    widths, heights, slopes = jnp.split(params, [num_bins, 2 * num_bins], axis=-1)
    ends = [(0, 0)] * (params.ndim - 1) + [(1, 1)]

    def edges(sides: Array) -> Array:
        sides = MIN_SIDE + (1.0 - MIN_SIDE * num_bins) * jax.nn.softmax(sides, axis=-1)
        inner = 2.0 * jnp.cumsum(sides, axis=-1)[..., :-1] - 1.0
        inner = jnp.pad(inner, ends, constant_values=((-1.0, 1.0),))
        return bound * inner

    unit = math.log(math.expm1(1.0 - MIN_SLOPE))  # where the slope is one
    slopes = MIN_SLOPE + jax.nn.softplus(slopes + unit)
    return edges(widths), edges(heights), jnp.pad(slopes, ends, constant_values=1.0)


def _select(point: Array, along: Array, x: Array, y: Array, slopes: Array) -> Bin:
    """Returns the bin whose ends in `along`, `[..., K + 1]`, enclose `point`, shape `[...]`."""
    above = point[..., None] >= along[..., 1:-1]
    always = jnp.ones((*above.shape[:-1], 1), dtype=bool)
    here = jnp.concatenate([always, above], -1) & ~jnp.concatenate([above, ~always], -1)

    def pick(values: Array) -> Array:
        return jnp.sum(jnp.where(here, values, 0.0), axis=-1)

    return Bin(
        x=pick(x[..., :-1]),
        y=pick(y[..., :-1]),
        width=pick(jnp.diff(x)),
        height=pick(jnp.diff(y)),
        slope_0=pick(slopes[..., :-1]),
        slope_1=pick(slopes[..., 1:]),
    )


def _evaluate(bin_: Bin, t: Array) -> tuple[Array, Array]:
    """Returns `y` and `log dy/dx` at the fraction `t` of the bin; all sums are of positives."""
    s = bin_.height / bin_.width
    u = 1.0 - t
    q = s * (t**2 + u**2) + (bin_.slope_0 + bin_.slope_1) * t * u
    y = bin_.y + bin_.height * (s * t**2 + bin_.slope_0 * t * u) / q
    slope = bin_.slope_1 * t**2 + 2.0 * s * t * u + bin_.slope_0 * u**2
    return y, 2.0 * jnp.log(s) + jnp.log(slope) - 2.0 * jnp.log(q)
