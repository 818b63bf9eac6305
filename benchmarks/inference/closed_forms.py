"""Posteriors whose evidence and marginals can be written down."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy import optimize, special, stats
from sklearn import datasets

from inference.posterior import ONE_SD, Posterior

Array = jax.Array

EXACT = jax.lax.Precision.HIGHEST


def funnel() -> Posterior:
    """Neal's funnel in ten dimensions: `v ~ N(0, 3^2)`, `x_i ~ N(0, exp(v))`.

    References:
        Neal (2003), "Slice sampling", Annals of Statistics 31, section 8.
    """

    def log_density(z: Array) -> Array:
        v, x = z[0], z[1:]
        return norm.logpdf(v, 0.0, 3.0) + jnp.sum(norm.logpdf(x, 0.0, jnp.exp(v / 2.0)))

    v = np.linspace(-36.0, 36.0, 20_001)
    weights = stats.norm.pdf(v, 0.0, 3.0) * (v[1] - v[0])

    def excess(x: float) -> float:
        return float(weights @ stats.norm.cdf(x * np.exp(-v / 2.0)) - ONE_SD[2])

    width = optimize.brentq(excess, 0.1, 10.0, xtol=1e-10)
    return Posterior(
        log_density, 0.0, np.zeros(10), np.array([3.0, *[width] * 9]), by_quantiles=True
    )


def banana() -> Posterior:
    """A Gaussian bent along a parabola: `z_0 ~ N(0, 10^2)`, `z_1 ~ N(0.03 (z_0^2 - 100), 1)`.

    References:
        Haario, Saksman & Tamminen (1999), "Adaptive proposal distribution for random walk
        Metropolis algorithm", Computational Statistics 14.
    """

    def log_density(z: Array) -> Array:
        bend = 0.03 * (z[0] ** 2 - 100.0)
        return norm.logpdf(z[0], 0.0, 10.0) + norm.logpdf(z[1], bend, 1.0)

    # Var z_0^2 = 2 * 100^2.
    width = np.array([10.0, math.sqrt(1.0 + 0.03**2 * 2.0 * 100.0**2)])
    return Posterior(log_density, 0.0, np.zeros(2), width)


def gaussian() -> Posterior:
    """A Gaussian in 100 dimensions with variances from 0.01 to 100 along random directions."""
    D = 100
    variances = np.logspace(-2.0, 2.0, D)
    Q = np.linalg.qr(np.random.RandomState(0).randn(D, D))[0]
    precision = jnp.asarray((Q / variances) @ Q.T, jnp.float32)
    constant = -0.5 * (np.log(variances).sum() + D * math.log(2.0 * math.pi))

    def log_density(z: Array) -> Array:
        return constant - 0.5 * jnp.dot(z, jnp.matmul(precision, z, precision=EXACT))

    return Posterior(log_density, 0.0, np.zeros(D), np.sqrt((Q**2) @ variances))


def raw_regression() -> Posterior:
    """The linear regression on the diabetes data as they were measured, in eight units."""
    return _diabetes(standardised=False)


def standardised_regression() -> Posterior:
    """The linear regression on the diabetes data with covariates of mean zero and unit variance."""
    return _diabetes(standardised=True)


def _diabetes(*, standardised: bool) -> Posterior:
    data = datasets.load_diabetes(scaled=False)
    X = data.data
    if standardised:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    return conjugate_regression(np.column_stack([np.ones(len(X)), X]), data.target)


def conjugate_regression(
    X: np.ndarray, y: np.ndarray, *, prior_scale: float = 100.0, shape: float = 2.0
) -> Posterior:
    """Bayesian linear regression with its conjugate prior, over `(beta, log sigma)`.

    `sigma^2 ~ InverseGamma(shape, 1)`, `beta ~ N(0, (prior_scale sigma)^2)`, `y ~ N(X beta,
    sigma^2)`. The posterior is normal-inverse-gamma.

    References:
        Murphy (2012), "Machine Learning: A Probabilistic Perspective", section 7.6.3.
    """
    n, d = X.shape
    X32, y32 = jnp.asarray(X, jnp.float32), jnp.asarray(y, jnp.float32)
    log_normaliser = math.lgamma(shape)

    def log_density(z: Array) -> Array:
        beta, log_sigma = z[:d], z[d]
        sigma = jnp.exp(log_sigma)
        # The density of log sigma has the Jacobian 2 sigma^2.
        log_prior = math.log(2.0) - log_normaliser - 2.0 * shape * log_sigma - sigma**-2
        log_prior += jnp.sum(norm.logpdf(beta, 0.0, prior_scale * sigma))
        predicted = jnp.matmul(X32, beta, precision=EXACT)
        return log_prior + jnp.sum(norm.logpdf(y32, predicted, sigma))

    precision = X.T @ X + np.eye(d) / prior_scale**2
    mean = np.linalg.solve(precision, X.T @ y)
    shape_n = shape + n / 2.0
    rate_n = 1.0 + 0.5 * (y @ y - mean @ precision @ mean)
    log_evidence = (
        -0.5 * n * math.log(2.0 * math.pi)
        - 0.5 * np.linalg.slogdet(precision)[1]
        - d * math.log(prior_scale)
        - shape_n * math.log(rate_n)
        + math.lgamma(shape_n)
        - math.lgamma(shape)
    )
    beta_variance = np.diag(np.linalg.inv(precision)) * rate_n / (shape_n - 1.0)
    # log sigma^2 is minus the log of a gamma variate, whose cumulants are polygammas.
    log_sigma = 0.5 * (math.log(rate_n) - special.digamma(shape_n))
    log_sigma_sd = 0.5 * math.sqrt(special.polygamma(1, shape_n))
    return Posterior(
        log_density,
        float(log_evidence),
        np.append(mean, log_sigma),
        np.append(np.sqrt(beta_variance), log_sigma_sd),
    )
