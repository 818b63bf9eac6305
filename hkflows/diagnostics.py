"""Whether a fitted posterior can be trusted: what the importance weights of its draws say."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hkflows.elbo import negative_elbo

Array = jax.Array

EQUAL_WEIGHTS = 1e-3  # nats between the largest and the smallest


def importance_weights(log_weights: ArrayLike) -> Array:
    """Returns the self-normalised weights, which sum to one over the first axis."""
    return jax.nn.softmax(jnp.asarray(log_weights), axis=0)


def effective_sample_size(log_weights: ArrayLike) -> Array:
    """Returns `(sum w)^2 / sum w^2`, between 1 and the number of draws.

    Args:
        log_weights: `[S, ...]`, `log p(y_s) - log q(y_s)`; minus infinity is a weight of zero.

    References:
        Kong (1992), "A note on importance sampling using standardized weights".
    """
    log_weights = jnp.asarray(log_weights)
    numerator = 2.0 * jax.nn.logsumexp(log_weights, axis=0)
    return jnp.exp(numerator - jax.nn.logsumexp(2.0 * log_weights, axis=0))


def log_evidence(log_weights: ArrayLike) -> Array:
    """Returns `log (1/S) sum_s w_s` (nats), the importance-sampling estimate of `log Z`.

    Args:
        log_weights: `[S, ...]`.
    """
    log_weights = jnp.asarray(log_weights)
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


def pareto_khat(log_weights: ArrayLike) -> float:
    """Returns the shape of the generalised Pareto distribution fitted to the weights' upper tail.

    Below 0.7 importance sampling with these weights is reliable. Weights that are equal to within a
    thousandth have no tail: zero.

    Args:
        log_weights: `[S]`.

    Raises:
        ImportError: if ArviZ, the extra `diagnostics`, is not installed.

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance sampling",
        arXiv:1507.02646.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            import arviz  # announces its next major version when imported
    except ImportError as error:
        raise ImportError(
            "`pareto_khat` needs ArviZ: install the extra, `pip install hkflows[diagnostics]`."
        ) from error
    weights = np.asarray(log_weights, dtype=np.float64)
    if np.ptp(weights) < EQUAL_WEIGHTS:
        return 0.0
    with np.errstate(over="ignore"):
        _, khat = arviz.psislw(weights)
    return float(khat)


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What fresh draws say about a fit.

    Attributes:
        elbo: the evidence lower bound (nats); minus infinity where a draw has zero density.
        elbo_standard_error: its standard error (nats).
        log_evidence: the importance-sampling estimate of log Z (nats).
        khat: Pareto k-hat of the weights; `None` without the extra `diagnostics`, or with fewer
            than 25 draws to tell from.
        ess: effective sample size of the weights, in draws.
        num_samples: the number of draws.
        num_zero: draws where the target has zero density: weights of zero.
        num_nonfinite: draws whose weight was NaN or plus infinity; they are left out of the rest.
    """

    elbo: float
    elbo_standard_error: float
    log_evidence: float
    khat: float | None
    ess: float
    num_samples: int
    num_zero: int
    num_nonfinite: int


def diagnose(
    q: Any,
    log_density: Callable[[Array], Array],
    *,
    seed: Array | int,
    num_samples: int,
    chunk_size: int = 1000,
) -> Diagnostics:
    """Draws afresh from `q` and looks at the importance weights.

    Args:
        q: a distribution on vectors without a batch.
        log_density: maps `[D]` to a scalar.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: the number of draws.
        chunk_size: so many draws are in memory at a time.
    """

    @jax.jit
    def draw(q: Any) -> Array:
        settings: dict[str, Any] = {"seed": seed, "num_samples": num_samples}
        _, aux = negative_elbo(q, log_density, chunk_size=chunk_size, **settings)
        return aux["log_weights"]

    drawn = np.asarray(draw(q), dtype=np.float64)
    valid = drawn[np.isfinite(drawn) | (drawn == -np.inf)]
    positive = valid[np.isfinite(valid)]
    try:
        khat = pareto_khat(positive) if positive.size >= 25 else None
    except ImportError:
        khat = None  # documented: the extra is optional, the rest of the diagnosis is not
    all_positive = 0 < positive.size == valid.size
    return Diagnostics(
        elbo=float(positive.mean()) if all_positive else -np.inf,
        elbo_standard_error=float(positive.std() / positive.size**0.5) if all_positive else np.nan,
        log_evidence=float(log_evidence(valid)) if positive.size else -np.inf,
        khat=khat,
        ess=float(effective_sample_size(valid)) if positive.size else 0.0,
        num_samples=num_samples,
        num_zero=valid.size - positive.size,
        num_nonfinite=drawn.size - valid.size,
    )
