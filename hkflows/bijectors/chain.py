"""Composition in the order of reading."""

from collections.abc import Sequence
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hkflows.bijectors.conversion import as_bijector
from hkflows.bijectors.result import result_shape
from hkflows.bijectors.score import forward_and_score

Array = jax.Array


class Chain(distrax.Bijector):
    """Applies bijectors **in list order**: the first is the first that a draw from the base meets.

    Note that `distrax.Chain` does the opposite: it applies the *last* of its list first.

    Forward: `y = f_n(... f_1(x))`, the log-dets add up. Inverse: the other way round. Each
    direction costs what its links cost in that direction.

    Args:
        bijectors: any distrax or TFP bijectors, or callables that distrax understands. Scalar ones
            act on each dimension.

    Raises:
        ValueError: if there is none, or one does not act on vectors.
    """

    def __init__(self, bijectors: Sequence[Any]):
        if not hasattr(bijectors, "__iter__"):
            raise ValueError(f"`bijectors` must be a sequence of bijectors; got {bijectors!r}.")
        links = tuple(_on_vectors(index, bijector) for index, bijector in enumerate(bijectors))
        if not links:
            raise ValueError("`bijectors` must hold at least one bijector; got none.")
        super().__init__(
            event_ndims_in=1,
            is_constant_jacobian=all(link.is_constant_jacobian for link in links),
            is_constant_log_det=all(link.is_constant_log_det for link in links),
        )
        self._links = links

    @property
    def bijectors(self) -> tuple[distrax.Bijector, ...]:
        """The links, first applied first."""
        return self._links

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D']`, and `log|det dy/dx|`, `[...]`."""
        x = jnp.asarray(x)
        log_det = jnp.zeros((), x.dtype)
        for link in self._links:
            x, increment = link.forward_and_log_det(x)
            log_det = log_det + increment
        return x, log_det

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D']`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = jnp.asarray(y)
        log_det = jnp.zeros((), y.dtype)
        for link in reversed(self._links):
            y, increment = link.inverse_and_log_det(y)
            log_det = log_det + increment
        return y, log_det

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that the chain gives an event."""
        for link in self._links:
            event = result_shape(link, event)
        return event

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density from link to link; see `bijectors.score`."""
        x = jnp.asarray(x)
        log_det = jnp.zeros((), x.dtype)
        for link in self._links:
            x, increment, score = forward_and_score(link, x, score)
            log_det = log_det + increment
        return x, log_det, score


def _on_vectors(index: int, bijector: Any) -> distrax.Bijector:
    """Returns a bijector-like as a distrax bijector on vectors."""
    bijector = as_bijector(f"bijectors[{index}]", bijector)
    ndims = (bijector.event_ndims_in, bijector.event_ndims_out)
    if ndims == (0, 0):
        return distrax.Block(bijector, 1)
    if ndims != (1, 1):
        raise ValueError(
            f"`bijectors[{index}]` must act on vectors or scalars; {bijector.name} takes events of "
            f"{ndims[0]} dimensions to events of {ndims[1]}."
        )
    return bijector
