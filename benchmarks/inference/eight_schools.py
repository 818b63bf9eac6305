"""Eight schools, whose effects integrate out: two dimensions are left for a grid."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy import special, stats

from inference.posterior import Posterior, mixture_moments

Array = jax.Array

# Rubin (1981), "Estimation in parallel randomized experiments", table 1.
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def centred() -> Posterior:
    """Over `(mu, log tau, theta)` with `theta_i ~ N(mu, tau)`."""

    def log_density(z: Array) -> Array:
        mu, log_tau, theta = z[0], z[1], z[2:]
        log_p = _log_prior(mu, log_tau) + jnp.sum(norm.logpdf(theta, mu, jnp.exp(log_tau)))
        return log_p + jnp.sum(norm.logpdf(EFFECTS.astype(np.float32), theta, ERRORS))

    mu, log_tau, weights, log_evidence = _grid()
    variance = 1.0 / (np.exp(-2.0 * log_tau) + ERRORS**-2.0)
    theta = variance * (mu * np.exp(-2.0 * log_tau) + EFFECTS * ERRORS**-2.0)
    return _posterior(log_density, mu, log_tau, weights, theta, variance, log_evidence)


def non_centred() -> Posterior:
    """Over `(mu, log tau, eta)` with `theta_i = mu + tau eta_i`, `eta_i ~ N(0, 1)`."""

    def log_density(z: Array) -> Array:
        mu, log_tau, eta = z[0], z[1], z[2:]
        theta = mu + jnp.exp(log_tau) * eta
        log_p = _log_prior(mu, log_tau) + jnp.sum(norm.logpdf(eta))
        return log_p + jnp.sum(norm.logpdf(EFFECTS.astype(np.float32), theta, ERRORS))

    mu, log_tau, weights, log_evidence = _grid()
    tau = np.exp(log_tau)
    variance = ERRORS**2 / (ERRORS**2 + tau**2)
    eta = tau * (EFFECTS - mu) / (ERRORS**2 + tau**2)
    return _posterior(log_density, mu, log_tau, weights, eta, variance, log_evidence)


def _log_prior(mu: Array, log_tau: Array) -> Array:
    """`mu ~ N(0, 5)`, `tau ~ HalfCauchy(5)`, with the Jacobian of the logarithm."""
    half_cauchy = math.log(2.0 / (5.0 * math.pi)) - jnp.log1p((jnp.exp(log_tau) / 5.0) ** 2)
    return norm.logpdf(mu, 0.0, 5.0) + half_cauchy + log_tau


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Returns mu and log tau, `[G, H, 1]`, the posterior mass at each, and the log evidence."""
    mu = np.linspace(-40.0, 50.0, 451)[:, None]
    log_tau = np.linspace(-16.0, 10.0, 1301)[None, :]
    tau = np.exp(log_tau)
    log_p = stats.norm.logpdf(mu, 0.0, 5.0) + stats.halfcauchy.logpdf(tau, scale=5.0) + log_tau
    for effect, error in zip(EFFECTS, ERRORS, strict=True):
        log_p = log_p + stats.norm.logpdf(effect, mu, np.hypot(tau, error))
    log_cell = math.log((mu[1, 0] - mu[0, 0]) * (log_tau[0, 1] - log_tau[0, 0]))
    log_sum = special.logsumexp(log_p)
    mus, log_taus = np.broadcast_arrays(mu, log_tau)
    return mus[..., None], log_taus[..., None], np.exp(log_p - log_sum), float(log_sum + log_cell)


def _posterior(log_density, mu, log_tau, weights, effects, variance, log_evidence) -> Posterior:
    zero = np.zeros_like(mu)
    variance = np.broadcast_to(variance, effects.shape)
    center, width = mixture_moments(
        weights,
        np.concatenate([mu, log_tau, effects], axis=-1),
        np.concatenate([zero, zero, variance], axis=-1),
    )
    return Posterior(log_density, log_evidence, center, width)
