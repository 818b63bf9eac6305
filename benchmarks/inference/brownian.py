"""A Brownian motion seen through noise, both of unknown scale: a grid of two dimensions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy import special, stats

from inference.posterior import Posterior, mixture_moments

Array = jax.Array

# Inference gym (2020), "Brownian motion missing middle observations", unknown scales.
EARLY = [
    *(0.21592641, 0.118771404, -0.07945447, 0.037677474, -0.27885845),
    *(-0.1484156, -0.3250906, -0.22957903, -0.44110894, -0.09830782),
]
LATE = [
    *(-0.8786016, -0.83736074, -0.7384849, -0.8939254, -0.7774566),
    *(-0.70238715, -0.87771565, -0.51853573, -0.6948214, -0.6202789),
]
OBSERVED = np.array([True] * 10 + [False] * 10 + [True] * 10)
VALUES = np.array(EARLY + [0.0] * 10 + LATE)
NUM_TIMES = len(VALUES)


def log_density(z: Array) -> Array:
    """Returns that of the bridge at `z`, shape `[32]`."""
    log_s, log_r, x = z[0], z[1], z[2:]
    steps = jnp.diff(x, prepend=0.0)
    log_p = norm.logpdf(log_s, 0.0, 2.0) + norm.logpdf(log_r, 0.0, 2.0)
    log_p += jnp.sum(norm.logpdf(steps, 0.0, jnp.exp(log_s)))
    seen = norm.logpdf(x[OBSERVED], VALUES[OBSERVED].astype(np.float32), jnp.exp(log_r))
    return log_p + jnp.sum(seen)


def bridge() -> Posterior:
    """Over `(log s, log r, x)`: `x_t ~ N(x_{t-1}, s)`, `y_t ~ N(x_t, r)` at 20 of 30 times.

    Both scales are `LogNormal(0, 2)` and `x_0 ~ N(0, s)`.
    """
    log_s, log_r = np.meshgrid(
        np.linspace(-8.0, 4.0, 481), np.linspace(-12.0, 4.0, 641), indexing="ij"
    )
    log_p = stats.norm.logpdf(log_s, 0.0, 2.0) + stats.norm.logpdf(log_r, 0.0, 2.0)
    log_p += filtered_log_likelihood(log_s, log_r)
    log_sum = special.logsumexp(log_p)
    log_cell = math.log((log_s[1, 0] - log_s[0, 0]) * (log_r[0, 1] - log_r[0, 0]))

    # A sixteenth of the grid is as good for moments, and what has no mass can go.
    weights = np.exp(log_p - log_sum)[::4, ::4]
    kept = weights > 1e-10
    weights = weights[kept] / weights[kept].sum()
    log_s, log_r = log_s[::4, ::4][kept], log_r[::4, ::4][kept]
    x, variance = smoothed_moments(log_s, log_r)
    zeros = np.zeros((len(weights), 2))
    center, width = mixture_moments(
        weights,
        np.column_stack([log_s, log_r, x]),
        np.concatenate([zeros, variance], axis=1),
    )
    return Posterior(log_density, float(log_sum + log_cell), center, width)


def filtered_log_likelihood(log_s: np.ndarray, log_r: np.ndarray) -> np.ndarray:
    """Returns log p(y | s, r) (nats) by the Kalman filter."""
    total, mean, variance = (np.zeros_like(log_s) for _ in range(3))
    for value, seen in zip(VALUES, OBSERVED, strict=True):
        variance = variance + np.exp(2.0 * log_s)
        if seen:
            spread = variance + np.exp(2.0 * log_r)
            total += stats.norm.logpdf(value, mean, np.sqrt(spread))
            gain = variance / spread
            mean, variance = mean + gain * (value - mean), variance * (1.0 - gain)
    return total


def smoothed_moments(log_s: np.ndarray, log_r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and variances of x given the scales, `[G, 30]` each, `G` scales a time."""
    differences = np.eye(NUM_TIMES) - np.eye(NUM_TIMES, k=-1)
    walk, seen = differences.T @ differences, np.diag(OBSERVED.astype(float))
    precision = (
        np.exp(-2.0 * log_s)[:, None, None] * walk + np.exp(-2.0 * log_r)[:, None, None] * seen
    )
    covariance = np.linalg.inv(precision)
    mean = covariance @ (OBSERVED * VALUES) * np.exp(-2.0 * log_r)[:, None]
    return mean, np.diagonal(covariance, axis1=1, axis2=2)
