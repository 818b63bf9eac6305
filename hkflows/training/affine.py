"""Gaussians as the affine image of the standard normal distribution."""

import distrax
import jax

from hkflows.bijectors import Chain
from hkflows.distributions import FlowDistribution, standard_normal

Array = jax.Array


def gaussian(mean: Array, factor: Array) -> FlowDistribution:
    """Returns `N(mean, F F^T)`, for `mean` `[D]` and `F` lower triangular, `[D, D]`."""
    affine = Chain([distrax.TriangularLinear(factor), distrax.ScalarAffine(mean)])
    return FlowDistribution(standard_normal(mean.shape[0]), affine)
