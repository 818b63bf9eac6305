"""The same layer many times, compiled once."""

from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.result import result_shape
from hkflows.bijectors.score import forward_and_score
from hkflows.conditioners import stacked

Array = jax.Array


class Repeated(distrax.Bijector):
    """Applies a layer `num_layers` times, each time with parameters of its own.

    Forward: `y = f_L(... f_1(x))`, the log-dets add up. Inverse: the other way round. Both are a
    `scan` over the layers, whose parameters are stacked: what is compiled does not grow with the
    number of layers, unlike that of a `Chain`. Each direction costs what the layers cost.

    Args:
        layer: builds one layer from the context, with Haiku; a bijector on vectors that keeps
            their size.
        num_layers: L.
        context: `[..., C]` or `None`, the same for all layers.

    Raises:
        ValueError: if `layer` does not build such a bijector.
    """

    def __init__(
        self,
        layer: Callable[[Array | None], distrax.Bijector],
        num_layers: int,
        *,
        context: Array | None = None,
    ):
        checks.function("layer", layer)
        num_layers = checks.positive_int("num_layers", num_layers)
        layers = stacked(layer, num_layers, checks.context(context))
        if not isinstance(layers, distrax.Bijector) or (
            (layers.event_ndims_in, layers.event_ndims_out) != (1, 1)
        ):
            raise ValueError(f"`layer` must build a bijector on vectors; it built {layers!r}.")
        super().__init__(
            event_ndims_in=1,
            is_constant_jacobian=layers.is_constant_jacobian,
            is_constant_log_det=layers.is_constant_log_det,
        )
        self._layers = layers
        self._num_layers = num_layers

    @property
    def layers(self) -> distrax.Bijector:
        """All layers as one, every array with a leading axis of size `num_layers`."""
        return self._layers

    @property
    def num_layers(self) -> int:
        """L."""
        return self._num_layers

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = self._as_result(x)

        def step(carry: tuple[Array, Array], layer: distrax.Bijector) -> tuple[Any, None]:
            x, log_det = carry
            x, increment = layer.forward_and_log_det(x)
            return (x, log_det + increment), None

        start = x, jnp.zeros(x.shape[:-1], x.dtype)
        return jax.lax.scan(step, start, self._layers, length=self.num_layers)[0]

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = self._as_result(y)

        def step(carry: tuple[Array, Array], layer: distrax.Bijector) -> tuple[Any, None]:
            y, log_det = carry
            y, increment = layer.inverse_and_log_det(y)
            return (y, log_det + increment), None

        start = y, jnp.zeros(y.shape[:-1], y.dtype)
        return jax.lax.scan(step, start, self._layers, length=self.num_layers, reverse=True)[0]

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density from layer to layer; see `bijectors.score`."""
        x = self._as_result(x)

        def step(carry: tuple[Array, Array, Array], layer: distrax.Bijector) -> tuple[Any, None]:
            x, log_det, score = carry
            x, increment, score = forward_and_score(layer, x, score)
            return (x, log_det + increment, score), None

        score = jnp.broadcast_to(score.astype(x.dtype), x.shape)
        start = x, jnp.zeros(x.shape[:-1], x.dtype), score
        return jax.lax.scan(step, start, self._layers, length=self.num_layers)[0]

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that the layers give an event."""
        return result_shape(jax.tree.map(lambda leaf: leaf[0], self._layers), event)

    def _as_result(self, x: Array) -> Array:
        """Returns the event with the batch and the dtype that the first layer gives it.

        What goes through a `scan` has one shape and one dtype.
        """
        x = jnp.asarray(x)
        one = self.result_shape(jax.ShapeDtypeStruct(x.shape[-1:], x.dtype))
        batch_shape = jnp.broadcast_shapes(x.shape[:-1], one.shape[:-1])
        return jnp.broadcast_to(x.astype(one.dtype), (*batch_shape, x.shape[-1]))
