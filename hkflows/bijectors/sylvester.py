"""The Sylvester flow: several steps at once, in a trained frame."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters, scattered
from hkflows.kernels import bounds, orthogonal, tanh_steps
from hkflows.kernels.products import matvec, vecmat

Array = jax.Array

MAX_LOG_SLOPE = 5.0


class Sylvester(distrax.Bijector):
    """Moves an event within M directions, by steps along each of them.

    With M orthonormal directions, the columns of `Q`, a product of K reflections, and upper
    triangular M x M matrices `R` and `T` with `R_ii T_ii > -1`,

    Forward: `y = x + Q R tanh(T Q^T x + b)`, two products of D M;
    `log|det dy/dx| = sum_i log(1 + R_ii T_ii tanh'(T Q^T x + b)_i)`.

    Inverse: with `z = Q^T x`, `Q^T y = z + R tanh(T z + b)` is solved from the last dimension to
    the first, each the root of an increasing function of one variable.

    `R` starts at zero, the identity, and `T` at the unit matrix; the reflections start anywhere.

    Args:
        event_size: D.
        rank: M, at most D; by default D.
        num_reflections: K, which lead the first M axes to the columns of `Q`.
        context: `[..., C]`; all parameters then depend on it linearly.

    Raises:
        ValueError: if `rank` exceeds `event_size`.

    References:
        van den Berg, Hasenclever, Tomczak & Welling (2018), "Sylvester normalizing flows for
        variational inference", section 4, arXiv:1803.05649.
    """

    def __init__(
        self,
        event_size: int,
        *,
        rank: int | None = None,
        num_reflections: int = 4,
        context: Array | None = None,
    ):
        super().__init__(event_ndims_in=1)
        D = checks.positive_int("event_size", event_size)
        M = D if rank is None else checks.positive_int("rank", rank)
        if M > D:
            raise ValueError(f"`rank` must be at most `event_size`, {D}; got {M}.")
        K = checks.positive_int("num_reflections", num_reflections)
        vectors = parameters("sylvester_reflections", (K, D), context, scattered(1.0))
        self._frame = orthogonal.reflect(vectors[..., None, :, :], jnp.eye(M, D))
        self._steps = _steps(
            parameters("sylvester_outer", (M, M), context),
            parameters("sylvester_inner", (M, M), context),
            parameters("sylvester_offset", (M,), context),
        )

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._frame.shape[-1])
        z = self._within(x)
        v, log_det = tanh_steps.forward(self._steps, z)
        return x + self._back(v - z), log_det

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._frame.shape[-1])
        v = self._within(y)
        z, log_det = tanh_steps.inverse(self._steps, v)
        return y + self._back(z - v), log_det

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density by a triangular solve; see `bijectors.score`."""
        z, score_z = self._within(x), self._within(score)
        v, log_det, score_v = tanh_steps.forward_and_score(self._steps, z, score_z)
        return x + self._back(v - z), log_det, score + self._back(score_v - score_z)

    def _within(self, x: Array) -> Array:
        """Returns `Q^T x`, `[..., M]`."""
        return matvec(self._frame, x)

    def _back(self, z: Array) -> Array:
        """Returns `Q z`, `[..., D]`."""
        return vecmat(z, self._frame)


def _steps(outer: Array, inner: Array, offset: Array) -> tanh_steps.Steps:
    """Returns the matrices with diagonals whose product is above minus one."""
    t = jnp.exp(bounds.within(jnp.diagonal(inner, axis1=-2, axis2=-1), MAX_LOG_SLOPE))
    r = bounds.above_minus_one(jnp.diagonal(outer, axis1=-2, axis2=-1)) / t
    return tanh_steps.Steps(_with_diagonal(outer, r), _with_diagonal(inner, t), offset)


def _with_diagonal(matrix: Array, diagonal: Array) -> Array:
    return jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), diagonal[..., None, :], matrix)
