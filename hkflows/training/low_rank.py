"""The Gaussian stage of a posterior fit in many dimensions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hkflows import checks, elbo
from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, LowRankAffine
from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training.loop import adam, minimise

Array = jax.Array

RANK = 32
NUM_STEPS = 2000
LEARNING_RATE = 1e-2
NUM_SAMPLES = 64
CHUNK_STEPS = 250
NUM_FRESH_DRAWS = 500


class _Parameters(NamedTuple):
    shift: Array  # [D]
    log_scale: Array  # [D]
    factor: Array  # [D, R]


def fit_low_rank_gaussian(
    target: Target, start: FlowDistribution, *, key: Array | int
) -> FlowDistribution:
    """Fits a Gaussian whose covariance is a diagonal matrix plus one of rank 32.

    The path gradient of the ELBO is followed by Adam, in units in which `start` is standard normal.

    Args:
        target: the posterior.
        start: a Gaussian such as `find_start` gives.
        key: a PRNG key, typed or not, or an integer.

    Returns:
        The Gaussian. A step costs 64 gradients of the log density and products of `32 D`.

    References:
        Ong, Nott & Smith (2018), "Gaussian variational approximation with a factor covariance
        structure", arXiv:1701.03208.
    """
    D = target.event_size
    factor_key, fresh_key, train_key = jax.random.split(checks.prng_key("key", key), 3)
    units = start.bijector

    def log_density(x: Array) -> Array:
        z, log_det = units.forward_and_log_det(x)
        return target.log_density(z) + log_det

    def distribution(params: _Parameters) -> FlowDistribution:
        affine = LowRankAffine(params.shift, jnp.exp(params.log_scale), params.factor)
        return FlowDistribution(standard_normal(D), affine)

    def negative_elbo(params: _Parameters, key: Array, num_samples: int) -> Array:
        q = distribution(params)
        return elbo.negative_elbo(
            q, log_density, seed=key, num_samples=num_samples, estimator="path"
        )[0]

    def score(params: _Parameters, mean_loss: Array) -> tuple[Array, Any]:
        return negative_elbo(params, fresh_key, NUM_FRESH_DRAWS), None

    # A factor of zero has a gradient of zero.
    factor = 0.1 / D**0.5 * jax.random.normal(factor_key, (D, min(RANK, D)))
    result = minimise(
        lambda params, key: negative_elbo(params, key, NUM_SAMPLES),
        _Parameters(jnp.zeros(D), jnp.zeros(D), factor),
        key=train_key,
        optimizer=adam(optax.cosine_decay_schedule(LEARNING_RATE, NUM_STEPS)),
        num_steps=NUM_STEPS,
        chunk_steps=CHUNK_STEPS,
        inputs=lambda key, steps: jax.random.split(key, len(steps)),
        score=score,
        stop=lambda done, scores, report: None,
        progress=False,
    )
    affine = distribution(result.params).bijector
    return FlowDistribution(standard_normal(D), Chain([affine, units]))
