"""Whether a fit misses a tail, or what is near: importance sampling from a wider distribution."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.diagnostics.weights import mean_of_exponentials

Array = jax.Array

WIDER = (1.5, 2.0, 3.0)  # factors for all dimensions of the base at once
WIDER_ALONE = 4.0  # the factor for one dimension at a time
MAX_ALONE = 32  # dimensions that get their turn
NUM_WIDE_DRAWS = 4096


def wide_evidence(
    base: Any, log_density: Callable[[Array], np.ndarray], key: Array
) -> tuple[float, float]:
    """Returns log Z (nats) from draws of a wider distribution than the base, and its error.

    The proposal is a mixture: the base distribution itself, the same with all of its dimensions
    wider, and with one of them wider at a time.

    Args:
        base: the flow's base distribution, without a batch.
        log_density: maps base points, `[n, D]`, to the posterior's log densities among them (nats),
            `[n]`, as `pulled_back` does.
        key: a PRNG key.
    """
    x, log_r = _wide_draws(base, key)
    return mean_of_exponentials(log_density(x) - np.asarray(log_r, np.float64))


@quick_jit
def _wide_draws(base: Any, key: Array) -> tuple[Array, Array]:
    """Returns draws of the mixture, `[NUM_WIDE_DRAWS, D]`, and their log densities (nats)."""
    D = base.event_shape[0]
    pick_key, base_key = jax.random.split(key)
    alone = jnp.arange(D)
    if D > MAX_ALONE:
        alone = jax.random.permutation(pick_key, alone)[:MAX_ALONE]
    scales = jnp.concatenate(
        [
            jnp.ones((1, D)),
            jnp.asarray(WIDER)[:, None] * jnp.ones(D),
            1.0 + (WIDER_ALONE - 1.0) * jax.nn.one_hot(alone, D),
        ]
    )
    component = jnp.arange(NUM_WIDE_DRAWS) % len(scales)
    x = scales[component] * base.sample(seed=base_key, sample_shape=(NUM_WIDE_DRAWS,))

    def log_r_of(s: Array) -> Array:
        return base.log_prob(x / s) - jnp.sum(jnp.log(s))

    log_of_each = jax.lax.map(log_r_of, scales)
    return x, jax.nn.logsumexp(log_of_each, axis=0) - jnp.log(len(scales))
