"""The Gaussian stage of a posterior fit in many dimensions."""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, LowRankAffine
from hkflows.distributions import FlowDistribution
from hkflows.kernels import bounds
from hkflows.precision import full_precision
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.loop.minimise import minimise
from hkflows.training.optimizers import adam
from hkflows.training.posterior.negative_elbo import Fixed, NegativeElbo

Array = jax.Array

RANK = 32
NUM_STEPS = 2000
LEARNING_RATE = 1e-2
NUM_SAMPLES = 64
CHUNK_STEPS = 250
NUM_SCORED = 500
MAX_LOG_SCALE = 20.0  # relative to the start


class _Parameters(NamedTuple):
    shift: Array  # [D]
    log_scale: Array  # [D]
    factor: Array  # [D, R]


def _init(key: Array, event_size: int) -> _Parameters:
    # A factor of zero has a gradient of zero.
    shape = (event_size, min(RANK, event_size))
    factor = 0.1 / event_size**0.5 * jax.random.normal(key, shape)
    return _Parameters(jnp.zeros(event_size), jnp.zeros(event_size), factor)


def _apply(params: _Parameters) -> FlowDistribution:
    return FlowDistribution(standard_normal(len(params.shift)), _affine(params))


@full_precision
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
    return low_rank_gaussian(target, start, key)[0]


def low_rank_gaussian(
    target: Target, start: FlowDistribution, key: Array | int
) -> tuple[FlowDistribution, int]:
    """Returns the Gaussian, and how many steps were skipped, their loss or gradient not finite."""
    D = target.event_size
    factor_key, fresh_key, train_key = jax.random.split(checks.prng_key("key", key), 3)
    objective = NegativeElbo(
        flow=hk.Transformed(init=_init, apply=_apply),
        num_samples=NUM_SAMPLES,
        num_fresh=NUM_SCORED,
        estimator="path",
        annealing=None,
        batch_size=1,
        mesh=None,
    )
    result = minimise(
        objective,
        _init(factor_key, D),
        Fixed(as_argument(target.log_density), start.bijector, None, fresh_key, jnp.asarray(0)),
        key=train_key,
        optimizer=adam(LEARNING_RATE, NUM_STEPS),
        num_steps=NUM_STEPS,
        chunk_steps=CHUNK_STEPS,
    )
    affine = Chain([_affine(result.params), start.bijector])
    return FlowDistribution(standard_normal(D), affine), result.num_skipped


def _affine(params: _Parameters) -> LowRankAffine:
    scale = jnp.exp(bounds.within(params.log_scale, MAX_LOG_SCALE))
    return LowRankAffine(params.shift, scale, params.factor)
