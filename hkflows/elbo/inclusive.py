"""The mass-covering divergence, KL(p || q)."""

from typing import Any

import jax
import jax.numpy as jnp

from hkflows.elbo.draws import Aux, LogDensity, log_weight, over_draws
from hkflows.elbo.origins import log_prob, sample

Array = jax.Array


def forward_kl(
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    chunk_size: int | None = None,
) -> tuple[Array, Aux]:
    """Estimates KL(p || q), with `p` normalised, by self-normalised importance sampling from `q`.

    With `v_s = w_s / sum_r w_r` at draws `y_s` of `q`, the value and its gradient are

        sum_s v_s log w_s - log (1/S) sum_s w_s    and    -sum_s v_s d log q(y_s)/d phi,  y_s fixed.

    The constant of `p` cancels. The value is `log S` minus the entropy of the weights: never
    negative, and never above `log S`, however far `q` is from `p`. The gradient is not that of the
    value but an estimate of that of KL(p || q). Both are biased, by O(1/S), and consistent.

    Every draw is scored by `q.log_prob`, the sequential direction of an `IAF`.

    Args:
        q: a distribution, any of distrax's; its draws need not be reparameterized.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`, as for
            `negative_elbo`. Its own parameters get no gradient: a decoder is trained by
            `importance_weighted_elbo`.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S.
        chunk_size: if given, at most so many draws are in memory at a time. The result is the same.

    Returns:
        The loss, a scalar: the mean over the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Bornschein & Bengio (2015), "Reweighted wake-sleep", the wake-phase update of the inference
        network, arXiv:1406.2751. Naesseth, Lindsten & Blei (2020), "Markovian score climbing", on
        its bias, arXiv:2003.10374.
    """
    log_weights, log_q = over_draws(
        _weigh_and_score, q, log_density, seed=seed, num_samples=num_samples, chunk_size=chunk_size
    )
    weights = jax.nn.softmax(log_weights, axis=0)
    divergence = jnp.sum(jax.scipy.special.xlogy(weights, num_samples * weights), axis=0)
    fit = jnp.sum(weights * (log_q - jax.lax.stop_gradient(log_q)), axis=0)
    return jnp.mean(divergence - fit), {"log_weights": log_weights}


def _weigh_and_score(q: Any, log_density: LogDensity, origins: Array) -> tuple[Array, Array]:
    """Returns `log w(y)`, a constant, and `log q(y)` at fixed draws, both `[S, *batch_shape]`."""
    y = jax.lax.stop_gradient(sample(q, origins))
    log_q = log_prob(q, y)
    return jax.lax.stop_gradient(log_weight(log_density, y, log_q)), log_q
