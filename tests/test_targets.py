"""Targets and supports: the change of variables, against quadrature."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_probability.substrates.jax.bijectors as tfb

import hkflows as hkf
from hkflows import supports

ON_THE_LINE = {
    "real": (supports.real(), lambda x: distrax.Normal(0.3, 2.0).log_prob(x)),
    "positive": (supports.positive(), lambda x: distrax.Gamma(2.0, 1.5).log_prob(x)),
    "unit_interval": (supports.unit_interval(), lambda x: distrax.Beta(2.0, 3.0).log_prob(x)),
    "interval": (supports.interval(-1.0, 3.0), lambda x: -jnp.log(4.0) + 0.0 * x),
    "bijector": (tfb.Softplus(), lambda x: -x),
}


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_density_stays_normalised(name):
    support, log_density = ON_THE_LINE[name]
    target = hkf.Target.from_log_joint(lambda p: log_density(p["x"]), {"x": support})
    z = jnp.linspace(-40.0, 40.0, 40_001)
    density = jnp.exp(jax.vmap(target.log_density)(z[:, None]))
    np.testing.assert_allclose(jnp.trapezoid(density, z), 1.0, atol=2e-3)


def test_simplex_and_ordered():
    """The Dirichlet on the 2-simplex, and the order statistics of two normals, integrate to one."""
    z = jnp.linspace(-15.0, 15.0, 401)
    points = jnp.stack(jnp.meshgrid(z, z, indexing="ij"), axis=-1).reshape(-1, 2)
    densities = {
        "simplex": (
            supports.simplex(3),
            distrax.Dirichlet(jnp.asarray([2.0, 3.0, 1.5])).log_prob,
        ),
        "ordered": (
            supports.ordered(2),
            lambda x: jnp.log(2.0) + jnp.sum(distrax.Normal(0.0, 1.0).log_prob(x)),
        ),
    }
    for support, log_density in densities.values():
        target = hkf.Target.from_log_joint(log_density, support)
        assert target.event_size == 2
        density = jnp.exp(jax.vmap(target.log_density)(points))
        np.testing.assert_allclose(density.sum() * (z[1] - z[0]) ** 2, 1.0, atol=5e-3)
    assert (
        np.diff(hkf.supports.ordered(3).bijector.forward(jnp.asarray([0.1, -2.0, 1.0]))) > 0
    ).all()


def test_names_shapes_and_nesting():
    target = hkf.Target.from_log_joint(
        lambda p: jnp.sum(p["a"]) + p["b"][0] + jnp.sum(p["b"][1]),
        {"a": supports.real(2, 3), "b": [tfb.Exp(), distrax.ScalarAffine(jnp.zeros(4), 2.0)]},
    )
    assert target.event_size == 11
    parameters = target.constrain(jnp.arange(11.0))
    np.testing.assert_array_equal(parameters["a"], jnp.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(parameters["b"][0], np.exp(6.0), rtol=1e-6)
    np.testing.assert_array_equal(parameters["b"][1], 2.0 * jnp.arange(7.0, 11.0))


def test_target_by_hand():
    target = hkf.Target(lambda z: -0.5 * jnp.sum(z**2), 3, jnp.exp)
    np.testing.assert_array_equal(target.constrain(jnp.zeros(3)), jnp.ones(3))
    assert hkf.Target(lambda z: z[0], 1).constrain(2.0) == 2.0
