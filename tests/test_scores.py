"""Carrying the gradient of a log-density from the base side of a layer to its data side."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

from hkflows.bijectors.score import CarriesScore, forward_and_score

ELEMENTWISE = [name for name in {**zoo.NAMES, **zoo.ALONE} if name.startswith("elementwise-")]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["planar", "sylvester", "bnaf", "act_norm", *ELEMENTWISE])
def test_scores_are_carried_without_inverting(name):
    """As by differentiating the inverse."""
    case = zoo.Case(name, 3, True)
    contexts = jnp.stack([case.context(seed) for seed in (3, 4)])
    bijector = jax.jit(case.transformed.apply)(case.params(scale=2.0), contexts)
    assert isinstance(bijector, CarriesScore)
    x, score = case.points(5, 2), case.points(5, 2, seed=8)
    as_a_foreigner = distrax.Inverse(distrax.Inverse(bijector))  # which carries no scores itself
    for ours, theirs in zip(
        jax.jit(forward_and_score)(bijector, x, score),
        jax.jit(forward_and_score)(as_a_foreigner, x, score),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
