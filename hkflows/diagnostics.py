"""Whether a fitted posterior can be trusted: what the importance weights of its draws say."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Array = jax.Array


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

    Below 0.7 importance sampling with these weights is reliable.

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
    _, khat = arviz.psislw(np.asarray(log_weights, dtype=np.float64))
    return float(khat)


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What fresh draws say about a fit.

    Attributes:
        elbo: the evidence lower bound (nats).
        elbo_standard_error: its standard error (nats).
        log_evidence: the importance-sampling estimate of log Z (nats).
        khat: Pareto k-hat of the weights; `None` without the extra `diagnostics`.
        ess: effective sample size of the weights, in draws.
        num_samples: the number of draws.
        num_nonfinite: draws whose weight was NaN or infinite; they are left out of the rest.
    """

    elbo: float
    elbo_standard_error: float
    log_evidence: float
    khat: float | None
    ess: float
    num_samples: int
    num_nonfinite: int


def diagnose(
    q: Any, log_density: Callable[[Array], Array], *, seed: Array, num_samples: int
) -> Diagnostics:
    """Draws afresh from `q` and looks at the importance weights.

    Args:
        q: a distribution on vectors without a batch.
        log_density: maps `[D]` to a scalar.
        seed: a PRNG key.
        num_samples: the number of draws.
    """
    weights = np.asarray(_log_weights(log_density, num_samples, q, seed), dtype=np.float64)
    finite = weights[np.isfinite(weights)]
    if not finite.size:
        finite = np.full(1, np.nan)
    try:
        khat = pareto_khat(finite) if finite.size > 25 else None
    except ImportError:
        khat = None  # documented: the extra is optional, the rest of the diagnosis is not
    return Diagnostics(
        elbo=float(finite.mean()),
        elbo_standard_error=float(finite.std() / np.sqrt(finite.size)),
        log_evidence=float(log_evidence(finite)),
        khat=khat,
        ess=float(effective_sample_size(finite)),
        num_samples=num_samples,
        num_nonfinite=int(np.sum(~np.isfinite(weights))),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_weights(
    log_density: Callable[[Array], Array], num_samples: int, q: Any, seed: Array
) -> Array:
    y, log_q = q.sample_and_log_prob(seed=seed, sample_shape=(num_samples,))
    return jax.vmap(log_density)(y) - log_q
