"""Gaussians as the affine image of the standard normal distribution."""

import distrax
import jax
import jax.numpy as jnp

from hkflows.bases import standard_normal
from hkflows.bijectors import Chain
from hkflows.distributions import FlowDistribution

Array = jax.Array

MAX_DENSE_SIZE = 500  # dimensions, for matrices without structure


def gaussian(mean: Array, factor: Array) -> FlowDistribution:
    """Returns `N(mean, F F^T)`, for `mean` `[D]` and `F` lower triangular, `[D, D]`."""
    affine = Chain([distrax.TriangularLinear(factor), distrax.ScalarAffine(mean)])
    return FlowDistribution(standard_normal(mean.shape[0]), affine)


def diagonal_gaussian(mean: Array, scale: Array) -> FlowDistribution:
    """Returns the Gaussian with independent dimensions, `mean` and `scale` both `[D]`.

    Up to 500 dimensions it has the form of `gaussian`: functions compiled for one serve the other.
    """
    if mean.shape[0] <= MAX_DENSE_SIZE:
        return gaussian(mean, jnp.diag(scale))
    affine = distrax.Block(distrax.ScalarAffine(mean, scale), 1)
    return FlowDistribution(standard_normal(mean.shape[0]), affine)
