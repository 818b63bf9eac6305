"""Splines and the other closed forms, against formulas written out and other libraries."""

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf

K, BOUND = 6, 4.0

pytestmark = pytest.mark.usefixtures("x64")


def sides(logits):
    """The knots of a partition of the box, by NumPy."""
    share = np.exp(logits) / np.exp(logits).sum()
    return BOUND * (2.0 * np.append(0.0, np.cumsum(1e-3 + (1.0 - 1e-3 * K) * share)) - 1.0)


def softplus(slopes):
    return 1e-3 + np.log1p(np.exp(slopes) * np.expm1(1.0 - 1e-3))


def distrax_spline(params, bound, ends):
    return distrax.RationalQuadraticSpline(
        params, -bound, bound, ends, min_bin_size=2e-3 * bound, min_knot_slope=1e-3
    )


def draw(num_params, seed=0):
    return np.random.default_rng(seed).standard_normal(num_params)


def test_rational_quadratic_is_that_of_distrax():
    x = jnp.linspace(-5.0, 5.0, 101)
    params = draw(3 * K - 1)
    theirs = distrax_spline(np.insert(params, [2 * K, 3 * K - 1], 0.0), BOUND, "identity")
    tau = hkf.RationalQuadratic(K, BOUND)

    @jax.jit
    def both():
        ours = tau.forward(x, params), tau.inverse(x, params)
        return ours, (theirs.forward_and_log_det(x), theirs.inverse_and_log_det(x))

    np.testing.assert_allclose(*both(), atol=1e-9)


def test_circular_is_that_of_distrax_and_a_turn():
    x = jnp.linspace(-3.1, 3.1, 101)
    params = draw(3 * K + 1)
    theirs = distrax_spline(np.append(params[:-1], 0.0), np.pi, "circular")
    tau = hkf.CircularRationalQuadratic(K)
    y, log_slope = theirs.forward_and_log_det(x)
    ours = tau.forward(x + 4.0 * np.pi, params)
    np.testing.assert_allclose(ours, (zoo.wrap(y + params[-1]), log_slope), atol=1e-9)


def test_linear_rational_by_the_algorithm_of_its_paper():
    """With weights of the knots and of the cut, as Dolatabadi et al. write it."""
    params = draw(4 * K - 1)
    widths, heights, cuts, slopes = np.split(params, [K, 2 * K, 3 * K])
    x_knots, y_knots = sides(widths), sides(heights)
    slopes = softplus(np.pad(slopes, 1))
    cuts = 0.025 + 0.95 / (1.0 + np.exp(-cuts))

    def theirs(x):
        k = np.searchsorted(x_knots, x) - 1
        width, (y_a, y_b), (d_a, d_b) = (
            x_knots[k + 1] - x_knots[k],
            y_knots[k : k + 2],
            slopes[k : k + 2],
        )
        cut, mean = cuts[k], (y_b - y_a) / width
        w_a = 1.0
        w_b = np.sqrt(d_a / d_b) * w_a
        w_c = (cut * w_a * d_a + (1.0 - cut) * w_b * d_b) / mean
        y_c = ((1.0 - cut) * w_a * y_a + cut * w_b * y_b) / ((1.0 - cut) * w_a + cut * w_b)
        t = (x - x_knots[k]) / width
        if t <= cut:
            return (w_a * y_a * (cut - t) + w_c * y_c * t) / (w_a * (cut - t) + w_c * t)
        return (w_c * y_c * (1.0 - t) + w_b * y_b * (t - cut)) / (w_c * (1.0 - t) + w_b * (t - cut))

    x = np.linspace(-3.99, 3.99, 101)
    y, _ = hkf.LinearRational(K, BOUND).forward(jnp.asarray(x), params)
    np.testing.assert_allclose(y, [theirs(point) for point in x], atol=1e-9)


def test_piecewise_linear_interpolates():
    params = draw(2 * K)
    x = np.linspace(-3.99, 3.99, 101)
    y, _ = hkf.PiecewiseLinear(K, BOUND).forward(jnp.asarray(x), params)
    np.testing.assert_allclose(y, np.interp(x, *map(sides, np.split(params, 2))), atol=1e-12)


def test_sinh_arcsinh_makes_the_density_of_its_paper():
    """Jones & Pewsey, equation 2; their draws are the inverse of `S`."""
    tau = hkf.SinhArcsinh(max_skewness=1e6, max_log_tail_weight=1e6)
    skewness, log_weight = params = np.asarray([0.7, -0.4])
    delta = np.exp(-log_weight)
    x = np.linspace(-4.0, 4.0, 51)
    S = np.sinh(delta * np.arcsinh(x) - skewness)
    C = np.sqrt(1.0 + S**2)
    density = delta * C * np.exp(-0.5 * S**2) / np.sqrt(2.0 * np.pi * (1.0 + x**2))
    z, log_slope = tau.inverse(jnp.asarray(x), params)
    np.testing.assert_allclose(
        -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) + log_slope, np.log(density), atol=1e-9
    )


def test_deep_sigmoidal_is_the_logit_of_a_mean_of_sigmoids():
    tau = hkf.DeepSigmoidal(num_units=4, max_log_slope=1e6)
    params = 0.5 * draw(12)
    x = np.linspace(-3.0, 3.0, 41)
    weights, slopes, shifts = np.split(params, 3)
    z = np.exp(slopes) * x[:, None] + 2.0 * np.arange(1, 5) * shifts
    p = 1.0 / (1.0 + np.exp(-z)) @ (np.exp(weights) / np.exp(weights).sum())
    expected = 1e-3 * x + 0.999 * np.log(p / (1.0 - p))
    np.testing.assert_allclose(tau.forward(jnp.asarray(x), params)[0], expected, atol=1e-9)


@pytest.mark.parametrize("tau", [hkf.RationalQuadratic(K, BOUND), hkf.LinearRational(K, BOUND)])
def test_smooth_splines_have_no_kink(tau):
    """Not at a knot or a cut, nor at the ends of the box, outside of which nothing changes."""
    x = jnp.linspace(-4.1, 4.1, 400_001)
    y, log_slope = jax.jit(tau.forward)(x, draw(tau.num_params))
    assert np.abs(np.diff(log_slope)).max() < 0.01
    assert np.abs(np.diff(y)).max() < 0.01
    outside = np.abs(x) >= BOUND
    np.testing.assert_array_equal(y[outside], x[outside])
    np.testing.assert_array_equal(log_slope[outside], 0.0)


@pytest.mark.parametrize(
    "tau", [hkf.RationalQuadratic(1), hkf.PiecewiseLinear(1), hkf.LinearRational(1)]
)
def test_a_box_spline_with_one_bin_is_the_identity(tau):
    x = jnp.linspace(-7.0, 7.0, 15)
    y, log_slope = tau.forward(x, jnp.ones((15, tau.num_params)))
    np.testing.assert_allclose(y, x, atol=1e-12)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-12)


def test_a_density_on_the_torus():
    """Of angles: normalised, periodic, without a jump at the cut, and that of its draws."""

    def build():
        see = lambda angle: hkf.MLP([8])(jnp.concatenate([jnp.cos(angle), jnp.sin(angle)]))  # noqa: E731
        tau = hkf.CircularRationalQuadratic(num_bins=4)
        layers = [hkf.Coupling(see, tau, mask=mask) for mask in ([True, False], [False, True])]
        pi = np.full(2, np.pi)
        return hkf.FlowDistribution(hkf.uniform(-pi, pi), hkf.Chain(layers))

    flow = hk.without_apply_rng(hk.transform(build))
    q = jax.jit(flow.apply)(zoo.random_params(flow, scale=0.5))
    grid = np.linspace(-np.pi, np.pi, 200, endpoint=False)
    y = np.stack(np.meshgrid(grid, grid), axis=-1)
    log_prob = jax.jit(lambda q, y: q.log_prob(y))
    density = np.exp(log_prob(q, y))
    np.testing.assert_allclose(density.mean() * (2.0 * np.pi) ** 2, 1.0, atol=1e-3)
    assert density.std() > 0.1 * density.mean()
    np.testing.assert_allclose(log_prob(q, y + 2.0 * np.pi), np.log(density), atol=1e-9)
    edge = np.asarray([[-np.pi, 0.3], [0.3, -np.pi]])
    np.testing.assert_allclose(log_prob(q, edge), log_prob(q, edge - 1e-9), atol=1e-6)
    draw = jax.jit(lambda q: q.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(1000,)))
    draws, log_q = draw(q)
    assert (np.abs(draws) <= np.pi).all()
    np.testing.assert_allclose(log_prob(q, draws), log_q, atol=1e-9)


@pytest.mark.parametrize(
    "transformer",
    [
        hkf.RationalQuadratic(),
        hkf.LinearRational(),
        hkf.PiecewiseLinear(),
        hkf.CircularRationalQuadratic(),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_no_dtype_is_promoted_without_being_asked(transformer):
    flow = hkf.flows.maf(2, num_layers=1, transformer=transformer)
    with jax.numpy_dtype_promotion("strict"):

        @jax.jit
        def densities():
            q = flow.apply(flow.init(jax.random.key(0)))
            y, log_q = q.sample_and_log_prob(seed=0, sample_shape=(5,))
            return q.log_prob(y), log_q

        np.testing.assert_allclose(*densities(), atol=1e-4)
