"""The element-wise arrangement: each dimension on its own."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.transformers import RationalQuadratic, Transformer, check_transformer

Array = jax.Array


class Elementwise(distrax.Bijector):
    """Transforms each dimension by a scalar map with trainable parameters of its own.

    Forward: `y_i = tau(x_i; h_i)`, `log|det dy/dx| = sum_i log tau'(x_i; h_i)`.
    Inverse: `x_i = tau^{-1}(y_i; h_i)`, `log|det dx/dy| = -sum_i log tau'(x_i; h_i)`.

    Args:
        event_size: D.
        transformer: the scalar map tau.
        context: `[..., C]`; the parameters `h` then depend on it linearly, and its leading
            dimensions are the batch of the bijector.
    """

    def __init__(self, event_size: int, transformer: Transformer, *, context: Array | None = None):
        super().__init__(event_ndims_in=1)
        check_transformer(transformer)
        shape = (checks.positive_int("event_size", event_size), transformer.num_params)
        self._params = parameters("elementwise", shape, context)
        self._transformer = transformer

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._params.shape[-2])
        y, log_derivative = self._transformer.forward(x, self._params)
        return y, jnp.sum(log_derivative, axis=-1)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._params.shape[-2])
        x, log_derivative = self._transformer.inverse(y, self._params)
        return x, jnp.sum(log_derivative, axis=-1)


class RQS(Elementwise):
    """The element-wise rational-quadratic spline.

    Args:
        event_size: D.
        num_bins: K.
        bound: half-width of the box outside which the map is the identity.
        context: as for `Elementwise`.
    """

    def __init__(
        self,
        event_size: int,
        *,
        num_bins: int = 8,
        bound: float = 5.0,
        context: Array | None = None,
    ):
        super().__init__(event_size, RationalQuadratic(num_bins, bound), context=context)
