"""The Gaussian stage of a posterior fit in many dimensions."""

import dataclasses
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from hkflows import checks, elbo
from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, LowRankAffine
from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.loop import minimise
from hkflows.training.optimizers import adam

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


class _Fixed(NamedTuple):
    log_density: Partial
    units: distrax.Bijector
    fresh_key: Array


@dataclasses.dataclass(frozen=True)
class _NegativeElbo:
    """The negative ELBO of the Gaussian, by path gradients, in units of another one."""

    def inputs(self, fixed: _Fixed, key: Array, steps: Array) -> Array:
        return jax.random.split(key, len(steps))

    def loss(self, params: _Parameters, fixed: _Fixed, key: Array) -> Array:
        return self._value(params, fixed, key, NUM_SAMPLES)

    def score(self, params: _Parameters, fixed: _Fixed, mean_loss: Array) -> tuple[Array, None]:
        return self._value(params, fixed, fixed.fresh_key, NUM_FRESH_DRAWS), None

    def _value(self, params: _Parameters, fixed: _Fixed, key: Array, num_samples: int) -> Array:
        def log_density(x: Array) -> Array:
            z, log_det = fixed.units.forward_and_log_det(x)
            return fixed.log_density(z) + log_det

        q = FlowDistribution(standard_normal(len(params.shift)), _affine(params))
        return elbo.negative_elbo(
            q, log_density, seed=key, num_samples=num_samples, estimator="path"
        )[0]


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
    # A factor of zero has a gradient of zero.
    factor = 0.1 / D**0.5 * jax.random.normal(factor_key, (D, min(RANK, D)))
    result = minimise(
        _NegativeElbo(),
        _Parameters(jnp.zeros(D), jnp.zeros(D), factor),
        _Fixed(as_argument(target.log_density), start.bijector, fresh_key),
        key=train_key,
        optimizer=adam(LEARNING_RATE, NUM_STEPS),
        num_steps=NUM_STEPS,
        chunk_steps=CHUNK_STEPS,
    )
    return FlowDistribution(standard_normal(D), Chain([_affine(result.params), start.bijector]))


def _affine(params: _Parameters) -> LowRankAffine:
    return LowRankAffine(params.shift, jnp.exp(params.log_scale), params.factor)
