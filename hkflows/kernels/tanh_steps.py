"""Steps of a hyperbolic tangent, each given those that come after it.

With `R` and `T` upper triangular M x M matrices and an offset `b`, the map

    v = z + R tanh(T z + b)

takes the last dimension first: it is autoregressive in reverse order, and increases where
`1 + R_ii T_ii > 0`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows.kernels import autoregressive

Array = jax.Array
_Bracket = tuple[Array, Array, Array, Array, int]

MAX_STEPS = 200


@dataclasses.dataclass(frozen=True)
class TanhStep:
    """The scalar map `v = z + r tanh(t z + c) + d` with parameters `(r, t, c, d)`, `r t > -1`."""

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `v` and `log dv/dz` at `z = x`, for `params` of shape `x.shape + (4,)`."""
        r, t, c, d = jnp.unstack(params, axis=-1)
        step = jnp.tanh(t * x + c)
        return x + r * step + d, jnp.log1p(r * t * (1.0 - step**2))

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `z` with `v = y`, up to rounding, and `-log dv/dz`.

        By Newton's method within a bracket, which is halved where Newton's steps do not get half as
        long. The loop has no derivatives: those of `autoregressive.sequential` do not need them.
        """
        params = jnp.broadcast_to(params, (*y.shape, params.shape[-1])).astype(y.dtype)
        reach = jnp.abs(params[..., 0])
        centre = y - params[..., 3]
        eps = jnp.finfo(y.dtype).eps

        def visit(state: _Bracket) -> _Bracket:
            low, high, z, length, count = state
            v, log_slope = self.forward(z, params)
            low = jnp.where(v <= y, z, low)
            high = jnp.where(v >= y, z, high)
            newton = jnp.clip(z - (v - y) * jnp.exp(-log_slope), low, high)
            halves = 2.0 * jnp.abs(newton - z) <= length
            following = jnp.where(halves, newton, low + 0.5 * (high - low))
            close = jnp.abs(v - y) <= eps * (jnp.abs(z) + reach)
            following = jnp.where(close | (length <= 4.0 * eps * jnp.abs(z)), z, following)
            return low, high, following, jnp.abs(following - z), count + 1

        def moving(state: _Bracket) -> Array:
            _, _, z, length, count = state
            return (count < MAX_STEPS) & jnp.any(length > 4.0 * eps * jnp.abs(z))

        start = centre - reach, centre + reach, centre, jnp.full_like(y, jnp.inf), 0
        z = jax.lax.while_loop(moving, visit, start)[2]
        return z, -self.forward(z, params)[1]


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
        c = _product(jnp.triu(self.inner, 1), u) + self.offset
        d = _product(jnp.triu(self.outer, 1), jnp.tanh(t * u + c))
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


def _product(matrix: Array, x: Array) -> Array:
    return jnp.einsum("...ij,...j->...i", matrix, x)
