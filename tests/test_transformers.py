"""Scalar maps: identity at zero, inverses, slopes, derivatives, extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

from hkflows.transformers import Inverted

every_transformer = pytest.mark.parametrize(
    "name", [*zoo.TRANSFORMERS, "inverted"], ids=lambda name: name
)


def transformer(name):
    return (
        Inverted(zoo.TRANSFORMERS["deep_sigmoidal"])
        if name == "inverted"
        else zoo.TRANSFORMERS[name]
    )


def domain(name, x):
    """Leaves `x` as it is, and takes angles to the interval that the circular map returns."""
    return zoo.wrap(x) if name == "circular" else x


@every_transformer
def test_identity_at_zero_parameters(name):
    tau, x = transformer(name), domain(name, jnp.linspace(-10.0, 10.0, 41))
    params = jnp.zeros(tau.num_params)
    y, log_slope, z, inverse_log_slope = jax.jit(
        lambda x: (*tau.forward(x, params), *tau.inverse(x, params))
    )(x)
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(z, x, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-5)
    np.testing.assert_allclose(inverse_log_slope, 0.0, atol=1e-5)
