"""Steps of a hyperbolic tangent, each given those that come after it.

With `R` and `T` upper triangular M x M matrices and an offset `b`, the map

    v = z + R tanh(T z + b)

takes the last dimension first: it is autoregressive in reverse order, and increases where
`1 + R_ii T_ii > 0`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows.kernels import autoregressive, root
from hkflows.kernels.products import matvec

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class TanhStep:
    """The scalar map `v = z + r tanh(t z + c) + d` with parameters `(r, t, c, d)`, `r t > -1`."""

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `v` and `log dv/dz` at `z = x`, for `params` of shape `x.shape + (4,)`."""
        r, t, c, d = jnp.unstack(params, axis=-1)
        step = jnp.tanh(t * x + c)
        return x + r * step + d, jnp.log1p(r * t * (1.0 - step**2))

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `z` with `v = y`, up to rounding, and `-log dv/dz`."""
        params = jnp.broadcast_to(params, (*y.shape, params.shape[-1])).astype(y.dtype)
        z = root.solve(self.forward, _bracket, y, params)
        return z, -self.forward(z, params)[1]


def _bracket(y: Array, params: Array) -> tuple[Array, Array]:
    """Returns `z` at the two ends of the hyperbolic tangent."""
    reach, centre = params[..., 0], y - params[..., 3]
    return centre - reach, centre + reach


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
    """The network that gives each dimension the parameters of its `TanhStep`.

    Attributes:
        outer: `[..., M, M]`, R; what is below its diagonal is not used.
        inner: `[..., M, M]`, T, likewise.
        offset: `[..., M]`, b.
    """

    outer: Array
    inner: Array
    offset: Array

    @property
    def order(self) -> tuple[int, ...]:
        """The last dimension comes first."""
        return tuple(range(self.offset.shape[-1]))[::-1]

    def __call__(self, u: Array) -> Array:
        """Returns the parameters `[..., M, 4]` at `u`, shape `[..., M]`."""
        r, t = (jnp.diagonal(matrix, axis1=-2, axis2=-1) for matrix in (self.outer, self.inner))
        c = matvec(jnp.triu(self.inner, 1), u) + self.offset
        d = matvec(jnp.triu(self.outer, 1), jnp.tanh(t * u + c))
        return jnp.stack(jnp.broadcast_arrays(r, t, c, d), axis=-1)


def forward(steps: Steps, z: Array) -> tuple[Array, Array]:
    """Returns `v`, `[..., M]`, and `log|det dv/dz|`, `[...]`, at `z`, `[..., M]`."""
    return autoregressive.parallel(TanhStep(), *_of_one_kind(steps, z))


def inverse(steps: Steps, v: Array) -> tuple[Array, Array]:
    """Returns `z`, `[..., M]`, and `log|det dz/dv|`, `[...]`, at `v`, `[..., M]`: M roots in turn.

    The derivatives are exact, by the implicit function theorem.
    """
    return autoregressive.sequential(TanhStep(), *_of_one_kind(steps, v))


def forward_and_score(steps: Steps, z: Array, score: Array) -> tuple[Array, Array, Array]:
    """Returns `v`, `log|det J|` and `J^{-T} (score - d log|det J| / dz)`, J the Jacobian at `z`."""
    return autoregressive.forward_and_score(TanhStep(), *_of_one_kind(steps, z), score)


def _of_one_kind(steps: Steps, value: Array) -> tuple[Steps, Array]:
    """Returns both with the dtype, and the value with the shape, of the result."""
    dtype = jnp.promote_types(value.dtype, steps.offset.dtype)
    shape = jnp.broadcast_shapes(value.shape, steps.offset.shape)
    steps = jax.tree.map(lambda array: array.astype(dtype), steps)
    return steps, jnp.broadcast_to(value, shape).astype(dtype)
