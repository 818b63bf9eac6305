"""A posterior whose evidence and marginals are known, and changes of its coordinates."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

Array = jax.Array

ONE_SD = stats.norm.cdf([-1.0, 0.0, 1.0])  # levels of quantiles
CORRELATION = 0.99
MOST_MAGNITUDE = 3.0  # scales between 1e-3 and 1e3
SHIFT = 1000.0  # standard deviations


def _identity(draws: np.ndarray) -> np.ndarray:
    return draws


@dataclasses.dataclass(frozen=True)
class Posterior:
    """A density with known log evidence and known location and width of every marginal.

    Attributes:
        log_density: maps `[D]` to a scalar (nats), in float32.
        log_evidence: log of the integral of the density (nats), to 1e-4 or better.
        center: means, `[D]`; medians if `by_quantiles`.
        width: standard deviations, `[D]`; half the central 68.3 % intervals if `by_quantiles`.
        by_quantiles: whether quantiles stand for moments, as they should where tails are so heavy
            that 20,000 exact draws would not tell the moments.
        to_reference: maps draws, `[S, D]`, to the coordinates of `center` and `width`.
    """

    log_density: Callable[[Array], Array]
    log_evidence: float
    center: np.ndarray
    width: np.ndarray
    by_quantiles: bool = False
    to_reference: Callable[[np.ndarray], np.ndarray] = _identity

    @property
    def event_size(self) -> int:
        """D."""
        return len(self.center)

    def errors(self, draws: np.ndarray) -> tuple[float, float]:
        """Returns the largest error of a mean, in standard deviations, and of a width, relative.

        Exact draws have errors too: with 20,000 of them, of about 0.02 in both.
        """
        z = self.to_reference(np.asarray(draws, np.float64))
        if self.by_quantiles:
            low, center, high = np.quantile(z, ONE_SD, axis=0)
            width = (high - low) / 2.0
        else:
            center, width = z.mean(axis=0), z.std(axis=0)
        mean_error = np.abs((center - self.center) / self.width).max()
        return float(mean_error), float(np.abs(width / self.width - 1.0).max())


def in_other_units(posterior: Posterior, *, shifted: bool) -> Posterior:
    """Returns the same posterior for `y = b + S L (z / width)`.

    `S` is diagonal with entries between 1e-3 and 1e3, `L L^T` has correlations of 0.99. So the
    scales differ by up to a million and neighbours of one scale hardly differ. A shift is of 1000
    standard deviations in every dimension, with random signs.

    The evidence stays what it was; errors are told in the old coordinates.
    """
    D = posterior.event_size
    rng = np.random.RandomState(0)
    scale = 10.0 ** rng.uniform(-MOST_MAGNITUDE, MOST_MAGNITUDE, D)
    shift = SHIFT * shifted * scale * rng.choice([-1.0, 1.0], D)
    factor = np.linalg.cholesky(CORRELATION + (1.0 - CORRELATION) * np.eye(D))
    inverse = np.linalg.inv(factor)
    log_det = np.log(scale).sum() + np.linalg.slogdet(factor)[1] - np.log(posterior.width).sum()
    arrays = [jnp.asarray(x, jnp.float32) for x in (scale, shift, inverse)]
    width = jnp.asarray(posterior.width, jnp.float32)

    def log_density(y: Array) -> Array:
        scale, shift, inverse = arrays
        u = jnp.matmul(inverse, (y - shift) / scale, precision=jax.lax.Precision.HIGHEST)
        return posterior.log_density(width * u) - log_det

    def to_reference(y: np.ndarray) -> np.ndarray:
        u = ((y - shift) / scale) @ inverse.T
        return posterior.to_reference(posterior.width * u)

    return dataclasses.replace(posterior, log_density=log_density, to_reference=to_reference)


def mixture_moments(
    weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means and standard deviations of a mixture, by the law of total variance.

    Args:
        weights: `[...]`, summing to one.
        means: of the components, `[..., D]`.
        variances: of the components, `[..., D]`.
    """
    w = weights.reshape(-1)
    means, variances = (np.reshape(x, (w.size, x.shape[-1])) for x in (means, variances))
    mean = w @ means
    return mean, np.sqrt(w @ variances + w @ (means - mean) ** 2)
