"""The objective of density estimation."""

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def negative_log_likelihood(q: Any, y: Array, *, weights: Array | None = None) -> Array:
    """Returns the mean of `-log q(y)` over the rows of `y` (nats), a scalar.

    Args:
        q: a distribution on vectors; with a context batch, one context for each row.
        y: `[..., D]`.
        weights: `[...]`, of the rows, if they do not all count alike: the mean is that of
            `-weights log q(y)`. Weights that have mean one themselves leave its scale as it is.
    """
    log_prob = q.log_prob(y)
    return -jnp.mean(log_prob if weights is None else weights * log_prob)
