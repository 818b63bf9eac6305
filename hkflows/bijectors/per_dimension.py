"""A scalar map for each dimension, wherever its parameters come from."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.result import broadcast_result
from hkflows.transformers import Transformer

Array = jax.Array


class PerDimension(distrax.Bijector):
    """A scalar map for each dimension.

    Args:
        transformer: the scalar map, with P parameters.
        params: `[..., D, P]`.
    """

    def __init__(self, transformer: Transformer, params: Array):
        super().__init__(event_ndims_in=1)
        self._transformer = transformer
        self._params = params

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

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that either direction gives an event."""
        *batch_shape, event_size, _ = self._params.shape
        return broadcast_result(event, event_size, tuple(batch_shape), self._params.dtype)

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density by two derivatives; see `bijectors.score`.

        The Jacobian is diagonal: `s_y = (s_x - d log tau'(x) / dx) / tau'(x)`.
        """
        x = checks.event("x", x, self._params.shape[-2])
        (y, log_derivative), (slope, bend) = jax.jvp(
            lambda x: self._transformer.forward(x, self._params), (x,), (jnp.ones_like(x),)
        )
        return y, jnp.sum(log_derivative, axis=-1), (score - bend) / slope
