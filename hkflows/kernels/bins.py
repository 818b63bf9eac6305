"""The bins of a monotone spline on the box `[-bound, bound]^2`, and the one that holds a point.

Either each point has a spline of its own, as in a coupling, and few of its parameters matter; or
many points share one, as in the element-wise arrangement. The order of the work and the derivatives
follow from that: in the first case a bin is picked first and the derivatives are sums over masks,
in the second whole tables are prepared and read.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hkflows.kernels.products import product

Array = jax.Array

MIN_SIDE = 1e-3  # smallest side of a bin, as a fraction of the box
MIN_SLOPE = 1e-3  # smallest slope at a knot


class Bin(NamedTuple):
    """The bin that holds a point: its place in the row, its lower corner and its sides."""

    place: Array
    x: Array
    y: Array
    width: Array
    height: Array


def locate(point: Array, widths: Array, heights: Array, bound: float, *, axis: int) -> Bin:
    """Returns the bin that holds a point of the box.

    Args:
        point: `[...]`, an abscissa if `axis` is 0, an ordinate if it is 1.
        widths: `[..., K]`, unconstrained; all zeros give equal bins.
        heights: `[..., K]`, likewise.
        bound: the half-width of the box.
        axis: the coordinate that `point` is.
    """
    num_bins = widths.shape[-1]
    free = 1.0 - MIN_SIDE * num_bins  # what the softmax shares out

    def start(index: Array, before: Array) -> Array:
        return bound * (2.0 * (MIN_SIDE * index.astype(before.dtype) + free * before) - 1.0)

    def side(share: Array) -> Array:
        return 2.0 * bound * (MIN_SIDE + free * share)

    logits = (widths, heights)
    shares = tuple(jax.nn.softmax(sides, axis=-1) for sides in logits)
    # For few bins a product with a triangle of ones is faster than a cumulative sum.
    triangle = jnp.triu(jnp.ones((num_bins, num_bins), widths.dtype), 1)
    before = tuple(product(share, triangle) for share in shares)
    inner = start(jnp.arange(1, num_bins), before[axis][..., 1:])
    index = jnp.sum(point[..., None] >= inner, axis=-1, dtype=jnp.int32)
    (x, width), (y, height) = map(_pick, logits, before, shares, (index, index))
    return Bin(index, start(index, x), start(index, y), side(width), side(height))


def at(constrain: Callable[[Array], Array], table: Array, index: Array) -> Array:
    """Returns `constrain(table)[..., index]`, for `table` `[..., M]` and `index` `[...]`."""
    if _is_shared(table, index):
        return _read(constrain(table), index)
    return constrain(_read_own(table, index))


def slopes_at_ends(slopes: Array, index: Array) -> tuple[Array, Array]:
    """Returns the slopes at both ends of a bin.

    Args:
        slopes: `[..., K + 1]`, unconstrained, at the knots; zero means a slope of one.
        index: `[...]`, the place of the bin.
    """
    unit = math.log(math.expm1(1.0 - MIN_SLOPE))  # where the slope is one

    def constrain(slope: Array) -> Array:
        return MIN_SLOPE + jax.nn.softplus(slope + unit)

    return at(constrain, slopes, index), at(constrain, slopes, index + 1)


def with_unit_ends(inner: Array) -> Array:
    """Adds both ends, where the slope is one, to unconstrained inner slopes, `[..., K - 1]`."""
    end = jnp.zeros((*inner.shape[:-1], 1), inner.dtype)
    return jnp.concatenate([end, inner, end], axis=-1)


def within_bin(fraction: Array) -> Array:
    """Returns the fraction of a bin, which rounding may have put a hair outside of [0, 1].

    Out there sums of positive terms would be so no longer. The derivative is that of the identity.
    """
    return fraction + jax.lax.stop_gradient(jnp.clip(fraction, 0.0, 1.0) - fraction)


def identity_outside(
    spline: Callable[[Array], tuple[Array, Array]], point: Array, bound: float
) -> tuple[Array, Array]:
    """Returns the value and log-slope of a spline within the box and of the identity outside."""
    inside = jnp.abs(point) < bound
    value, log_slope = spline(jnp.where(inside, point, 0.0))
    return jnp.where(inside, value, point), jnp.where(inside, log_slope, 0.0)


def _is_shared(table: Array, index: Array) -> bool:
    return table.shape[:-1] != index.shape


def _read(table: Array, index: Array) -> Array:
    """Returns `table[..., index]`, the leading dimensions broadcast."""
    missing = index.ndim + 1 - table.ndim
    table = table.reshape((1,) * missing + table.shape)
    entry = jnp.take_along_axis(table, index[..., None], axis=-1, mode="promise_in_bounds")
    return entry[..., 0]


@jax.custom_jvp
def _read_own(table: Array, index: Array) -> Array:
    """Returns `table[..., index]`; in reverse mode a product with a mask, no scatter."""
    return _read(table, index)


@_read_own.defjvp
def _read_own_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    table, index = primals
    here = jnp.arange(table.shape[-1]) == index[..., None]
    return _read_own(table, index), jnp.sum(jnp.where(here, tangents[0], 0.0), axis=-1)


def _pick(logits: Array, before: Array, share: Array, index: Array) -> tuple[Array, Array]:
    """Returns `before[..., index]` and `share[..., index]`, both functions of the logits."""
    if _is_shared(logits, index):
        return _read(before, index), _read(share, index)
    return _pick_own(logits, before, share, index)


@jax.custom_jvp
def _pick_own(logits: Array, before: Array, share: Array, index: Array) -> tuple[Array, Array]:
    """Returns the same as `_pick`; differentiates the softmax at one index only."""
    return _read(before, index), _read(share, index)


@_pick_own.defjvp
def _pick_own_jvp(
    primals: tuple[Array, Array, Array, Array], tangents: tuple[Array, Any, Any, Any]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """With `p` the shares: `d p_k = p_k dl_k - p_k sum_j p_j dl_j`, summed over the bins before."""
    logits, before, share, index = primals
    here_before, here_share = _pick_own(logits, before, share, index)
    place, k = jnp.arange(logits.shape[-1]), index[..., None]
    change = share * tangents[0]
    total = jnp.sum(change, axis=-1)
    before_dot = jnp.sum(jnp.where(place < k, change, 0.0), axis=-1) - here_before * total
    share_dot = jnp.sum(jnp.where(place == k, change, 0.0), axis=-1) - here_share * total
    return (here_before, here_share), (before_dot, share_dot)
