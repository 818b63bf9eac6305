"""The log weights of fresh draws, by which stages are told apart."""

import jax
import jax.numpy as jnp

from hkflows import elbo
from hkflows.compilation import quick_jit
from hkflows.distributions import FlowDistribution
from hkflows.elbo import LogDensity
from hkflows.targets.argument import as_argument

Array = jax.Array

NUM_FRESH_DRAWS = 1000


def fresh_log_weights(log_density: LogDensity, q: FlowDistribution, key: Array) -> Array:
    """Returns `log p(z) - log q(z)` (nats) of draws of `q`, `[NUM_FRESH_DRAWS]`.

    Distributions of one structure share one compiled program.
    """
    return _fresh_log_weights(as_argument(log_density), q, key)


@quick_jit
def _fresh_log_weights(log_density: LogDensity, q: FlowDistribution, key: Array) -> Array:
    _, aux = elbo.negative_elbo(
        q, log_density, seed=key, num_samples=NUM_FRESH_DRAWS, chunk_size=NUM_FRESH_DRAWS // 2
    )
    return aux["log_weights"]


def finite_moments(log_weights: Array) -> tuple[Array, Array]:
    """Returns the mean and the standard deviation of the finite log weights.

    If fewer than half are finite, these are minus infinity and infinity.
    """
    finite = jnp.isfinite(log_weights)
    most = 2 * jnp.sum(finite) >= log_weights.size
    mean = jnp.mean(log_weights, where=finite)
    spread = jnp.std(log_weights, where=finite)
    return jnp.where(most, mean, -jnp.inf), jnp.where(most, spread, jnp.inf)
