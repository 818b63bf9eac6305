"""The trainable affine map with a triangular matrix."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.transformers import Affine

Array = jax.Array


class TriangularAffine(distrax.Bijector):
    """A lower-triangular linear map, then a scale and a shift: any full-rank Gaussian's map.

    With `L` lower triangular with a unit diagonal, `S` a positive diagonal and `a` a shift,

    Forward: `y = S L x + a`, `log|det dy/dx| = sum_i log S_ii`, one product of D^2 / 2.
    Inverse: `x = L^{-1} S^{-1} (y - a)`, one triangular solve of D^2 / 2.

    It starts at the identity, and reaches any location and every scale in `exp(+-20)`.

    Args:
        event_size: D.
        context: `[..., C]`; the parameters then depend on it linearly.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        D = checks.positive_int("event_size", event_size)
        self._lower = parameters("triangular_lower", (D, D), context)
        self._diagonal = parameters("triangular_diagonal", (D, 2), context)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._lower.shape[-1])
        mixed = x + jnp.einsum("...ij,...j->...i", jnp.tril(self._lower, -1), x)
        y, log_scale = END.forward(mixed, self._diagonal)
        return y, jnp.sum(log_scale, axis=-1)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._lower.shape[-1])
        mixed, log_scale = END.inverse(y, self._diagonal)
        matrix = jnp.broadcast_to(self._lower, (*mixed.shape, mixed.shape[-1]))
        x = jax.lax.linalg.triangular_solve(
            matrix,
            mixed[..., None],
            left_side=True,
            lower=True,
            unit_diagonal=True,
        )[..., 0]
        return x, jnp.sum(log_scale, axis=-1)


# The scale and shift at the data end of a flow: wide enough for any unit of measurement.
END = Affine(max_log_scale=20.0)
