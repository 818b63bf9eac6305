"""The continuous flow, against matrix exponentials, finite differences and its own build."""

import sys

import diffrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import zoo

import hkflows as hkf
from hkflows.kernels import continuous


def linear(matrix, **settings):
    """The flow of `dx/dt = A x`: `y = exp(A) x`, `log|det dy/dx| = tr A`."""
    D = len(matrix)
    flow = hk.without_apply_rng(
        hk.transform(lambda: hkf.FFJORD(D, lambda z: z, rtol=1e-8, atol=1e-8, **settings))
    )
    weight = jnp.asarray(np.concatenate([matrix.T, np.zeros((1, D))]))
    return flow.apply({"vector_field_readout": {"w": weight, "b": jnp.zeros((D, 1))}})


MATRIX = np.asarray([[0.3, -1.0, 0.2], [0.7, 0.5, 0.0], [-0.4, 0.1, -0.6]])

evaluate = jax.jit(
    lambda bijector, x: (*bijector.forward_and_log_det(x), *bijector.inverse_and_log_det(x))
)


def test_linear_fields_and_fields_too_fast(x64):
    bijector = linear(MATRIX)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    y, log_det, back, inverse_log_det = evaluate(bijector, x)
    np.testing.assert_allclose(y, x @ scipy.linalg.expm(MATRIX).T, atol=1e-6)
    np.testing.assert_allclose(back, x @ scipy.linalg.expm(-MATRIX).T, atol=1e-6)
    np.testing.assert_allclose(log_det, np.full(4, np.trace(MATRIX)), atol=1e-6)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-6)
    # More steps than there are: a result that a fit counts as bad, and no exception.
    assert np.isnan(evaluate(linear(1e6 * MATRIX), x)[0]).all()


def test_inverts_as_closely_as_is_asked_for(dtype):
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    flow = hk.without_apply_rng(
        hk.transform(
            lambda: hkf.FFJORD(
                2, hkf.MLP([8], activation=jnp.tanh), rtol=tolerance / 10, atol=tolerance / 10
            )
        )
    )
    bijector = flow.apply(zoo.random_params(flow, scale=1.0))
    x = jax.random.normal(jax.random.key(0), (5, 2))
    there = jax.jit(lambda x: bijector.forward_and_log_det(x))
    back = jax.jit(lambda y: bijector.inverse_and_log_det(y))
    y, log_det = there(x)
    assert np.abs(y - x).max() > 0.1
    x_again, inverse_log_det = back(y)
    np.testing.assert_allclose(x_again, x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=tolerance, atol=tolerance)


def test_estimated_traces_are_unbiased_and_fixed_by_the_key(x64):
    x = jnp.zeros((4, 3))
    estimated = linear(MATRIX, num_probes=3, probe_key=0)
    signs = np.sign(estimated._probes)
    _, log_det, _, inverse_log_det = evaluate(estimated, x)
    np.testing.assert_allclose(
        log_det, np.full(4, np.einsum("ki,ij,kj->", signs, MATRIX, signs) / 3), atol=1e-6
    )
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-6)
    probes = continuous.random_signs(3, 40_000, jax.random.key(0))
    estimate = np.einsum("ki,ij,kj->", probes, MATRIX, probes)
    spread = np.sqrt(2.0 * np.sum(np.triu(MATRIX + MATRIX.T, 1) ** 2) / 40_000)
    assert np.abs(estimate - np.trace(MATRIX)) < 4.0 * spread


def test_values_and_gradients_against_finite_differences(x64):
    """Of a field that is not linear, at a batch of contexts."""
    case = zoo.Case("ffjord", 2, True)
    params, x = case.params(scale=2.0), case.points(3)
    contexts = jnp.stack([case.context(seed) for seed in (3, 4, 5)])
    along = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)

    def build(shift):
        moved = jax.tree.map(lambda leaf, step: leaf + shift * step, params, along)
        return case.transformed.apply(moved, contexts)

    both = jax.jit(lambda shift, x: evaluate(build(shift), x))
    y, log_det, *_ = both(0.0, x)
    *_, back, inverse_log_det = both(0.0, y)
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(back, x, atol=1e-7)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-7)

    def slopes(shift, step):
        """Derivatives of `y`, `log_det` and both of the inverse, by central differences."""
        pairs = zip(both(shift, x + step), both(-shift, x - step), strict=True)
        return [(after - before) / 2e-4 for after, before in pairs]

    each = [slopes(0.0, 1e-4 * unit) for unit in np.eye(2)]
    jacobian = np.stack([slope[0] for slope in each], axis=-1)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-5)

    @jax.jit
    def gradients(shift, x):
        def total(shift, x):
            return sum(jnp.sum(part) for part in build(shift).inverse_and_log_det(x))

        return jax.grad(total, argnums=(0, 1))(shift, x)

    of_shift, of_x = gradients(0.0, x)
    expected = sum(np.sum(part) for part in slopes(1e-4, 0.0)[2:])
    np.testing.assert_allclose(of_shift, expected, rtol=1e-5)
    expected = np.stack([slope[2].sum(axis=-1) + slope[3] for slope in each], axis=-1)
    np.testing.assert_allclose(of_x, expected, atol=1e-5)


def test_the_adjoint_equation(x64):
    bijector = linear(MATRIX, adjoint=diffrax.BacksolveAdjoint())
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(bijector.forward(x) ** 2)))(jnp.ones((2, 3)))
    matrix = scipy.linalg.expm(MATRIX)
    np.testing.assert_allclose(gradient, 2.0 * np.ones((2, 3)) @ matrix.T @ matrix, atol=1e-5)


def test_path_gradients_are_those_of_a_density_with_fixed_parameters(x64):
    """By inverting the flow, which it has no closed form for; along a direction, by differences."""
    case = zoo.Case("ffjord", 2, False)
    params = case.params(scale=1.0)
    along = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)

    def q(params):
        return hkf.FlowDistribution(hkf.standard_normal(2), case.transformed.apply(params, None))

    def log_density(y):
        return -0.5 * jnp.sum((y - 1.0) ** 2)

    def ours(params):
        settings = {"seed": 0, "num_samples": 3, "estimator": "path"}
        return hkf.elbo.negative_elbo(q(params), log_density, **settings)[0]

    @jax.jit
    def by_inversion(shift):
        moved = q(jax.tree.map(lambda leaf, step: leaf + shift * step, params, along))
        y = jax.vmap(lambda key: moved.sample(seed=key))(jax.random.split(jax.random.key(0), 3))
        return -jnp.mean(jax.vmap(log_density)(y) - q(params).log_prob(y))

    value, gradient = jax.jit(jax.value_and_grad(ours))(params)
    slope = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, along)))
    difference = (by_inversion(1e-4) - by_inversion(-1e-4)) / 2e-4
    np.testing.assert_allclose(value, by_inversion(0.0), atol=1e-6)
    np.testing.assert_allclose(slope, difference, rtol=1e-5)
    assert abs(slope) > 0.1


def test_two_builds_share_a_program_and_events_do_not_meet():
    case = zoo.Case("ffjord", 3, True)
    contexts = jax.random.normal(jax.random.key(0), (3, zoo.CONTEXT_SIZE))
    params, x = case.params(), case.points(2, 3).at[0, 0].mul(1e6)
    traces = []

    @jax.jit
    def forward(bijector, x):
        traces.append(None)
        return bijector.forward(x)

    bijector, rebuilt = (case.transformed.apply(params, contexts) for _ in range(2))
    y = forward(bijector, x)
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(forward(rebuilt, x.at[0].set(0.0))[1], y[1])
    fresh = case.transformed.init(jax.random.key(0), contexts)
    np.testing.assert_array_equal(forward(case.transformed.apply(fresh, contexts), x), x)
    assert len(traces) == 1
    empty = jnp.zeros((0, 3, 3), jnp.bfloat16)
    result = jax.eval_shape(bijector.forward, empty)
    assert (result.shape, result.dtype) == (empty.shape, jnp.float32)
    assert bijector.result_shape(empty) == result


def test_says_what_is_missing_or_wrong(monkeypatch):
    for settings in ({"num_probes": 2}, {"adjoint": "backsolve"}):
        with pytest.raises(ValueError, match=f"`{next(iter(settings))}`"):
            linear(MATRIX, **settings)
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"hkflows\[ode\]"):
        linear(MATRIX)
