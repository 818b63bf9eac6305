"""Draws as ArviZ data: groups, names, and weights with a closed form."""

import sys

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import stats

import hkflows as hkf
from hkflows.integrations.arviz import to_inference_data

SCALE = jnp.asarray([0.5, 2.0, 1.0])
FLOW = hkf.FlowDistribution(
    hkf.standard_normal(3), distrax.Block(distrax.ScalarAffine(jnp.ones(3), SCALE), 1)
)


def target(constrain=lambda z: z, constant=7.0):
    """The flow's own density times `exp(constant)`."""

    def log_density(z):
        return stats.norm.logpdf(z, 1.0, SCALE).sum() + constant

    return hkf.Target(log_density, 3, constrain)


def data(constrain=lambda z: z, **settings):
    return to_inference_data(target(constrain), FLOW, key=0, num_draws=50, **settings)


def test_weights_and_densities_of_the_draws():
    found = data(observed_data={"y": [1.0, 2.0]})
    assert set(found.groups()) == {"posterior", "sample_stats", "observed_data"}
    assert found.posterior.sizes["chain"] == 1
    assert found.posterior.sizes["draw"] == 50
    z = found.posterior["value"].values[0]
    np.testing.assert_allclose(
        found.sample_stats["lp"].values[0], jax.vmap(target().log_density)(z), rtol=1e-4
    )
    np.testing.assert_allclose(found.sample_stats["log_weight"], 7.0, atol=1e-4)
    np.testing.assert_array_equal(found.observed_data["y"], [1.0, 2.0])


def test_nothing_is_compiled_a_second_time(compiled):
    density = target()
    draw = lambda key: to_inference_data(density, FLOW, key=key, num_draws=50)  # noqa: E731
    draw(0)
    assert not compiled(lambda: draw(1))


def test_a_fit_gives_its_draws_by_name():
    supports = {"scale": hkf.supports.positive(2), "x": hkf.supports.real()}
    fitted = hkf.Target.from_log_joint(lambda p: -jnp.sum(p["scale"]) - p["x"] ** 2, supports)
    fit = hkf.fit_posterior(
        fitted, key=0, flow=hkf.flows.mean_field(3), num_steps=1, progress=False
    )
    found = fit.to_arviz(1, 30, observed_data={"y": [1.0]})
    assert found.posterior["scale"].shape == (1, 30, 2)
    assert found.posterior["x"].shape == (1, 30)
    assert (found.posterior["scale"] > 0.0).all()
    assert set(found.groups()) == {"posterior", "sample_stats", "observed_data"}


def test_draws_are_independent_draws_of_the_flow():
    found = to_inference_data(target(), FLOW, key=1, num_draws=20_000)
    z = found.posterior["value"].values[0]
    np.testing.assert_allclose((z.mean(axis=0) - 1.0) / SCALE, 0.0, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T) / np.outer(SCALE, SCALE), np.eye(3), atol=0.05)
    assert "observed_data" not in found.groups()


def test_corrected_draws_are_draws_of_the_posterior():
    def log_density(z):
        return stats.norm.logpdf(z, 1.5 * SCALE, 0.8 * SCALE).sum()

    posterior = hkf.Target(log_density, 3)
    wide = hkf.FlowDistribution(
        hkf.standard_normal(3), distrax.Block(distrax.ScalarAffine(SCALE, 1.2 * SCALE), 1)
    )
    found = to_inference_data(posterior, wide, key=2, num_draws=4000, importance_resample=True)
    z = found.posterior["value"].values[0] / SCALE
    np.testing.assert_allclose(z.mean(axis=0), 1.5, atol=0.06)
    np.testing.assert_allclose(z.std(axis=0), 0.8, atol=0.05)
    lp = jax.vmap(log_density)(found.posterior["value"].values[0])
    np.testing.assert_allclose(found.sample_stats["lp"].values[0], lp, rtol=1e-4)


def test_parameters_are_named_as_one_indexes_them():
    def constrain(z):
        return {"a": z[0], "b": (jnp.exp(z[1]), z[1:].reshape(2, 1))}

    posterior = data(constrain).posterior
    shapes = {name: posterior[name].shape for name in posterior.data_vars}
    assert shapes == {"a": (1, 50), "b[0]": (1, 50), "b[1]": (1, 50, 2, 1)}
    np.testing.assert_allclose(
        posterior["b[0]"].values, np.exp(posterior["b[1]"].values[..., 0, 0]), rtol=1e-5
    )
    assert set(data(lambda z: (z[0], z[1:])).posterior.data_vars) == {"value[0]", "value[1]"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_draws": 0}, "`num_draws`"),
        ({"key": None}, "`key`"),
        ({"observed_data": [1.0]}, "`observed_data`"),
        ({"target": lambda z: z}, "`target`"),
        ({"target": hkf.Target(lambda z: z[0], 2)}, "event shape"),
        ({"target": target(lambda z: {"a.b": z[0], "a": {"b": z[1]}})}, "different names"),
    ],
)
def test_errors(settings, message):
    arguments = {"target": target(), "key": 0} | settings
    with pytest.raises(ValueError, match=message):
        to_inference_data(arguments.pop("target"), FLOW, **arguments)


def test_without_arviz_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"hkflows\[diagnostics\]"):
        data()
