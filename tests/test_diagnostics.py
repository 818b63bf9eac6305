"""Importance weights: what they say in cases that can be worked out by hand."""

import re
import warnings

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import hkflows as hkf
from hkflows import diagnostics
from hkflows.diagnostics.adjacent import adjacent_mass
from hkflows.diagnostics.parameters import compare
from hkflows.diagnostics.resampling import resample
from hkflows.diagnostics.verdict import judge
from hkflows.training import gaussians


def test_by_hand():
    log_weights = jnp.log(jnp.asarray([1.0, 1.0, 2.0, 0.0]))
    np.testing.assert_allclose(
        diagnostics.importance_weights(log_weights), [0.25, 0.25, 0.5, 0.0], rtol=1e-6
    )
    np.testing.assert_allclose(diagnostics.effective_sample_size(log_weights), 16 / 6, rtol=1e-6)
    np.testing.assert_allclose(diagnostics.log_evidence(log_weights), np.log(1.0), atol=1e-6)


def test_large_log_weights_do_not_overflow():
    log_weights = jnp.asarray([1e4, 1e4])
    np.testing.assert_allclose(diagnostics.effective_sample_size(log_weights), 2.0, rtol=1e-3)
    np.testing.assert_allclose(diagnostics.log_evidence(log_weights), 1e4)


def test_khat_finds_the_tail_index():
    """Weights with a Pareto tail of shape k have k-hat near k."""
    uniform = np.random.default_rng(0).uniform(size=20_000)
    for k in (0.2, 0.9):
        np.testing.assert_allclose(diagnostics.pareto_khat(-k * np.log(uniform)), k, atol=0.15)


def gaussian(mean, factor):
    """A Gaussian in the form of a flow."""
    return gaussians.gaussian(jnp.asarray(mean), jnp.asarray(factor))


def report(q, log_density, num_samples=4000):
    target = hkf.Target(log_density, q.event_shape[0])
    return diagnostics.diagnose(q, target, seed=0, num_samples=num_samples)


def test_a_perfect_fit_is_good():
    q = gaussian(jnp.ones(2), jnp.asarray([[2.0, 0.0], [1.0, 0.5]]))
    found = report(q, lambda z: q.log_prob(z) + 3.0)
    np.testing.assert_allclose([found.elbo, found.log_evidence], 3.0, rtol=1e-5)
    np.testing.assert_allclose(found.ess, 4000, rtol=1e-3)
    assert found.num_nonfinite == found.num_zero == 0
    assert found.missed_mass < 0.01
    assert found.verdict == "good"


def test_draws_that_are_not_finite_are_counted():
    q = gaussian(jnp.zeros(2), jnp.eye(2))
    found = report(q, lambda z: jnp.where(z[0] > 0, jnp.nan, q.log_prob(z)), 1000)
    assert 400 < found.num_nonfinite < 600
    assert np.isfinite(found.elbo)
    assert found.verdict == "do not trust"
    assert "NaN" in found.reason

    nowhere = report(q, lambda z: jnp.nan * z[0], 100)
    assert nowhere.verdict == "do not trust"
    assert nowhere.num_nonfinite == 100


def test_zero_density_is_a_weight_of_zero_and_not_a_bad_draw():
    """Half of a normal: log Z = log 1/2, half of the draws count, the ELBO is minus infinity."""
    q = gaussian(jnp.zeros(1), jnp.eye(1))
    found = report(q, lambda z: jnp.where(z[0] > 0, q.log_prob(z), -jnp.inf))
    np.testing.assert_allclose(found.log_evidence, np.log(0.5), atol=0.05)
    np.testing.assert_allclose(found.ess / 4000, 0.5, atol=0.03)
    assert found.elbo == -np.inf
    assert 1800 < found.num_zero < 2200
    assert found.num_nonfinite == 0


def test_equal_draws_are_one_point_of_the_distribution_functions():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=500), rng.dirichlet(np.ones(500))
    tied = np.round(values)
    draws = {"constant": np.ones(500), "tied": tied, "values": values}
    gap = compare(tuple(draws), draws, weights, np.full(len(draws), False)).gap
    by_hand = [
        max(abs(weights[v <= at].sum() - np.mean(v <= at)) for at in v) for v in draws.values()
    ]
    np.testing.assert_allclose(gap, by_hand, atol=1e-12)
    assert gap[0] < 1e-12 < gap[1]


def test_draws_without_a_weight_are_left_out_of_the_moments():
    """The density is not a number where one draw in six is: the others' mean is not zero."""
    target = hkf.Target(
        lambda z: jnp.where(z[0] > 1.0, jnp.nan, jax.scipy.stats.norm.logpdf(z[0])), 1
    )
    flow = hkf.flows.mean_field(1)
    q = flow.apply(flow.init(jax.random.key(0)))
    report = diagnostics.diagnose(q, target, seed=0, num_samples=5000)
    assert report.num_nonfinite > 500
    truncated = stats.truncnorm(-np.inf, 1.0)
    np.testing.assert_allclose(report.parameters.mean, truncated.mean(), atol=0.05)
    np.testing.assert_allclose(report.parameters.sd, truncated.std(), atol=0.05)


def test_the_corrected_moments_are_those_of_the_posterior():
    """From draws of N(0, 1) to N(0.5, 0.7^2): both moments, and the gap at its largest."""
    q = gaussian(jnp.zeros(1), jnp.eye(1))
    normal = distrax.Normal(0.5, 0.7)
    found = report(q, lambda z: normal.log_prob(z[0]), 20_000)
    table = found.parameters
    np.testing.assert_allclose([table.mean[0], table.sd[0]], [0.0, 1.0], atol=0.03)
    np.testing.assert_allclose(
        [table.corrected_mean[0], table.corrected_sd[0]], [0.5, 0.7], atol=0.03
    )
    grid = np.linspace(-4.0, 4.0, 2001)
    exact = np.abs(stats.norm.cdf(grid) - stats.norm.cdf(grid, 0.5, 0.7)).max()
    np.testing.assert_allclose(table.gap[0], exact, atol=0.02)
    assert found.verdict == "use the importance-corrected draws"
    assert "value[0]" in found.reason


CORRELATED = jnp.linalg.inv(jnp.asarray([[1.0, 0.95], [0.95, 1.0]]))
AT_FAULT = {
    "mean field on a correlated posterior": (
        gaussian(jnp.zeros(2), 0.31 * jnp.eye(2)),
        lambda z: -0.5 * z @ CORRELATED @ z,
        "uneven|missed|search",
    ),
    "a missed mode": (
        gaussian(jnp.full(2, 4.0), jnp.eye(2)),
        lambda z: jnp.logaddexp(-0.5 * jnp.sum((z - 4.0) ** 2), -0.5 * jnp.sum((z + 4.0) ** 2)),
        "another mode",
    ),
    "a missed mode among ten dimensions": (
        gaussian(jnp.full(10, 4.0), jnp.eye(10)),
        lambda z: jnp.logaddexp(-0.5 * jnp.sum((z - 4.0) ** 2), -0.5 * jnp.sum((z + 4.0) ** 2)),
        "another mode",
    ),
    "heavy tails": (
        gaussian(jnp.zeros(3), jnp.eye(3)),
        lambda z: jnp.sum(jax.scipy.stats.cauchy.logpdf(z)),
        "uneven|tail",
    ),
    "not nearly done": (
        gaussian(jnp.zeros(2), jnp.eye(2)),
        lambda z: -0.5 * jnp.sum(((z - 10.0) / 0.1) ** 2),
        "uneven|mode",
    ),
}


@pytest.mark.parametrize("fault", AT_FAULT)
def test_the_verdict_finds_the_fault(fault):
    q, log_density, reason = AT_FAULT[fault]
    found = report(q, log_density)
    assert found.verdict == "do not trust", found.reason
    assert re.search(reason, found.reason), found.reason


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "good"),
        ({"khat": 0.9}, "good"),  # a large k-hat of weights that are all but equal
        ({"khat": 0.9, "ess": 600.0}, "do not trust"),
        ({"khat": None, "ess": 600.0}, "do not trust"),
        ({"khat": 0.3, "missed_mass": 0.5}, "do not trust"),  # a small one, and half is missed
        ({"ess": 600.0, "gap": np.asarray([0.01, 0.2])}, "use the importance-corrected draws"),
        ({"stretch": np.asarray([-0.09, 0.0])}, "use the importance-corrected draws"),
        ({"stretch": np.asarray([0.0, 0.14])}, "good"),  # no more than its error
        ({"stretch": np.asarray([np.nan, 0.3])}, "use the importance-corrected draws"),
        ({"stretch": np.asarray([np.nan, 0.0])}, "good"),
        ({"ess": 20.0}, "do not trust"),
        ({"rounding": 5.0}, "do not trust"),
        ({"num_nonfinite": 200}, "do not trust"),
    ],
)
def test_how_the_verdict_combines(changes, verdict):
    changes = dict(changes)
    gap = changes.pop("gap", np.asarray([0.01, 0.02]))
    stretch = changes.pop("stretch", np.zeros(2))
    unused = np.zeros(2)
    parameters = diagnostics.Parameters(
        ("a", "b"), *[unused] * 4, stretch, np.asarray([0.01, 0.1]), gap
    )
    fine = {
        "ess": 990.0,
        "num_samples": 1000,
        "num_zero": 0,
        "num_nonfinite": 0,
        "khat": 0.3,
        "missed_mass": 0.0,
        "rounding": 1e-4,
        "parameters": parameters,
    }
    found, reason = judge(**{**fine, **changes})
    assert found == verdict
    assert ("Nothing is known of `a`" in reason) == (verdict == "good" and np.isnan(stretch[0]))


def test_a_tail_is_told_from_a_fit_that_is_far_off():
    fine = {"num_samples": 1000, "num_zero": 0, "num_nonfinite": 0, "missed_mass": 0.0}
    parameters = diagnostics.Parameters(("a",), *[np.zeros(1)] * 7)
    cases = (
        (940.0, 0.9, 0.0, "lacks a tail"),
        (300.0, 0.9, 0.0, "not close"),
        (940.0, None, 0.0, "install"),
        (940.0, np.inf, 0.2, "rounded"),
        (300.0, 0.9, 0.2, "not close"),
    )
    for ess, khat, rounding, words in cases:
        verdict, reason = judge(
            ess=ess, khat=khat, rounding=rounding, parameters=parameters, **fine
        )
        assert verdict == "do not trust"
        assert words in reason


def test_both_reasons_not_to_trust_a_fit_are_given():
    found, reason = judge(
        ess=20.0,
        num_samples=1000,
        num_zero=400,
        num_nonfinite=0,
        khat=0.9,
        missed_mass=0.5,
        rounding=1e-4,
        parameters=diagnostics.Parameters(("a",), *[np.zeros(1)] * 7),
    )
    assert found == "do not trust"
    assert "uneven" in reason
    assert "another mode" in reason
    assert "40 % of which have zero density" in reason


class Above(distrax.Bijector):
    """From a standard normal to that normal above a point, where the weights are all equal."""

    def __init__(self, point):
        super().__init__(event_ndims_in=1)
        self.below = jax.scipy.stats.norm.cdf(point)

    def forward_and_log_det(self, x):
        cdf, ppf = jax.scipy.stats.norm.cdf, jax.scipy.stats.norm.ppf
        y = ppf(self.below + (1.0 - self.below) * cdf(x))
        logpdf = jax.scipy.stats.norm.logpdf
        return y, jnp.sum(logpdf(x) - logpdf(y) + jnp.log1p(-self.below), axis=-1)

    def inverse_and_log_det(self, y):
        cdf, ppf = jax.scipy.stats.norm.cdf, jax.scipy.stats.norm.ppf
        x = ppf((cdf(y) - self.below) / (1.0 - self.below))
        return x, -self.forward_and_log_det(x)[1]


def test_a_fit_that_ends_on_a_slope_is_not_trusted(dtype):
    """A quarter of the mass is below, in reach of no draw and of no climb, and no weight tells."""
    q = hkf.FlowDistribution(hkf.standard_normal(1), Above(jnp.asarray(-0.67)))
    found = report(q, lambda z: jax.scipy.stats.norm.logpdf(z).sum())
    assert found.ess > 3999.0
    more = stats.norm.cdf(1.67) / stats.norm.cdf(0.67) - 1.0  # within a standard deviation or so
    np.testing.assert_allclose(found.missed_mass, more / (1.0 + more), rtol=0.2)
    assert found.verdict == "do not trust"
    assert "more of the same" in found.reason


def with_a_jump(rng):
    """Draws of a normal whose right half has three times the density."""
    z = np.abs(rng.standard_normal((10_000, 1)))
    return np.where(rng.uniform(size=z.shape) < 0.75, z, -z)


EXACT = {
    "smooth": (lambda z: -0.5 * jnp.sum(z**2), lambda rng: rng.standard_normal((10_000, 3))),
    "an end": (
        lambda z: jnp.where(z[0] > 0.0, -z[0], -jnp.inf),
        lambda rng: rng.exponential(size=(10_000, 1)),
    ),
    "a jump": (lambda z: -0.5 * z[0] ** 2 + jnp.log(3.0) * (z[0] > 0.0), with_a_jump),
}


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_next_to_exact_draws(name):
    """Where the density ends or jumps, the score has another mean than zero."""
    log_density, draw = EXACT[name]
    draws = draw(np.random.default_rng(0)).astype(np.float32)
    assert adjacent_mass(log_density, draws, np.zeros(len(draws))) < 0.01


def test_the_evidence_is_not_rounded_to_the_digits_of_a_large_constant():
    """Float32 numbers near 3e6 are a quarter of a nat apart; the mean of many is known better."""
    q = gaussian(jnp.zeros(5), jnp.eye(5))
    found = report(q, lambda z: -0.5 * jnp.sum(z**2) - 3e6, num_samples=10_000)
    exact = 2.5 * np.log(2.0 * np.pi) - 3e6
    np.testing.assert_allclose(found.log_evidence, exact, rtol=0.0, atol=0.02)
    assert found.verdict == "good", found.reason


def test_wider_draws_find_what_a_narrow_fit_misses():
    """Z of a normal with three times the width, by draws that are mostly in its middle."""
    base = hkf.standard_normal(2)
    wider = distrax.Independent(distrax.Normal(jnp.zeros(2), 3.0), 1)
    wide, error = diagnostics.wide_evidence(base, wider.log_prob, jax.random.key(0))
    assert abs(wide) < max(4.0 * error, 0.05)
    same, error = diagnostics.wide_evidence(base, base.log_prob, jax.random.key(0))
    assert abs(same) < 4.0 * error + 0.01


@pytest.mark.parametrize(
    ("middle", "scale", "other_scale"),
    [
        (jnp.full(5, 3.0), 1.0, 0.5),  # of half the width, 13 standard deviations away
        (jnp.full(4, 2.0), 0.02, 0.02),  # a mirror image, 400 standard deviations away
    ],
    ids=["narrow", "mirror image"],
)
def test_modes_with_half_of_the_mass_are_found(middle, scale, other_scale):
    q = gaussian(middle, scale * jnp.eye(len(middle)))
    other = distrax.Independent(distrax.Normal(-middle, other_scale), 1)

    def log_density(z):
        return jnp.logaddexp(q.log_prob(z), other.log_prob(z))

    draws = q.sample(seed=0, sample_shape=(2000,))
    for key in range(8):
        far, error = diagnostics.far_evidence(q, log_density, 0.0, draws, jax.random.key(key))
        np.testing.assert_allclose(far, 0.0, atol=max(4.0 * error, 0.05))


def test_a_mode_is_found_from_fewer_draws_than_dimensions():
    """Their covariance matrix has no Cholesky factor."""
    q = gaussian(jnp.full(5, 2.0), jnp.eye(5))
    other = gaussian(jnp.full(5, -2.0), jnp.eye(5))

    def log_density(z):
        return jnp.logaddexp(q.log_prob(z), other.log_prob(z))

    draws = q.sample(seed=0, sample_shape=(4,))
    far, error = diagnostics.far_evidence(q, log_density, 0.0, draws, jax.random.key(0))
    np.testing.assert_allclose(far, 0.0, atol=max(4.0 * error, 0.1))


def test_far_modes_are_weighed():
    """A second mode with three times the mass of the first: log 3; a thousandth is nothing."""
    q = gaussian(jnp.zeros(2), jnp.eye(2))
    other = distrax.Independent(distrax.Normal(jnp.asarray([8.0, -3.0]), 0.5), 1)

    def log_density(log_mass, z):
        return jnp.logaddexp(q.log_prob(z), log_mass + other.log_prob(z))

    def far(mass):
        there = jax.tree_util.Partial(log_density, jnp.log(mass))
        return diagnostics.far_evidence(q, there, 0.0, draws, jax.random.key(1))

    draws = q.sample(seed=0, sample_shape=(2000,))
    found, error = far(3.0)
    np.testing.assert_allclose(found, np.log(3.0), atol=max(4.0 * error, 0.05))
    found, error = far(0.03)
    np.testing.assert_allclose(found, np.log(0.03), atol=max(4.0 * error, 0.05))
    assert far(0.001)[0] == far(0.0)[0] == -np.inf


def test_an_angle_across_the_cut_has_the_moments_of_its_arc():
    """Draws around pi, half of which come as angles near minus pi."""
    supports = {"a": hkf.supports.circle(2), "x": hkf.supports.real()}
    target = hkf.Target.from_log_joint(lambda p: jnp.sum(jnp.cos(p["a"])) - p["x"] ** 2, supports)
    assert target.is_angle().tolist() == [True, True, False]
    normal = np.random.default_rng(0).normal(size=(5000, 2))
    angles = (np.pi - 0.1 + 0.3 * normal + np.pi) % (2.0 * np.pi) - np.pi
    draws = {"a": angles, "x": normal[:, 0]}
    found = compare(target.names(), draws, np.full(5000, 1.0 / 5000), target.is_angle())
    np.testing.assert_allclose(found.mean[:2], np.pi - 0.1, atol=0.02)
    np.testing.assert_allclose(found.sd, [0.3, 0.3, 1.0], rtol=0.05)
    np.testing.assert_allclose(found.corrected_sd, found.sd, rtol=1e-6)
    assert not hkf.Target(lambda z: -z @ z, 2).is_angle().any()


def test_a_variance_that_need_not_exist_says_nothing():
    """Of Cauchy draws one makes up most of it; those of a normal share it evenly."""
    rng = np.random.default_rng(0)
    draws = {"cauchy": rng.standard_cauchy(5000), "normal": rng.normal(size=5000)}
    weights = rng.uniform(0.9, 1.1, 5000)
    found = compare(tuple(draws), draws, weights / weights.sum(), np.full(2, False))
    assert np.isinf(found.stretch_error[0])
    assert found.stretch_error[1] < 0.02


def test_a_single_weight_is_truncated_and_told_of():
    """Beside ten thousand equal ones, it is a tenth of their sum; a hundredth is left."""
    log_weights = np.append(np.zeros(10_000), np.log(1_112.0))
    with pytest.warns(UserWarning, match="one makes up 10 %"):
        picked = resample(log_weights, jax.random.key(0), 20_000)
    assert 100 < np.sum(picked == 10_000) < 300
    with warnings.catch_warnings(action="error"):
        resample(np.zeros(30), jax.random.key(0), 10)


def test_a_constant_that_rounds_is_not_stretched():
    """The sum of a simplex: what varies is its last digit."""
    p = jax.nn.softmax(jax.random.normal(jax.random.key(0), (1000, 5)))
    draws = {"total": np.asarray(jnp.sum(p, axis=1))}
    assert draws["total"].std() > 0.0
    weights = np.random.default_rng(0).dirichlet(np.ones(1000))
    found = compare(("total",), draws, weights, np.full(1, False))
    np.testing.assert_allclose([found.stretch[0], found.gap[0]], 0.0, atol=1e-6)
    np.testing.assert_allclose(found.corrected_mean, 1.0, rtol=1e-6)


def test_rounding_is_that_of_float32():
    """A constant of 1e6 leaves a sixteenth of a nat: uniform rounding by that much."""
    draws = jax.random.normal(jax.random.key(0), (64, 3))
    coarse = diagnostics.rounding_error(lambda z: 1e6 - 0.5 * jnp.sum(z**2), draws)
    np.testing.assert_allclose(coarse, 0.0625 / 12**0.5, rtol=0.5)
    assert diagnostics.rounding_error(lambda z: -0.5 * jnp.sum(z**2), draws) < 1e-5


def test_curvature_is_not_taken_for_rounding():
    """Neal's funnel, whose neck is far narrower than the whole."""
    z = np.random.default_rng(0).normal(size=(64, 3)) * [3.0, 1.0, 1.0]
    z[:, 1:] *= np.exp(z[:, :1] / 2.0)

    def log_density(z):
        log_p = jax.scipy.stats.norm.logpdf
        return log_p(z[0], 0.0, 3.0) + log_p(z[1:], 0.0, jnp.exp(z[0] / 2.0)).sum()

    assert diagnostics.rounding_error(log_density, jnp.asarray(z, jnp.float32)) < 0.01


def test_rounding_of_a_sum_over_large_counts():
    """A Poisson regression: against the same log density in float64, at the same points."""
    rng = np.random.default_rng(3)
    x = np.stack([np.ones(60), rng.normal(50.0, 10.0, 60)], axis=1)
    exposure = rng.uniform(1e6, 1e8, 60)
    y = rng.poisson(exposure * np.exp(x @ [-5.0, 0.01]))

    def log_density(z, xp=jnp):
        rate = x @ z + xp.log(exposure)
        return (y * rate - xp.exp(rate)).sum() - (y * (np.log(y) - 1.0)).sum()

    information = x.T @ (y[:, None] * x)
    noise = rng.normal(size=(32, 2)) @ np.linalg.inv(np.linalg.cholesky(information))
    z = jnp.asarray(np.asarray([-5.0, 0.01]) + noise, jnp.float32)
    exact = [log_density(np.asarray(one, np.float64), np) for one in z]
    error = np.std(np.asarray(jax.jit(jax.vmap(log_density))(z), np.float64) - exact)
    found = diagnostics.rounding_error(log_density, z)
    assert error / 3.0 < found < 3.0 * error


def test_rounding_on_the_way_to_a_small_result():
    """Terms of 1e6 that cancel: as coarse as one of them, though the result is near 2e3."""
    draws = jax.random.normal(jax.random.key(0), (64, 3))
    found = diagnostics.rounding_error(lambda z: (1e3 + jnp.sum(z)) ** 2 - 1e6, draws)
    assert 0.01 < found < 0.2


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"q": hkf.standard_normal(2)}, "q"),
        ({"q": gaussian(jnp.zeros(3), jnp.eye(3))}, "q"),
        ({"target": jnp.sum}, "target"),
        ({"num_samples": 1}, "num_samples"),
    ],
)
def test_diagnose_names_what_is_wrong(changes, name):
    settings = {
        "q": gaussian(jnp.zeros(2), jnp.eye(2)),
        "target": hkf.Target(lambda z: -jnp.sum(z**2), 2),
        "num_samples": 100,
    }
    with pytest.raises(ValueError, match=f"`{name}`"):
        diagnostics.diagnose(**{**settings, **changes}, seed=0)
