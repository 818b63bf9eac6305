"""The log weights of fresh draws, by which stages are told apart."""

from typing import Any

import jax

from hkflows import elbo
from hkflows.compilation import quick_jit
from hkflows.distributions import FlowDistribution
from hkflows.elbo import LogDensity
from hkflows.targets.argument import as_argument

Array = jax.Array

NUM_FRESH_DRAWS = 1000


def fresh_log_weights(log_density: LogDensity, q: FlowDistribution, key: Array) -> Array:
    """Returns `log p(z) - log q(z)` (nats) of draws of `q`, `[NUM_FRESH_DRAWS]`.

    Distributions of one structure share one compiled program.
    """
    return _fresh_log_weights(as_argument(log_density), q, key)


@quick_jit
def _fresh_log_weights(log_density: LogDensity, q: FlowDistribution, key: Array) -> Array:
    _, aux = elbo.negative_elbo(
        q, log_density, seed=key, num_samples=NUM_FRESH_DRAWS, chunk_size=NUM_FRESH_DRAWS // 2
    )
    return aux["log_weights"]


def elbo_error(spread: Any, share: Any, num_draws: int) -> Any:
    """Returns the standard error of the ELBO of `finite_moments` (nats).

    Args:
        spread: standard deviation of the finite log weights (nats).
        share: how many of the draws they are, Q; it is estimated too.
        num_draws: S.
    """
    missing = abs(1.0 - share)  # compiled, a share of one may come out a rounding above it
    return ((spread**2 + missing) / (share * num_draws)) ** 0.5


def finite_moments(log_weights: Any) -> tuple[Any, Any, Any]:
    """Returns the ELBO of a distribution restricted to where its log weights are finite.

    Restricted to a part with a share of Q of its mass, its density is larger by `1 / Q`: the mean
    of the finite log weights, plus `log Q`.

    Args:
        log_weights: `[S]` (nats), of JAX or of NumPy.

    Returns:
        The ELBO, and the standard deviation of the finite log weights (nats), which are minus
        infinity and infinity if fewer than half are finite; and Q.
    """
    xp = log_weights.__array_namespace__()
    finite = xp.isfinite(log_weights)
    count = xp.maximum(xp.sum(finite), 1)
    values = xp.where(finite, log_weights, 0.0)
    mean = xp.sum(values) / count
    spread = xp.sqrt(xp.sum(xp.where(finite, (values - mean) ** 2, 0.0)) / count)
    share = count / log_weights.size
    most = 2 * xp.sum(finite) >= log_weights.size
    return xp.where(most, mean + xp.log(share), -xp.inf), xp.where(most, spread, xp.inf), share
