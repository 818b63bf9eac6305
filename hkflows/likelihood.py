"""The objective of density estimation."""

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def negative_log_likelihood(q: Any, y: Array) -> Array:
    """Returns the mean of `-log q(y)` over the rows of `y` (nats), a scalar.

    Args:
        q: a distribution on vectors; with a context batch, one context for each row.
        y: `[..., D]`.
    """
    return -jnp.mean(q.log_prob(y))
