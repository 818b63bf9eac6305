"""Scalar maps: identity at zero, inverses, slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import hkflows as hkf
from hkflows.transformers import Inverted

every_transformer = pytest.mark.parametrize(
    "tau", zoo.TRANSFORMERS.values(), ids=list(zoo.TRANSFORMERS)
)


@every_transformer
def test_identity_at_zero_parameters(tau):
    x = jnp.linspace(-10.0, 10.0, 41)
    for direction in (tau.forward, tau.inverse):
        y, log_slope = direction(x, jnp.zeros(tau.num_params))
        np.testing.assert_allclose(y, x, atol=1e-5)
        np.testing.assert_allclose(log_slope, 0.0, atol=1e-5)


@every_transformer
@pytest.mark.usefixtures("x64")
def test_slope_and_inverse(tau):
    x = jnp.linspace(-4.0, 4.0, 201)
    params = jax.random.normal(jax.random.key(0), (201, tau.num_params))
    y, log_slope = tau.forward(x, params)
    slope = jax.vmap(jax.grad(lambda x, p: tau.forward(x, p)[0]))(x, params)
    np.testing.assert_allclose(log_slope, jnp.log(slope), atol=1e-10)
    back, inverse_log_slope = tau.inverse(y, params)
    np.testing.assert_allclose(back, x, atol=1e-10)
    np.testing.assert_allclose(inverse_log_slope, -log_slope, atol=1e-10)


@every_transformer
def test_inverted_swaps_the_directions(tau):
    x, params = jnp.asarray([0.3, -2.0]), jnp.ones((2, tau.num_params))
    inverted = Inverted(tau)
    assert inverted.num_params == tau.num_params
    for ours, theirs in ((inverted.forward, tau.inverse), (inverted.inverse, tau.forward)):
        np.testing.assert_array_equal(ours(x, params), theirs(x, params))


def test_equal_settings_compare_equal():
    assert hkf.Affine() == hkf.Affine(5.0) != hkf.Affine(2.0)
    assert hash(hkf.RationalQuadratic(8)) == hash(hkf.RationalQuadratic(8))


def test_affine_scale_stays_within_its_bound():
    tau = hkf.Affine(max_log_scale=2.0)
    _, log_slope = tau.forward(jnp.zeros(2), jnp.asarray([[0.0, 1e6], [0.0, -1e6]]))
    np.testing.assert_allclose(log_slope, [2.0, -2.0])


SPLINE = hkf.RationalQuadratic(num_bins=6, bound=4.0)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(0.0, 10.0),
    x=st.floats(-1e6, 1e6, allow_nan=False, width=32),
)
def test_spline_is_finite_everywhere(seed, scale, x):
    """Values and derivatives, both directions, for wild parameters and inputs."""
    params = scale * jax.random.normal(jax.random.key(seed), (SPLINE.num_params,))
    for values in _spline_report(jnp.float32(x), params):
        assert np.isfinite(values).all()


@jax.jit
def _spline_report(x, params):
    report = []
    for direction in (SPLINE.forward, SPLINE.inverse):
        report += [jnp.stack(direction(x, params))]
        report += list(jax.jacrev(lambda x, p, f=direction: jnp.stack(f(x, p)), (0, 1))(x, params))
    return report


@pytest.mark.usefixtures("x64")
def test_spline_at_its_knots_and_ends():
    """Continuous with continuous slope at every knot, and the identity from the ends outwards."""
    params = jax.random.normal(jax.random.key(1), (SPLINE.num_params,))
    widths = 1e-3 + (1 - 6e-3) * jax.nn.softmax(params[:6])
    knots = 4.0 * (2.0 * jnp.concatenate([jnp.zeros(1), jnp.cumsum(widths)]) - 1.0)
    value = lambda x: SPLINE.forward(x, params)  # noqa: E731
    for knot in knots:
        below, at, above = (value(knot + offset) for offset in (-1e-9, 0.0, 1e-9))
        np.testing.assert_allclose(below, at, atol=1e-6)
        np.testing.assert_allclose(above, at, atol=1e-6)
        slope = jax.grad(lambda x: value(x)[0])(knot)
        np.testing.assert_allclose(jnp.log(slope), at[1], atol=1e-6)
    for outside in (-4.0, 4.0, 5.0, -1e6):
        np.testing.assert_allclose(value(jnp.asarray(outside)), [outside, 0.0], atol=1e-12)


def test_spline_with_one_bin_is_the_identity():
    tau = hkf.RationalQuadratic(num_bins=1, bound=2.0)
    x = jnp.linspace(-3.0, 3.0, 7)
    y, _ = tau.forward(x, jnp.ones((7, tau.num_params)))
    np.testing.assert_allclose(y, x, atol=1e-5)
