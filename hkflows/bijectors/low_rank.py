"""The affine map whose matrix is a diagonal one after a low-rank change of the identity."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.kernels.products import product

Array = jax.Array


class LowRankAffine(distrax.Bijector):
    """An affine map that stretches R directions, then every dimension: for many dimensions.

    With a shift `a`, a positive diagonal `S` and `U` of shape `[D, R]`,

    Forward: `y = a + S (I + U U^T) x`, two products of D R;
    `log|det dy/dx| = sum_i log S_ii + log|det(I + U^T U)|`.

    Inverse: `x = (I - U (I + U^T U)^{-1} U^T) S^{-1} (y - a)`, by Woodbury's identity, two products
    of D R and a solve of R^2 (R + D).

    Args:
        shift: `[D]`, `a`.
        scale: `[D]`, the diagonal of `S`, positive.
        factor: `[D, R]`, `U`.
    """

    def __init__(self, shift: Array, scale: Array, factor: Array):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        shift, scale = checks.floating("shift", shift), checks.floating("scale", scale)
        factor = checks.floating("factor", factor)
        if shift.shape != scale.shape or factor.shape[:-1] != shift.shape or shift.ndim != 1:
            raise ValueError(
                "`shift`, `scale` and `factor` must have shapes [D], [D] and [D, R]; got "
                f"{shift.shape}, {scale.shape} and {factor.shape}."
            )
        if not isinstance(scale, jax.core.Tracer) and not np.all(np.asarray(scale) > 0.0):
            raise ValueError(f"`scale` must be positive; got {scale}.")
        self._shift = shift
        self._scale = scale
        self._factor = factor

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._shift.shape[0])
        U = self._factor
        y = self._shift + self._scale * (x + product(product(x, U), U.T))
        return y, jnp.broadcast_to(self._log_det(), x.shape[:-1])

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._shift.shape[0])
        U = self._factor
        u = (y - self._shift) / self._scale
        x = u - product(product(u, U), jnp.linalg.solve(self._inner(), U.T))
        return x, jnp.broadcast_to(-self._log_det(), y.shape[:-1])

    def _inner(self) -> Array:
        """Returns `I + U^T U`, `[R, R]`."""
        U = self._factor
        return jnp.eye(U.shape[1], dtype=U.dtype) + product(U.T, U)

    def _log_det(self) -> Array:
        return jnp.sum(jnp.log(self._scale)) + jnp.linalg.slogdet(self._inner())[1]
