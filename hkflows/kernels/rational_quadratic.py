"""The monotone rational-quadratic spline, in both directions.

Between the knots `(x_k, y_k)` and `(x_{k+1}, y_{k+1})`, with `w` and `h` the sides of the bin,
`s = h / w` its mean slope and `d_0`, `d_1` the slopes at its ends, and `t = (x - x_k) / w`,

    y = y_k + h (s t^2 + d_0 t (1 - t)) / q,   q = s + (d_0 + d_1 - 2 s) t (1 - t),
    dy/dx = s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / q^2.

References:
    Gregory & Delbourgo (1982), "Piecewise rational quadratic interpolation to monotonic data".
    Durkan, Bekasov, Murray & Papamakarios (2019), "Neural spline flows", arXiv:1906.04032.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hkflows.kernels import bins

Array = jax.Array


class Spline(NamedTuple):
    """The unconstrained widths and heights `[..., K]` and slopes at the knots `[..., K + 1]`."""

    widths: Array
    heights: Array
    slopes: Array


def num_params(num_bins: int) -> int:
    """Returns the number of unconstrained parameters: widths, heights and the inner slopes."""
    return 3 * num_bins - 1


def forward(x: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the spline at `x`, shape `[...]`, and the log of its slope there.

    Args:
        x: `[...]`.
        params: `[..., 3 K - 1]`, unconstrained; all zeros give the identity.
        num_bins: K.
        bound: the half-width of the box outside which the map is the identity.
    """
    spline = _with_tails(params, num_bins)
    return bins.identity_outside(lambda x: forward_in_box(x, spline, bound), x, bound)


def inverse(y: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the `x` that `forward` maps to `y`, and minus the log of the slope there."""
    spline = _with_tails(params, num_bins)
    return bins.identity_outside(lambda y: inverse_in_box(y, spline, bound), y, bound)


def _with_tails(params: Array, num_bins: int) -> Spline:
    """Returns the spline that continues the identity: its slopes at both ends are one."""
    widths, heights, inner = jnp.split(params, [num_bins, 2 * num_bins], axis=-1)
    return Spline(widths, heights, bins.with_unit_ends(inner))


def forward_in_box(x: Array, spline: Spline, bound: float) -> tuple[Array, Array]:
    """Returns the spline at `x` in `[-bound, bound]`, and the log of its slope there."""
    bin_ = bins.locate(x, spline.widths, spline.heights, bound, axis=0)
    slopes = bins.slopes_at_ends(spline.slopes, bin_.place)
    return _evaluate(bin_, *slopes, bins.within_bin((x - bin_.x) / bin_.width))


def inverse_in_box(y: Array, spline: Spline, bound: float) -> tuple[Array, Array]:
    """Returns the `x` in `[-bound, bound]` of a `y` there, and minus the log of the slope.

    With `r = (y - y_k) / h` and `c = d_0 + d_1 - 2 s`, `t` is the root in [0, 1] of
    `a t^2 + b t - s r`, `a = s - d_0 + c r`, `b = d_0 - c r`. Of the two forms of the root, the one
    that adds numbers of equal sign is taken, so that nothing cancels.
    """
    bin_ = bins.locate(y, spline.widths, spline.heights, bound, axis=1)
    d_0, d_1 = bins.slopes_at_ends(spline.slopes, bin_.place)
    s = bin_.height / bin_.width
    r = bins.within_bin((y - bin_.y) / bin_.height)
    c = d_0 + d_1 - 2.0 * s
    a = s - d_0 + c * r
    b = d_0 - c * r
    # The discriminant is (2 a t + b)^2 at the root, positive; only rounding can make it less.
    root = jnp.sqrt(jnp.maximum(b**2 + 4.0 * a * s * r, jnp.finfo(r.dtype).tiny))
    rising = b >= 0.0
    t = jnp.where(
        rising,
        2.0 * s * r / jnp.where(rising, b + root, 1.0),
        (root - b) / jnp.where(rising, 1.0, 2.0 * a),
    )
    t = bins.within_bin(t)
    _, log_slope = _evaluate(bin_, d_0, d_1, t)
    return bin_.x + bin_.width * t, -log_slope


def _evaluate(bin_: bins.Bin, d_0: Array, d_1: Array, t: Array) -> tuple[Array, Array]:
    """Returns `y` and `log dy/dx` at the fraction `t` of the bin; all sums are of positives."""
    s = bin_.height / bin_.width
    u = 1.0 - t
    q = s * (t**2 + u**2) + (d_0 + d_1) * t * u
    y = bin_.y + bin_.height * (s * t**2 + d_0 * t * u) / q
    slope = d_1 * t**2 + 2.0 * s * t * u + d_0 * u**2
    return y, jnp.log(slope * (s / q) ** 2)
