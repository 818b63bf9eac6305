"""The vector field of a continuous flow."""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows.conditioners.features import ReadoutNetwork, readout_network
from hkflows.conditioners.traced import VectorFunction

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VectorField:
    """A vector field at fixed weights, `x, t -> dx/dt`, each `[..., D]`.

    Attributes:
        network: maps `x` and `t`, `[..., D + 1]`, to `[..., D, 1]`.
    """

    network: ReadoutNetwork

    @property
    def context(self) -> Array | None:
        """`[..., C]` or `None`."""
        return self.network.features.context

    def at(self, context: Array | None) -> "VectorField":
        """Returns the field in another context."""
        features = dataclasses.replace(self.network.features, context=context)
        return VectorField(dataclasses.replace(self.network, features=features))

    def __call__(self, x: Array, t: Array) -> Array:
        """Returns the velocity at `x`, `[..., D]`, and the time `t`."""
        time = jnp.broadcast_to(jnp.asarray(t, x.dtype), (*x.shape[:-1], 1))
        velocity = self.network(jnp.concatenate([x, time], axis=-1))[..., 0]
        return velocity.astype(x.dtype)


def vector_field(
    conditioner: VectorFunction, event_size: int, context: Array | None
) -> VectorField:
    """Visits a Haiku callable once, and adds a last layer that starts at zero.

    Args:
        conditioner: maps `x`, the time and the context, a vector `[D + 1 + C]`, to features `[H]`.
        event_size: D.
        context: `[..., C]` or `None`.
    """
    shape = (event_size, 1)
    return VectorField(
        readout_network("vector_field_readout", conditioner, event_size + 1, shape, context)
    )
