"""The affine map with a given triangular matrix."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.kernels.linear import solve_triangular
from hkflows.kernels.products import matvec

Array = jax.Array


class FullRankAffine(distrax.Bijector):
    """The affine map of a given shift and triangular matrix, which are not trained.

    With a shift `a` and a lower-triangular matrix `L`,

    Forward: `y = a + L x`, one product of D^2; `log|det dy/dx| = sum_i log|L_ii|`.

    Inverse: `x = L^{-1} (y - a)`, one triangular solve of D^2 / 2.

    For a standard normal `x`, the mean of `y` is `a` and its covariance `L L^T`.

    Args:
        shift: `[D]`, `a`.
        factor: `[D, D]`, `L`, without zeros on its diagonal; what is above that is not looked at.
    """

    def __init__(self, shift: Array, factor: Array):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        shift, factor = checks.floating("shift", shift), checks.floating("factor", factor)
        if shift.ndim != 1 or factor.shape != 2 * shift.shape:
            raise ValueError(
                "`shift` and `factor` must have shapes [D] and [D, D]; got "
                f"{shift.shape} and {factor.shape}."
            )
        diagonal = jnp.diagonal(factor)
        if not isinstance(diagonal, jax.core.Tracer) and not np.all(np.asarray(diagonal)):
            raise ValueError(f"`factor` must have no zero on its diagonal; got {diagonal}.")
        self._shift = shift
        self._factor = jnp.tril(factor)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._shift.shape[0])
        y = self._shift + matvec(self._factor, x)
        return y, jnp.broadcast_to(self._log_det(), x.shape[:-1])

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._shift.shape[0])
        x = solve_triangular(self._factor, y - self._shift, lower=True)
        return x, jnp.broadcast_to(-self._log_det(), y.shape[:-1])

    def _log_det(self) -> Array:
        return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(self._factor))))
