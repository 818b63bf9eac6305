"""Scalar maps: identity at zero, inverses, slopes, derivatives, extremes."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import hkflows as hkf
from hkflows.transformers import Inverted

every_transformer = pytest.mark.parametrize("name", zoo.TRANSFORMERS)
NUM_POINTS = 40


@functools.cache
def report(name):
    """Values and gradients of both directions, one compiled program a transformer and dtype."""
    tau = zoo.TRANSFORMERS[name]

    def weighted(x, params, weights, direction):
        values = jnp.stack(getattr(tau, direction)(x, params))
        return jnp.sum(weights[:, None] * values), values

    @jax.jit
    def evaluate(x, params, weights):
        both = [
            jax.grad(weighted, argnums=(0, 1), has_aux=True)(x, params, weights, direction)
            for direction in ("forward", "inverse")
        ]
        return [(values, gradient) for gradient, values in both]

    return evaluate


def domain(name, x):
    """Takes angles into the interval that the circular map returns; leaves the rest as it is."""
    return zoo.wrap(x) if name == "circular" else x


@every_transformer
def test_identity_at_zero_parameters(name):
    x = domain(name, jnp.linspace(-10.0, 10.0, NUM_POINTS))
    params = jnp.zeros((NUM_POINTS, zoo.TRANSFORMERS[name].num_params))
    for (y, log_slope), _ in report(name)(x, params, jnp.ones(2)):
        np.testing.assert_allclose(y, x, atol=1e-5)
        np.testing.assert_allclose(log_slope, 0.0, atol=1e-5)


@every_transformer
@pytest.mark.usefixtures("x64")
def test_inverse_slopes_and_gradients(name):
    """Against each other, autodiff, and finite differences in the point and the parameters."""
    evaluate = report(name)
    rng = np.random.default_rng(0)
    shape = (NUM_POINTS, zoo.TRANSFORMERS[name].num_params)
    x = domain(name, jnp.asarray(2.0 * rng.standard_normal(NUM_POINTS)))
    params, along = rng.standard_normal((2, *shape))
    weights = jnp.asarray([1.0, 0.7])

    forward, inverse = evaluate(x, params, jnp.asarray([1.0, 0.0]))
    for (_, log_slope), (slope, _) in (forward, inverse):
        np.testing.assert_allclose(log_slope, jnp.log(slope), atol=1e-10)
    (y, log_slope), _ = forward
    _, ((back, inverse_log_slope), _) = evaluate(y, params, weights)
    np.testing.assert_allclose(back, x, atol=1e-10)
    np.testing.assert_allclose(inverse_log_slope, -log_slope, atol=1e-10)

    step = 1e-6
    moved = [evaluate(x + s, params + s * along, weights) for s in (step, -step)]
    for (_, gradient), (ahead, _), (behind, _) in zip(
        evaluate(x, params, weights), *moved, strict=True
    ):
        expected = weights @ (ahead - behind) / (2.0 * step)
        ours = gradient[0] + np.sum(gradient[1] * along, axis=-1)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@every_transformer
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(0.0, 10.0),
    x=st.floats(-1e6, 1e6, width=32) | st.sampled_from([-3.0, 3.0, -np.pi, np.pi, 0.0]),
)
def test_finite_everywhere(name, seed, scale, x):
    """Values and gradients, both directions, for wild parameters and inputs."""
    rng = np.random.default_rng(seed)
    shape = (NUM_POINTS, zoo.TRANSFORMERS[name].num_params)
    points = x * np.append(rng.uniform(size=NUM_POINTS - 1), 1.0)
    params = scale * rng.standard_normal(shape)
    results = report(name)(
        jnp.asarray(points, jnp.float32), jnp.asarray(params, jnp.float32), jnp.ones(2)
    )
    for values in jax.tree.leaves(results):
        assert np.isfinite(values).all()


@every_transformer
def test_inverse_and_log_det_hold_for_wild_parameters(name, dtype):
    """Up to what rounding `y` leaves to be known of `x`; and larger points have larger images."""
    evaluate = report(name)
    rng = np.random.default_rng(1)
    tolerance = 2e-6 if dtype == "float32" else 1e-12
    for reach in (3.0, 1e3, 1e6):
        params = 10.0 * rng.standard_normal(zoo.TRANSFORMERS[name].num_params)
        params = jnp.broadcast_to(jnp.asarray(params, dtype), (NUM_POINTS, len(params)))
        x = domain(name, jnp.asarray(np.linspace(-reach, reach, NUM_POINTS), dtype))
        ((y, log_slope), (curvature, _)), _ = evaluate(x, params, jnp.asarray([0.0, 1.0]))
        _, ((back, inverse_log_slope), _) = evaluate(y, params, jnp.ones(2))
        known = tolerance * ((np.abs(y) + 1.0) * np.exp(-log_slope) + np.abs(x) + 1.0)
        assert (np.abs(domain(name, back - x)) <= known).all()
        close = np.abs(curvature) * known < 1.0
        allowed = 2.0 * np.abs(curvature) * known + 100.0 * tolerance
        assert (np.abs(inverse_log_slope + log_slope) <= allowed)[close].all()
        if name == "circular":
            turns = np.diff(y[np.argsort(x)]) % (2.0 * np.pi)
            assert (turns > 0.0).all()
            assert turns.sum() < 2.0 * np.pi
        else:
            assert (np.diff(y) > 0.0).all()


@pytest.mark.usefixtures("x64")
def test_parameters_shared_by_many_points():
    """Splines read them by another route; both have the same values and derivatives, twice."""
    tau = zoo.TRANSFORMERS["linear_rational"]
    rng = np.random.default_rng(2)
    x = jnp.asarray(2.0 * rng.standard_normal((3, 2, 2)))
    params, along = rng.standard_normal((2, 2, tau.num_params))

    def total(params):
        return jnp.sum(jnp.sin(jnp.stack(tau.forward(x, params))))

    @jax.jit
    def derivatives(params, along, repeats=(3, 2, 1, 1)):
        def own(params):
            return total(jnp.tile(params, repeats))

        return [jax.jvp(jax.value_and_grad(f), (params,), (along,)) for f in (own, total)]

    own, shared = derivatives(params, along)
    for ours, theirs in zip(jax.tree.leaves(own), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_numeric_inverse_has_derivatives_of_second_order():
    """In both modes, against finite differences of the first."""
    tau = hkf.DeepSigmoidal(num_units=2)
    rng = np.random.default_rng(3)
    point, along = rng.standard_normal((2, 1 + tau.num_params))

    def inverse(point):
        return jnp.sum(jnp.sin(jnp.stack(tau.inverse(point[0], point[1:]))))

    @jax.jit
    def derivatives(point):
        gradient = jax.grad(inverse)
        _, forward_over_reverse = jax.jvp(gradient, (point,), (along,))
        reverse_over_forward = jax.grad(lambda x: jax.jvp(inverse, (x,), (along,))[1])(point)
        return gradient(point), forward_over_reverse, reverse_over_forward

    step = 1e-5
    expected = (derivatives(point + step * along)[0] - derivatives(point - step * along)[0]) / (
        2.0 * step
    )
    for ours in derivatives(point)[1:]:
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_numeric_inverse_to_machine_precision(dtype):
    """Without allowance for the slope, at parameters of a trained size."""
    tau = zoo.TRANSFORMERS["deep_sigmoidal"]
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.choice([1e-3, 1.0, 1e3, 1e6], 5000) * rng.standard_normal(5000), dtype)
    params = jnp.asarray(0.3 * rng.standard_normal((5000, tau.num_params)), dtype)
    back, _ = jax.jit(lambda x, params: tau.inverse(tau.forward(x, params)[0], params))(x, params)
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(back, x, rtol=tolerance, atol=tolerance)


def test_one_entry_that_is_not_a_number_spoils_no_other():
    tau = hkf.DeepSigmoidal()
    y = jnp.asarray([0.5, jnp.nan, -2.0])
    x, _ = jax.jit(tau.inverse)(y, jnp.ones(tau.num_params))
    assert np.isnan(x).tolist() == [False, True, False]


def test_units_that_start_alike_part():
    """A Gaussian is the best while they do not; the data have two modes."""
    tau = Inverted(hkf.DeepSigmoidal())
    rng = np.random.default_rng(5)
    y = jnp.asarray(rng.choice([-0.95, 0.95], 500) + 0.31 * rng.standard_normal(500))
    optimizer = optax.adam(0.03)

    def loss(params):
        x, log_slope = tau.inverse(y, params)
        return jnp.mean(0.5 * x**2 - log_slope)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    start = jnp.zeros(tau.num_params)
    (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), None, length=300)
    assert loss(params) < loss(start) - 0.4


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("arrangement", "kind"), [*(("iaf", kind) for kind in zoo.SOMEWHERE), ("maf", "deep_sigmoidal")]
)
def test_sequential_directions_invert_the_parallel_ones(arrangement, kind):
    """There and back is the identity: in value, and in all of its derivatives."""
    build = lambda: zoo.ARRANGEMENTS[arrangement](zoo.TRANSFORMERS[kind], 3, None)  # noqa: E731
    transformed = hk.without_apply_rng(hk.transform(build))
    params = zoo.random_params(transformed)
    x = jax.random.normal(jax.random.key(0), (4, 3))
    weights = jnp.arange(1.0, 4.0)

    def there_and_back(params, x):
        bijector = transformed.apply(params)
        there, back = bijector.forward_and_log_det, bijector.inverse_and_log_det
        there, back = (there, back) if arrangement == "iaf" else (back, there)
        y, log_det = there(x)
        x, inverse_log_det = back(y)
        return jnp.sum(x @ weights) + jnp.sum(log_det + inverse_log_det), (x, log_det)

    gradient, (back, log_det) = jax.jit(jax.grad(there_and_back, (0, 1), has_aux=True))(params, x)
    assert np.abs(log_det).max() > 0.01
    np.testing.assert_allclose(back, x, atol=1e-12)
    np.testing.assert_allclose(gradient[1], jnp.broadcast_to(weights, x.shape), atol=1e-9)
    for leaf in jax.tree.leaves(gradient[0]):
        np.testing.assert_allclose(leaf, 0.0, atol=1e-9)


@pytest.mark.parametrize("name", ["affine", "rational_quadratic"])
def test_inverted_swaps_the_directions(name):
    tau = zoo.TRANSFORMERS[name]
    x, params = jnp.asarray([0.3, -2.0]), jnp.ones((2, tau.num_params))
    inverted = Inverted(tau)
    assert inverted.num_params == tau.num_params
    for ours, theirs in ((inverted.forward, tau.inverse), (inverted.inverse, tau.forward)):
        np.testing.assert_array_equal(ours(x, params), theirs(x, params))


def test_equal_settings_compare_equal():
    assert hkf.Affine() == hkf.Affine(5.0) != hkf.Affine(2.0)
    assert hash(hkf.RationalQuadratic(8)) == hash(hkf.RationalQuadratic(8))
    assert hkf.RationalQuadratic() != hkf.LinearRational()


def test_affine_scale_stays_within_its_bound():
    tau = hkf.Affine(max_log_scale=2.0)
    _, log_slope = tau.forward(jnp.zeros(2), jnp.asarray([[0.0, 1e6], [0.0, -1e6]]))
    np.testing.assert_allclose(log_slope, [2.0, -2.0])
