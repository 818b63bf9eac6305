"""Planar, radial, Sylvester and block flows: inverses and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.kernels.tanh_steps import TanhStep

every_flow = pytest.mark.parametrize("name", ["planar", "radial", "sylvester", "bnaf"])


def test_a_step_is_inverted_up_to_rounding_whatever_its_parameters(dtype):
    """Slopes from 1e-3 to 1e3, points up to 1e6: the image of the root is the point."""
    rng = np.random.default_rng(0)
    size = 100_000
    t = np.exp(rng.uniform(-5.0, 5.0, size))
    slopes = np.concatenate(
        [rng.uniform(-0.999, 0.0, size // 2), 10 ** rng.uniform(-3, 3, size // 2)]
    )
    c, d = rng.normal(0.0, 10.0, (2, size))
    y = rng.choice([-1.0, 1.0], size) * 10 ** rng.uniform(-6.0, 6.0, size)
    y[::1000] = 0.0
    r, t, c, d, y = (jnp.asarray(array, dtype) for array in (slopes / t, t, c, d, y))
    params = jnp.stack([r, t, c, d], axis=-1)
    z, log_slope = jax.jit(TanhStep().inverse)(y, params)
    back, inverse_log_slope = TanhStep().forward(z, params)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(log_slope, -inverse_log_slope, atol=1e4 * eps)
    # Rounding z, or the argument of the tangent, moves the image of even the closest number.
    terms = np.abs(y) + np.abs(d) + np.abs(r) + np.exp(inverse_log_slope) * np.abs(z)
    allowed = 4.0 * eps * (terms + np.abs(r * (t * z + c)))
    assert (np.abs(back - y) <= allowed).all()


@every_flow
@pytest.mark.usefixtures("x64")
def test_inverses_are_exact_and_so_are_their_derivatives(name):
    """To 1e-12, and against finite differences in the point and in the parameters."""
    case = zoo.Case(name, 3, True)
    params, context, y = case.params(scale=2.0), case.context(), case.points(4)
    along = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)

    @jax.jit
    def inverse(shift, params=params):
        moved = jax.tree.map(lambda leaf, step: leaf + shift * step, params, along)
        bijector = case.transformed.apply(moved, context)
        x, log_det = bijector.inverse_and_log_det(y + shift)
        return jnp.concatenate([x, log_det[:, None]], axis=-1), bijector.forward(x)

    (_, back), (derivative, _) = jax.jvp(inverse, (0.0,), (1.0,))
    np.testing.assert_allclose(back, y, rtol=1e-12, atol=1e-12)
    step = 1e-5
    difference = (inverse(step)[0] - inverse(-step)[0]) / (2.0 * step)
    np.testing.assert_allclose(derivative, difference, rtol=1e-6, atol=1e-7)
    reverse = jax.grad(lambda shift: jnp.sum(inverse(shift)[0]))(0.0)
    np.testing.assert_allclose(reverse, jnp.sum(derivative), rtol=1e-10)


@every_flow
def test_inverses_in_single_precision(name):
    case = zoo.Case(name, 3, True)
    bijector, y = case.transformed.apply(case.params(), case.context()), case.points(50)
    there_and_back = jax.jit(lambda y: bijector.forward(bijector.inverse(y)))
    np.testing.assert_allclose(there_and_back(y), y, rtol=1e-6, atol=1e-6)


@every_flow
def test_large_parameters_and_points(name):
    """At parameters of standard deviation 10 and points up to 1e6 nothing is lost but rounding."""
    case = zoo.Case(name, 3, False)
    params = case.params(scale=10.0 * 3**0.5)
    x = jnp.concatenate([case.points(50), 1e6 * case.points(50, seed=8), jnp.zeros((1, 3))])

    @jax.jit
    def evaluate(params):
        bijector = case.transformed.apply(params, None)
        y, log_det = bijector.forward_and_log_det(x)
        back, inverse_log_det = bijector.inverse_and_log_det(y)
        return y, bijector.forward(back), log_det, inverse_log_det

    y, again, log_det, _ = evaluate(params)
    size = 1.0 + np.linalg.norm(y, axis=-1, keepdims=True)
    np.testing.assert_allclose(again / size, y / size, atol=1e-5)
    total = jax.jit(jax.grad(lambda params: sum(jnp.sum(part) for part in evaluate(params))))
    assert np.isfinite(log_det).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(total(params)))


def test_a_distance_that_is_no_number():
    bijector = zoo.Case("radial", 2, False).build()
    y, log_det = jax.jit(bijector.forward_and_log_det)(jnp.asarray([np.nan, 0.0]))
    assert np.isnan([*y, log_det]).all()


def test_at_the_centre_and_without_a_plane():
    """Where a length is zero, values and gradients are finite, and the map is the identity."""
    for name in ("planar", "radial"):
        case = zoo.Case(name, 2, False)
        params = jax.tree.map(jnp.zeros_like, case.params())

        def total(params, x, case=case):
            y, log_det = case.transformed.apply(params, None).forward_and_log_det(x)
            x, inverse_log_det = case.transformed.apply(params, None).inverse_and_log_det(y)
            return jnp.sum(y + x) + log_det + inverse_log_det, y

        gradients, y = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(params, jnp.zeros(2))
        np.testing.assert_array_equal(y, jnp.zeros(2))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_the_rank_of_a_sylvester_flow():
    """What it does lies in M directions."""
    bijector = zoo.Case("sylvester", 4, False).build()  # of rank 3
    x = jax.random.normal(jax.random.key(0), (20, 4))
    values = np.linalg.svd(bijector.forward(x) - x, compute_uv=False)
    assert values[2] > 1e-3
    assert values[3] < 1e-5
    assert isinstance(bijector, hkf.Sylvester)
