"""The rational-quadratic spline on the circle: a periodic spline, and a turn.

The spline maps `[-pi, pi]` onto itself with one slope at both ends, so that the circle is mapped
smoothly onto itself; what stays fixed, the angle pi, is then turned by an angle `a`:

    y = f(x) + a   modulo 2 pi.

References:
    Rezende, Papamakarios, Racaniere, Albergo, Kanwar, Shanahan & Cranmer (2020), "Normalizing flows
    on tori and spheres", section 2.1.2, arXiv:2002.02428.
"""

import math

import jax
import jax.numpy as jnp

from hkflows.kernels import rational_quadratic

Array = jax.Array


def num_params(num_bins: int) -> int:
    """Returns the number of unconstrained parameters: widths, heights, slopes and the turn."""
    return 3 * num_bins + 1


def forward(x: Array, params: Array, num_bins: int) -> tuple[Array, Array]:
    """Returns the angle in [-pi, pi) that `x` is mapped to, and the log of the slope there.

    Args:
        x: angles, `[...]`.
        params: `[..., 3 K + 1]`, unconstrained; all zeros give the identity.
        num_bins: K.
    """
    spline, turn = _split(params, num_bins)
    y, log_slope = rational_quadratic.forward_in_box(wrap(x), spline, math.pi)
    return wrap(y + turn), log_slope


def inverse(y: Array, params: Array, num_bins: int) -> tuple[Array, Array]:
    """Returns the angle in [-pi, pi) that is mapped to `y`, and minus the log of the slope."""
    spline, turn = _split(params, num_bins)
    x, log_slope = rational_quadratic.inverse_in_box(wrap(y - turn), spline, math.pi)
    return wrap(x), log_slope


def wrap(angle: Array) -> Array:
    """Returns the angle in [-pi, pi); one that is there already, exactly."""
    turn = 2.0 * math.pi
    rest = jax.lax.rem(angle, jnp.asarray(turn, angle.dtype))  # exact, with the sign of the angle
    return rest - jnp.where(rest >= math.pi, turn, 0.0) + jnp.where(rest < -math.pi, turn, 0.0)


def _split(params: Array, num_bins: int) -> tuple[rational_quadratic.Spline, Array]:
    widths, heights, slopes, turn = jnp.split(
        params, [num_bins, 2 * num_bins, 3 * num_bins], axis=-1
    )
    slopes = jnp.concatenate([slopes, slopes[..., :1]], axis=-1)
    return rational_quadratic.Spline(widths, heights, slopes), turn[..., 0]
