"""Importance weights: how even they are, and what they sum to."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hkflows.extras import load

Array = jax.Array

EQUAL_WEIGHTS = 1e-3  # nats between the largest and the smallest


@jax.jit
def importance_weights(log_weights: ArrayLike) -> Array:
    """Returns the self-normalised weights, which sum to one over the first axis."""
    return jax.nn.softmax(jnp.asarray(log_weights), axis=0)


@jax.jit
def effective_sample_size(log_weights: ArrayLike) -> Array:
    """Returns `(sum w)^2 / sum w^2`, between 1 and the number of draws.

    Args:
        log_weights: `[S, ...]`, `log p(y_s) - log q(y_s)`; minus infinity is a weight of zero.

    References:
        Kong (1992), "A note on importance sampling using standardized weights".
    """
    log_weights = jnp.asarray(log_weights)
    # Without this, far from zero, the difference below would be one of rounded large numbers.
    log_weights = log_weights - jnp.max(log_weights, axis=0)
    numerator = 2.0 * jax.nn.logsumexp(log_weights, axis=0)
    return jnp.exp(numerator - jax.nn.logsumexp(2.0 * log_weights, axis=0))


@jax.jit
def log_evidence(log_weights: ArrayLike) -> Array:
    """Returns `log (1/S) sum_s w_s` (nats), the importance-sampling estimate of `log Z`.

    Args:
        log_weights: `[S, ...]`.
    """
    log_weights = jnp.asarray(log_weights)
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


def pareto_smooth(log_weights: ArrayLike) -> tuple[np.ndarray, float]:
    """Replaces the largest weights by quantiles of a Pareto distribution fitted to them.

    Args:
        log_weights: `[S]`, finite.

    Returns:
        The smoothed log weights, `[S]`, and the shape k-hat of the generalised Pareto distribution:
        below 0.7 importance sampling with these weights is reliable. Weights that are equal to
        within a thousandth have no tail: zero.

    Raises:
        ImportError: if ArviZ, the extra `diagnostics`, is not installed.

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance sampling",
        arXiv:1507.02646.
    """
    arviz = load("arviz", extra="diagnostics", caller="pareto_smooth")
    weights = np.asarray(log_weights, dtype=np.float64)
    if np.ptp(weights) < EQUAL_WEIGHTS:
        return weights, 0.0
    with np.errstate(over="ignore"):
        smoothed, khat = arviz.psislw(weights)
    return smoothed, float(khat)


def pareto_khat(log_weights: ArrayLike) -> float:
    """Returns k-hat, the shape of the weights' upper tail; see `pareto_smooth`.

    Args:
        log_weights: `[S]`, finite.
    """
    return pareto_smooth(log_weights)[1]


def mean_of_exponentials(log_weights: np.ndarray) -> tuple[float, float]:
    """Returns the log of the mean weight (nats), and its standard error by the delta method.

    Args:
        log_weights: `[S]`, float64; those that are not finite are weights of zero.
    """
    log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    largest = log_weights.max()
    if largest == -np.inf:
        return -np.inf, 0.0
    weights = np.exp(log_weights - largest)
    error = weights.std() / weights.mean() / len(weights) ** 0.5
    return float(np.log(weights.mean()) + largest), float(error)
