"""A network in blocks, one per dimension, each increasing in its own dimension.

With `h_0 = u` and, for the hidden layers `l = 1, ..., L`,

    h_l^i = tanh(A_l^i h_{l-1}^i + c_l^i),    c_l^i = b_l^i + sum_{j<i} W_l^{ij} h_{l-1}^j,
    v_i = u_i + a_i^T h_L^i + c^i,            c^i = b^i + sum_{j<i} (w^{ij} h_L^j + T_ij u_j),

all entries of the diagonal blocks `A_l` positive, the slope is one plus a sum of positive terms
times the entries of `a`, computed along with the value:

    dv_i/du_i = 1 + a_i^T G_L A_L ... G_1 A_1,    G_l = diag(1 - (h_l^i)^2).

Given the dimensions before it, `v_i` is a scalar map of `u_i` whose parameters are the `c`, `A` and
`a` of its block: that is how the inverse sees it.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from hkflows.kernels import root
from hkflows.kernels.products import matvec, product

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BlockNetwork:
    """The network at fixed weights: an autoregressive one, `[..., D] -> [..., D, P]`.

    Attributes:
        across: what goes from block to block, `[D M_{l-1}, D M_l]` a layer, `[D M_L, D]` for the
            last; masked.
        skip: `[D, D]`, the transpose of T; masked.
        biases: `[..., D M_1], [D M_2], ..., [..., D]`; a context is part of the first and the last.
        within: the diagonal blocks, `[D, M_l, M_{l-1}]` a layer, and `a`, `[D, 1, M_L]`.
    """

    across: tuple[Array, ...]
    skip: Array
    biases: tuple[Array, ...]
    within: tuple[Array, ...]

    @property
    def event_size(self) -> int:
        """D, the number of event dimensions."""
        return self.skip.shape[0]

    @property
    def order(self) -> tuple[int, ...]:
        """The natural order."""
        return tuple(range(self.event_size))

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of the context that the network was built with."""
        return self.biases[0].shape[:-1]

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of the result for an input of no higher precision."""
        return jnp.result_type(self.skip)

    def astype(self, dtype: jnp.dtype) -> "BlockNetwork":
        """Returns the network with weights of another dtype."""
        return jax.tree.map(lambda array: array.astype(dtype), self)

    def __call__(self, u: Array) -> Array:
        """Returns the parameters of the scalar maps, `[..., D, P]`, at `u`, shape `[..., D]`."""

        def in_blocks(values: Array) -> Array:
            size = values.shape[-1] // self.event_size
            return values.reshape(*values.shape[:-1], self.event_size, size)

        h = u
        offsets = []
        for across, bias, within in zip(self.across, self.biases, self.within[:-1], strict=False):
            offsets.append(in_blocks(product(h, across) + bias))
            h = jnp.tanh(offsets[-1] + matvec(within, in_blocks(h)))
            h = h.reshape(*u.shape[:-1], across.shape[-1])
        last = product(h, self.across[-1]) + product(u, self.skip) + self.biases[-1]
        offsets.append(in_blocks(last))
        blocks = [
            jnp.broadcast_to(within.reshape(self.event_size, -1), (*u.shape, within[0].size))
            for within in self.within
        ]
        return jnp.concatenate([*offsets, *blocks], axis=-1)


def num_params(sizes: Sequence[int]) -> int:
    """Returns P for the sizes `M_1, ..., M_L` of the hidden blocks."""
    return sum(math.prod(shape) for shape in _shapes(sizes))


def forward(x: Array, params: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Returns `v_i` and `log dv_i/du_i` at `u_i = x`.

    Args:
        x: `[...]`.
        params: `[..., P]`.
        sizes: `M_1, ..., M_L`.
    """
    *hidden, (offset, last) = _unpack(params, sizes)
    h, slope = x[..., None], jnp.ones_like(x)[..., None]
    for hidden_offset, within in hidden:
        h = jnp.tanh(hidden_offset + matvec(within, h))
        slope = (1.0 - h**2) * matvec(within, slope)
    step, slope = matvec(last, h), matvec(last, slope)
    return x + (step + offset)[..., 0], jnp.log1p(slope[..., 0])


def inverse(y: Array, params: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Returns the `u_i` with `v_i = y`, up to rounding, and `-log dv_i/du_i`."""
    params = jnp.broadcast_to(params, (*y.shape, params.shape[-1])).astype(y.dtype)

    def bracket(y: Array, params: Array) -> tuple[Array, Array]:
        offset, last = _unpack(params, sizes)[-1]  # the hidden units stay within (-1, 1)
        centre, reach = y - offset[..., 0], jnp.sum(jnp.abs(last[..., 0, :]), axis=-1)
        return centre - reach, centre + reach

    x = root.solve(functools.partial(forward, sizes=sizes), bracket, y, params)
    return x, -forward(x, params, sizes)[1]


def _shapes(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns the shapes of the offsets of all layers, then those of their blocks."""
    layers = [1, *sizes, 1]
    blocks = [(after, before) for before, after in itertools.pairwise(layers)]
    return [*((after,) for after, _ in blocks), *blocks]


def _unpack(params: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Turns parameters `[..., P]` into the offset and the block of each layer."""
    shapes = _shapes(sizes)
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    parts = [
        part.reshape(*params.shape[:-1], *shape)
        for part, shape in zip(jnp.split(params, ends[:-1], axis=-1), shapes, strict=True)
    ]
    return list(zip(parts[: len(parts) // 2], parts[len(parts) // 2 :], strict=True))
