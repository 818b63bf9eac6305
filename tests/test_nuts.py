"""The no-U-turn sampler in a flow's base space: exact moments, whatever the flow."""

import sys

import arviz
import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorflow_probability.substrates.jax import bijectors as tfb

import hkflows as hkf
from hkflows.integrations.blackjax import sample_nuts

MEAN = np.array([1.0, -2.0, 3.0])
SD = np.array([1.0, 2.0, 0.7])
CORRELATION = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, -0.2], [0.0, -0.2, 1.0]])
BEND = 0.5


def elementwise(bijector, event_size):
    return hkf.FlowDistribution(hkf.standard_normal(event_size), distrax.Block(bijector, 1))


def gaussian_target():
    precision = jnp.asarray(np.linalg.inv(CORRELATION * np.outer(SD, SD)), dtype=jnp.float32)
    return hkf.Target(lambda z: -0.5 * (z - MEAN) @ precision @ (z - MEAN), 3)


def banana_target():
    """`z_0` is standard normal, `z_1 - BEND (z_0^2 - 1)` too."""

    def log_density(z):
        return -0.5 * z[0] ** 2 - 0.5 * (z[1] - BEND * (z[0] ** 2 - 1.0)) ** 2

    return hkf.Target(log_density, 2, lambda z: {"a": z[0], "b": (jnp.exp(z[1]), z)})


MEAN_FIELD = elementwise(distrax.ScalarAffine(jnp.zeros(3), jnp.asarray([3.0, 0.5, 1.0])), 3)
SKEWED = elementwise(tfb.SinhArcsinh(skewness=0.4, tailweight=0.8), 2)


@pytest.fixture(scope="module")
def gaussian():
    return sample_nuts(gaussian_target(), MEAN_FIELD, key=0, num_draws=4000)


@pytest.fixture(scope="module")
def banana():
    return sample_nuts(banana_target(), SKEWED, key=1, num_draws=4000)


def errors(values, truth):
    """The error of the mean of `[num_chains, num_draws]` draws in its standard errors."""
    error = float(arviz.mcse(np.asarray(values, dtype=np.float64)))
    assert error < 0.03 * values.std()  # or the chains say too little
    return abs(values.mean() - truth) / error


def gaussian_errors(draws):
    scaled = (np.asarray(draws, dtype=np.float64) - MEAN) / SD
    first = [errors(scaled[..., i], 0.0) for i in range(3)]
    second = [
        errors(scaled[..., i] * scaled[..., j], CORRELATION[i, j])
        for i in range(3)
        for j in range(i + 1)
    ]
    return np.asarray(first + second)


def test_moments_of_a_gaussian_are_exact_where_the_flow_is_wrong(gaussian):
    assert gaussian_errors(gaussian.unconstrained).max() < 4.0
    assert gaussian_errors(gaussian.unconstrained).shape == (9,)
    own = MEAN_FIELD.sample(seed=jax.random.key(0), sample_shape=(4, 4000))
    scaled = (np.asarray(own, dtype=np.float64) - MEAN) / SD
    assert min(errors(scaled[..., i], 0.0) for i in range(3)) > 20.0


def test_moments_of_a_banana_need_the_jacobian_of_the_flow(banana):
    z = np.asarray(banana.unconstrained, dtype=np.float64)
    x, y = z[..., 0], z[..., 1]
    moments = [(x, 0.0), (x**2, 1.0), (y, 0.0), (y**2, 1 + 2 * BEND**2), (x * y, 0.0)]
    moments.append((x**2 * y, 2 * BEND))
    assert max(errors(values, truth) for values, truth in moments) < 4.0
    own = np.asarray(SKEWED.sample(seed=jax.random.key(0), sample_shape=(4, 4000)))
    assert errors(own[..., 0], 0.0) > 20.0


def test_chains_that_agree(gaussian, banana):
    for draws in gaussian, banana:
        assert draws.converged
        assert np.all(draws.rhat < 1.01)
        assert 0.6 < draws.acceptance < 0.99
        assert "converged          yes" in draws.summary()
    assert gaussian.num_divergent == 0
    assert gaussian.gradients_per_draw > 3  # correlated: no draw in a single step


def test_statistics_are_those_of_arviz(gaussian):
    z = np.asarray(gaussian.unconstrained)
    for i in range(3):
        np.testing.assert_allclose(gaussian.rhat[i], float(arviz.rhat(z[..., i])), atol=1e-3)
        np.testing.assert_allclose(gaussian.ess[i], float(arviz.ess(z[..., i])), rtol=0.01)


def test_draws_come_in_the_users_parameters(banana):
    z = banana.unconstrained
    assert z.shape == (4, 4000, 2)
    np.testing.assert_array_equal(banana.parameters["a"], z[..., 0])
    np.testing.assert_allclose(banana.parameters["b"][0], np.exp(z[..., 1]), rtol=1e-5)
    np.testing.assert_array_equal(banana.parameters["b"][1], z)


def test_chains_in_different_modes_do_not_pass():
    """Two modes, 80 standard deviations apart; no density at all at half of the starts."""

    def log_density(z):
        near = jnp.logaddexp(-0.5 * (z[0] - 40.0) ** 2, -0.5 * (z[0] + 40.0) ** 2)
        return jnp.where(jnp.abs(z[0]) > 30.0, near, -jnp.inf)

    flow = elementwise(distrax.ScalarAffine(jnp.zeros(1), jnp.full(1, 40.0)), 1)
    draws = sample_nuts(
        hkf.Target(log_density, 1), flow, key=0, num_draws=100, num_chains=6, num_warmup=100
    )
    assert np.isfinite(draws.unconstrained).all()
    assert set(np.sign(draws.unconstrained.mean(axis=1)).ravel()) == {-1.0, 1.0}
    assert draws.rhat.shape == draws.ess.shape == (1,)
    assert draws.rhat[0] > 1.3
    assert not draws.converged
    assert "NO" in draws.summary()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_draws": 3}, "`num_draws` must be at least 4"),
        ({"num_chains": 1}, "`num_chains` must be at least 2"),
        ({"num_warmup": 0}, "`num_warmup`"),
        ({"key": "a"}, "`key`"),
        ({"target": None}, "`target`"),
        ({"target": hkf.Target(lambda z, data: z @ data, 3)}, "Bind the data"),
        ({"distribution": distrax.Normal(0.0, 1.0)}, "`distribution`"),
        ({"distribution": SKEWED}, "event shape"),
        ({"target": hkf.Target(lambda z: jnp.nan * z[0], 3)}, "finite at 4 draws .* 0 of 100"),
    ],
)
def test_errors(settings, message):
    arguments = {"target": gaussian_target(), "distribution": MEAN_FIELD, "key": 0} | settings
    with pytest.raises(ValueError, match=message):
        sample_nuts(arguments.pop("target"), arguments.pop("distribution"), **arguments)


def test_without_blackjax_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r"hkflows\[blackjax\]"):
        sample_nuts(gaussian_target(), MEAN_FIELD, key=0)
