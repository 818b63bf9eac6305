"""Gaussians as the affine image of the standard normal distribution."""

from collections.abc import Sequence
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, FullRankAffine, LowRankAffine
from hkflows.distributions import FlowDistribution

Array = jax.Array

MAX_DENSE_SIZE = 500  # dimensions, for matrices without structure


def gaussian(mean: Array, factor: Array) -> FlowDistribution:
    """Returns `N(mean, F F^T)`, for `mean` `[D]` and `F` lower triangular, `[D, D]`."""
    return FlowDistribution(standard_normal(mean.shape[0]), FullRankAffine(mean, factor))


def diagonal_gaussian(mean: Array, scale: Array) -> FlowDistribution:
    """Returns the Gaussian with independent dimensions, `mean` and `scale` both `[D]`."""
    affine = distrax.Block(distrax.ScalarAffine(mean, scale), 1)
    return FlowDistribution(standard_normal(mean.shape[0]), affine)


def to_leaves(q: FlowDistribution) -> tuple[str, int, list[Array]]:
    """Returns what tells one of the stages' Gaussians: its form, its size and its arrays."""
    (size,) = q.event_shape
    leaves, structure = jax.tree.flatten(q.bijector)
    for form in FORMS:
        if structure == _structure(form, size):
            return form, size, leaves
    raise TypeError(f"There is no form of Gaussian like {q.bijector!r}.")


def from_leaves(form: str, size: int, leaves: Sequence[Array]) -> FlowDistribution:
    """Returns the Gaussian of a form, a size and arrays."""
    bijector = jax.tree.unflatten(_structure(form, size), leaves)
    return FlowDistribution(standard_normal(size), bijector)


def _structure(form: str, size: int) -> Any:
    def bijector() -> distrax.Bijector:
        return FORMS[form](size).bijector

    return jax.tree.structure(jax.eval_shape(bijector))


def _full(size: int) -> FlowDistribution:
    return gaussian(jnp.zeros(size), jnp.eye(size))


def _diagonal(size: int) -> FlowDistribution:
    return diagonal_gaussian(jnp.zeros(size), jnp.ones(size))


def _low_rank(size: int) -> FlowDistribution:
    units = _diagonal(size)
    affine = LowRankAffine(jnp.zeros(size), jnp.ones(size), jnp.zeros((size, 1)))
    return FlowDistribution(units.base, Chain([affine, units.bijector]))


FORMS = {"full": _full, "diagonal": _diagonal, "low rank": _low_rank}
