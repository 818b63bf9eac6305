"""The trainable affine map with any matrix, by its triangular factors."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.kernels.linear import solve_triangular, unit_product
from hkflows.transformers.affine import END

Array = jax.Array


class LUAffine(distrax.Bijector):
    """A linear map by its LU decomposition, and a shift.

    With `L` lower and `U` upper triangular, both with a unit diagonal, a positive diagonal `S` and
    a shift `a`,

    Forward: `y = S L U x + a`, two products of D^2; `log|det dy/dx| = sum_i log S_ii`.

    Inverse: `x = U^{-1} L^{-1} S^{-1} (y - a)`, two triangular solves of D^2 / 2.

    The map starts at the identity. It reaches every matrix whose leading minors are all
    positive.

    Args:
        event_size: D.
        context: `[..., C]`; the parameters then depend on it linearly.

    References:
        Kingma & Dhariwal (2018), "Glow", section 3.2, arXiv:1807.03039. Oliva et al. (2018),
        "Transformation autoregressive networks", section 2.2.1, arXiv:1801.09819.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        D = checks.positive_int("event_size", event_size)
        matrix = parameters("lu_matrix", (D, D), context)
        self._lower = jnp.tril(matrix, -1)
        self._upper = jnp.triu(matrix, 1)
        log_scale = jnp.diagonal(matrix, axis1=-2, axis2=-1)
        self._shift_and_scale = jnp.stack([parameters("lu_shift", (D,), context), log_scale], -1)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._lower.shape[-1])
        mixed = unit_product(self._lower, unit_product(self._upper, x))
        y, log_scale = END.forward(mixed, self._shift_and_scale)
        return y, jnp.sum(log_scale, axis=-1).astype(y.dtype)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._lower.shape[-1])
        mixed, log_scale = END.inverse(y, self._shift_and_scale)
        x = solve_triangular(self._lower, mixed, lower=True, unit=True)
        x = solve_triangular(self._upper, x, lower=False, unit=True)
        return x, jnp.sum(log_scale, axis=-1).astype(x.dtype)
