"""The monotone piecewise-linear spline with linear tails, in both directions.

Between the knots `(x_k, y_k)` and `(x_k + w, y_k + h)`: `y = y_k + h (x - x_k) / w`.
"""

import jax
import jax.numpy as jnp

from hkflows.kernels import bins

Array = jax.Array


def num_params(num_bins: int) -> int:
    """Returns the number of unconstrained parameters: widths and heights."""
    return 2 * num_bins


def forward(x: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the spline at `x`, shape `[...]`, and the log of its slope there.

    Args:
        x: `[...]`.
        params: `[..., 2 K]`, unconstrained; all zeros give the identity.
        num_bins: K.
        bound: the half-width of the box outside which the map is the identity.
    """

    def spline(x: Array) -> tuple[Array, Array]:
        widths, heights = jnp.split(params, 2, axis=-1)
        bin_ = bins.locate(x, widths, heights, bound, axis=0)
        t = bins.within_bin((x - bin_.x) / bin_.width)
        return bin_.y + bin_.height * t, jnp.log(bin_.height / bin_.width)

    return bins.identity_outside(spline, x, bound)


def inverse(y: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the `x` that `forward` maps to `y`, and minus the log of the slope there."""

    def spline(y: Array) -> tuple[Array, Array]:
        widths, heights = jnp.split(params, 2, axis=-1)
        bin_ = bins.locate(y, widths, heights, bound, axis=1)
        t = bins.within_bin((y - bin_.y) / bin_.height)
        return bin_.x + bin_.width * t, jnp.log(bin_.width / bin_.height)

    return bins.identity_outside(spline, y, bound)
