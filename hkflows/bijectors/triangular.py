"""The trainable affine map with a triangular matrix."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.kernels.linear import solve_triangular, unit_product
from hkflows.transformers.affine import END

Array = jax.Array


class TriangularAffine(distrax.Bijector):
    """A lower-triangular linear map and a shift: the map of any full-rank Gaussian.

    With `L` lower triangular with a unit diagonal, `N` the diagonal of the norms of its rows, `S` a
    positive diagonal and `a` a shift,

    Forward: `y = S N^{-1} L x + a`, one product of D^2;
    `log|det dy/dx| = sum_i log(S_ii / N_ii)`.

    Inverse: `x = L^{-1} N S^{-1} (y - a)`, one triangular solve of D^2 / 2.

    For a standard normal `x`, `S` holds the standard deviations of `y`, and `N^{-1} L` is the
    Cholesky factor of its correlations: each can be learned without moving the other, in any unit.
    The map starts at the identity, and reaches any location and every scale in `exp(+-20)`.

    Args:
        event_size: D.
        context: `[..., C]`; the parameters then depend on it linearly.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        D = checks.positive_int("event_size", event_size)
        self._lower = jnp.tril(parameters("triangular_lower", (D, D), context), -1)
        self._shift_and_scale = parameters("triangular_diagonal", (D, 2), context)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._lower.shape[-1])
        norm = self._row_norms()
        mixed = unit_product(self._lower, x) / norm
        y, log_scale = END.forward(mixed, self._shift_and_scale)
        return y, jnp.sum(log_scale - jnp.log(norm), axis=-1).astype(y.dtype)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._lower.shape[-1])
        norm = self._row_norms()
        mixed, log_scale = END.inverse(y, self._shift_and_scale)
        x = solve_triangular(self._lower, norm * mixed, lower=True, unit=True)
        return x, jnp.sum(log_scale + jnp.log(norm), axis=-1).astype(x.dtype)

    def _row_norms(self) -> Array:
        return jnp.sqrt(1.0 + jnp.sum(self._lower**2, axis=-1))
