"""What a bijector makes of an event, by shape and dtype."""

from typing import Protocol, runtime_checkable

import distrax
import jax


@runtime_checkable
class KnowsItsResult(Protocol):
    """A bijector that need not be traced for the shape of its result."""

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """See `result_shape`."""


def result_shape(bijector: distrax.Bijector, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Returns the shape and dtype of `bijector.forward(event)`.

    A sequential direction is costly to trace, so those who know their result say it; the others are
    evaluated abstractly.
    """
    if isinstance(bijector, KnowsItsResult):
        return bijector.result_shape(event)
    return jax.eval_shape(bijector.forward, event)
