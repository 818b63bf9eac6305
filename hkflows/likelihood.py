"""The objective of density estimation."""

from typing import Any

import jax
import jax.numpy as jnp

from hkflows import checks

Array = jax.Array


def negative_log_likelihood(q: Any, y: Array, *, weights: Array | None = None) -> Array:
    """Returns the mean of `-log q(y)` over the rows of `y` (nats), a scalar.

    Args:
        q: a distribution on vectors; with a context batch, one context for each row.
        y: `[..., D]`.
        weights: `[...]`, of the rows, if they do not all count alike: the mean is that of
            `-weights log q(y)`. Weights that have mean one themselves leave its scale as it is.

    Raises:
        ValueError: if `q` is no distribution on vectors; if `y` holds no rows of events; if there
            are more contexts than rows, or not a weight for each row.
    """
    checks.distribution("q", q, "log_prob")
    if len(q.event_shape) != 1:
        raise ValueError(f"`q` must be a distribution on vectors; got events {q.event_shape}.")
    y = checks.event("y", y, *q.event_shape)
    rows = y.shape[:-1]
    if 0 in rows:
        raise ValueError(f"`y` must have at least one row; got shape {y.shape}.")
    checks.broadcasts("y", rows, q.batch_shape)
    log_prob = q.log_prob(y)
    if log_prob.shape != rows:
        raise ValueError(
            f"`y` must have a row for each context; got rows of shape {rows} for contexts of shape "
            f"{q.batch_shape}."
        )
    if weights is None:
        return -jnp.mean(log_prob)
    weights = checks.floating("weights", weights)
    if weights.shape != rows:
        raise ValueError(
            f"`weights` must have one number for each row, shape {rows}; got {weights.shape}."
        )
    return -jnp.mean(weights * log_prob)
