"""Independent dimensions, each with a location and a scale."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.kernels import bounds

Array = jax.Array

MAX_LOG_SCALE = 20.0


def standard_normal(event_size: int) -> distrax.Distribution:
    """Returns the standard normal distribution on vectors of size `event_size`."""
    event_size = checks.positive_int("event_size", event_size)
    normal = distrax.Normal(jnp.zeros(event_size), jnp.ones(event_size))
    return distrax.Independent(normal, reinterpreted_batch_ndims=1)


def diagonal_normal(event_size: int, *, context: Array | None = None) -> distrax.Distribution:
    """Returns a normal distribution with independent dimensions, which starts as the standard one.

    Args:
        event_size: D.
        context: `[..., C]`; location and log-scale then depend on it linearly, and its leading
            dimensions are the batch of the distribution.
    """
    normal = distrax.Normal(*location_and_scale("diagonal_normal", event_size, context))
    return distrax.Independent(normal, reinterpreted_batch_ndims=1)


def logistic(event_size: int, *, context: Array | None = None) -> distrax.Distribution:
    """Returns a logistic distribution with independent dimensions, which starts at scale one.

    Args:
        event_size: D.
        context: as for `diagonal_normal`.
    """
    logistic = distrax.Logistic(*location_and_scale("logistic", event_size, context))
    return distrax.Independent(logistic, reinterpreted_batch_ndims=1)


def location_and_scale(name: str, event_size: int, context: Array | None) -> tuple[Array, Array]:
    """Fetches locations and scales, which start at zero and one, `[..., D]` each."""
    D = checks.positive_int("event_size", event_size)
    params = parameters(name, (D, 2), context)
    return params[..., 0], jnp.exp(bounds.within(params[..., 1], MAX_LOG_SCALE))
