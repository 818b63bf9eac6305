"""What draws are made of: base points where there is a flow, keys elsewhere."""

from typing import Any

import jax

from hkflows.distributions import FlowDistribution

Array = jax.Array


def origins_of(q: Any, keys: Array) -> Array:
    """Returns the base points of draws of a flow, `[S, *batch_shape, D]`, one for each key.

    Those of another distribution are the keys themselves, `[S]`.
    """
    if isinstance(q, FlowDistribution):
        return jax.vmap(lambda key: q.sample_base(seed=key))(keys)
    return keys


def sample_and_log_prob(q: Any, origins: Array) -> tuple[Array, Array]:
    """Returns draws, `[S, *batch_shape, D]`, and `log q` (nats), `[S, *batch_shape]`."""
    if isinstance(q, FlowDistribution):
        return q.push(origins)
    return jax.vmap(lambda key: q.sample_and_log_prob(seed=key))(origins)


def log_prob(q: Any, y: Array) -> Array:
    """Returns `log q(y)` (nats), `[S, *batch_shape]`, of draws, `[S, *batch_shape, D]`."""
    if isinstance(q, FlowDistribution):
        return q.log_prob(y)
    return jax.vmap(q.log_prob)(y)


def sample(q: Any, origins: Array) -> Array:
    """Returns draws, `[S, *batch_shape, D]`."""
    if isinstance(q, FlowDistribution):
        return q.bijector.forward(origins)
    return jax.vmap(lambda key: q.sample(seed=key))(origins)
