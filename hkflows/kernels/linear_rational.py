"""The monotone linear-rational spline with linear tails, in both directions.

Each bin is cut in two at a fraction `l` of its width, and each piece is a quotient of two linear
functions. In units of the bin, with `s` its mean slope, `d_0`, `d_1` the slopes at its ends and
`v = sqrt(d_0 / d_1)`, the cut lies at

    (l, m),   m = l v / (1 - l + l v),

and in units of its piece the map is `r = p t / (1 - t + p t)`, where

    p = c to the left of the cut, p = v / c to the right,   c = (l d_0 + (1 - l) v d_1) / s,

which makes the slope continuous. The inverse is the same map with `1 / p` for `p`.

References:
    Fuhr & Kallay (1992), "Monotone linear rational spline interpolation".
    Dolatabadi, Erfani & Leckie (2020), "Invertible generative modeling using linear rational
    splines", algorithm 1, arXiv:2001.05168.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hkflows.kernels import bins

Array = jax.Array

MIN_CUT = 0.025  # nearest that a cut comes to the ends of its bin, as a fraction of the width


class Piece(NamedTuple):
    """A piece of a bin: its lower corner, its sides, and the `p` of its map."""

    x: Array
    y: Array
    width: Array
    height: Array
    p: Array


def num_params(num_bins: int) -> int:
    """Returns the number of unconstrained parameters: widths, heights, inner slopes and cuts."""
    return 4 * num_bins - 1


def forward(x: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the spline at `x`, shape `[...]`, and the log of its slope there.

    Args:
        x: `[...]`.
        params: `[..., 4 K - 1]`, unconstrained; all zeros give the identity.
        num_bins: K.
        bound: the half-width of the box outside which the map is the identity.
    """

    def spline(x: Array) -> tuple[Array, Array]:
        piece = _locate(x, params, num_bins, bound, axis=0)
        t = bins.within_bin((x - piece.x) / piece.width)
        return piece.y + piece.height * _map(t, piece.p), _log_slope(piece, t)

    return bins.identity_outside(spline, x, bound)


def inverse(y: Array, params: Array, num_bins: int, bound: float) -> tuple[Array, Array]:
    """Returns the `x` that `forward` maps to `y`, and minus the log of the slope there."""

    def spline(y: Array) -> tuple[Array, Array]:
        piece = _locate(y, params, num_bins, bound, axis=1)
        t = _map(bins.within_bin((y - piece.y) / piece.height), 1.0 / piece.p)
        return piece.x + piece.width * t, -_log_slope(piece, t)

    return bins.identity_outside(spline, y, bound)


def _map(t: Array, p: Array) -> Array:
    return p * t / (1.0 - t + p * t)


def _log_slope(piece: Piece, t: Array) -> Array:
    return jnp.log(piece.p * piece.height / piece.width / (1.0 - t + piece.p * t) ** 2)


def _locate(point: Array, params: Array, num_bins: int, bound: float, *, axis: int) -> Piece:
    """Returns the piece that holds an abscissa (`axis` 0) or an ordinate (`axis` 1)."""
    widths, heights, cuts, inner = jnp.split(
        params, [num_bins, 2 * num_bins, 3 * num_bins], axis=-1
    )
    bin_ = bins.locate(point, widths, heights, bound, axis=axis)
    d_0, d_1 = bins.slopes_at_ends(bins.with_unit_ends(inner), bin_.place)
    cut = bins.at(_constrain_cut, cuts, bin_.place)
    v = jnp.sqrt(d_0 / d_1)
    c = (cut * d_0 + (1.0 - cut) * v * d_1) * bin_.width / bin_.height
    below = bin_.width * cut, bin_.height * _map(cut, v)
    above = bin_.width * (1.0 - cut), bin_.height * _map(1.0 - cut, 1.0 / v)
    corner = bin_.x + below[0], bin_.y + below[1]
    right = point >= corner[axis]
    return Piece(
        jnp.where(right, corner[0], bin_.x),
        jnp.where(right, corner[1], bin_.y),
        jnp.where(right, above[0], below[0]),
        jnp.where(right, above[1], below[1]),
        jnp.where(right, v / c, c),
    )


def _constrain_cut(cut: Array) -> Array:
    return MIN_CUT + (1.0 - 2.0 * MIN_CUT) * jax.nn.sigmoid(cut)
