"""What a bijector makes of an event, by shape and dtype."""

from typing import Protocol, runtime_checkable

import distrax
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


@runtime_checkable
class KnowsItsResult(Protocol):
    """A bijector that need not be traced for the shape of its result."""

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """See `result_shape`."""


def result_shape(bijector: distrax.Bijector, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Returns the shape and dtype of `bijector.forward(event)`.

    Distributions ask for it often, and networks and sequential directions are costly to trace: so
    those who know their result say it. The others are evaluated abstractly.
    """
    if isinstance(bijector, KnowsItsResult):
        return bijector.result_shape(event)
    return jax.eval_shape(bijector.forward, event)


def broadcast_result(
    event: jax.ShapeDtypeStruct | jax.Array,
    event_size: int,
    batch_shape: tuple[int, ...],
    dtype: DTypeLike,
) -> jax.ShapeDtypeStruct:
    """Returns the result of a bijector that keeps the size of events, in a batch of its own.

    Args:
        event: `[..., D]`.
        event_size: D, for which the bijector was made.
        batch_shape: that of the bijector's contexts.
        dtype: that of its weights.

    Raises:
        ValueError: if the event is of another size.
    """
    if event.shape[-1:] != (event_size,):
        raise ValueError(
            "`bijector` must be made for events of the size that it gets; got one for "
            f"{event_size} and events of shape {event.shape[-1:]}."
        )
    batch = jnp.broadcast_shapes(event.shape[:-1], batch_shape)
    return jax.ShapeDtypeStruct((*batch, event_size), jnp.promote_types(event.dtype, dtype))
