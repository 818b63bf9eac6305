"""The stages of a posterior fit, each against a posterior that is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hkflows as hkf
from hkflows import training
from hkflows.training.batches import batches
from hkflows.training.gaussians import gaussian
from hkflows.training.loop.minimise import Result
from hkflows.training.posterior import gaussian as gaussian_module
from hkflows.training.posterior.data import given
from hkflows.training.posterior.flow import ROUND_STEPS
from hkflows.training.posterior.fresh import elbo_error, finite_moments
from hkflows.training.posterior.low_rank import low_rank_gaussian
from hkflows.training.posterior.negative_elbo import Fixed, NegativeElbo, Report
from hkflows.training.posterior.stage_log import StageLog

KEY = jax.random.key(0)


def normal(mean, covariance):
    """A Gaussian target with log Z = 0, from float64 matrices."""
    precision = jnp.asarray(np.linalg.inv(covariance))
    constant = 0.5 * np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    return hkf.Target(
        lambda z: -0.5 * (z - mean) @ precision @ (z - mean) - constant, len(covariance)
    )


def moments(q):
    """The mean and the covariance of an affine image of the standard normal."""

    @jax.jit
    def columns(bijector):
        mean = bijector.forward(jnp.zeros(q.event_shape))
        return mean, jax.vmap(bijector.forward)(jnp.eye(*q.event_shape)) - mean

    mean, factor = (np.asarray(each, np.float64) for each in columns(q.bijector))
    return mean, factor.T @ factor


def test_parameters_are_not_kept_for_a_lucky_draw():
    """Of a perfect flow and one a little too wide, fresh draws prefer the second now and then."""
    flow = hkf.flows.mean_field(4)
    perfect = jax.jit(flow.init)(KEY)
    wide = jax.tree.map(lambda p: p + 0.05, perfect)
    objective = NegativeElbo(flow, 128, 100, "path", None, 1, None)

    @jax.jit
    def score(params, key):
        target = jax.tree_util.Partial(lambda z: jax.scipy.stats.norm.logpdf(z).sum())
        return objective.score(params, Fixed(target, None, None, key, 0), 0.0)

    lucky = 0
    for seed in range(30):
        key = jax.random.key(seed)
        (best, report), (worse, noisy) = score(perfect, key), score(wide, key)
        assert best < worse
        lucky += noisy.elbo > report.elbo + 1e-4
    assert lucky > 3


@pytest.mark.parametrize("num_draws", [100, 500, 1000, 1024])
def test_equal_weights_have_no_error(num_draws):
    """Compiled, the share of those that are finite may be rounded to more than one."""
    weights = jnp.full(num_draws, 0.9189385)
    error = jax.jit(lambda w: elbo_error(*finite_moments(w)[1:], num_draws))(weights)
    assert 0.0 <= error < 1e-4


def test_a_perfect_flow_is_scored_and_kept():
    """The start is the posterior; a step of training makes it worse."""
    target, flow = normal(np.zeros(1), np.eye(1)), hkf.flows.mean_field(1)
    result = training.fit_flow(target, flow, key=0, num_steps=1, progress=False)
    assert np.isfinite(result.scores).all()
    assert result.score == result.scores[0] < 1e-4
    assert result.stop_reason.endswith("nothing was better than the start")


def test_a_flow_that_never_left_its_start_is_not_kept():
    """Its record is not that of the Gaussian that it started as."""
    q = gaussian(jnp.zeros(2), jnp.eye(2))
    log = StageLog(normal(np.zeros(2), np.eye(2)), KEY)
    log.add("gaussian", q, "all correlations")
    report = Report(elbo=1.0, spread=0.5, share=1.0, num_draws=1000)
    result = Result(None, np.ones(1), np.array([0.0, 1.0]), 0.0, report, 0, "done")
    dropped = log.add_flow(result)
    assert not dropped.kept
    assert dropped.elbo == -np.inf
    kept = log.add_flow(dataclasses.replace(result, scores=np.array([0.0, -1.0])))
    assert kept.kept
    assert kept.elbo == 1.0


def test_the_start_is_as_wide_as_the_mass_and_not_as_a_spike():
    """A needle of unbounded height and mass 1e-6 at the origin, next to a normal at 3."""

    def log_density(z):
        needle = np.log(1e-6) + jnp.sum(jax.scipy.stats.norm.logpdf(z, 0.0, 1e-5))
        return jnp.logaddexp(needle, jnp.sum(jax.scipy.stats.norm.logpdf(z, 3.0, 1.0)))

    _, covariance = moments(training.find_start(hkf.Target(log_density, 2), key=KEY))
    assert (np.diag(covariance) > 0.5).all()


def test_the_start_is_not_in_the_spike_of_a_hierarchy():
    """Where all of many effects equal their mean, and their scale is zero, is a spike."""
    effects = 1.5 + 0.5 * np.random.default_rng(0).standard_normal(80)

    def log_density(z):
        mean, log_scale, *effect = jnp.split(z, [1, 2])
        prior = jax.scipy.stats.norm.logpdf(effect[0], mean, jnp.exp(log_scale))
        likelihood = jax.scipy.stats.norm.logpdf(effect[0], effects, 0.3)
        return jnp.sum(prior) + jnp.sum(likelihood) - 0.5 * (z[0] ** 2 + z[1] ** 2)

    for seed in range(5):
        mean, _ = moments(training.find_start(hkf.Target(log_density, 82), key=seed))
        assert abs(mean[1] - np.log(0.5)) < 1.0


def test_the_start_prefers_a_long_mode_to_a_small_round_one():
    """Of the mass 98 % is in a mode with scales from 0.01 to 1, the rest in a round one."""
    scales, normal = jnp.logspace(-2.0, 0.0, 10), jax.scipy.stats.norm.logpdf

    def log_density(z):
        long, small = jnp.sum(normal(z, scales, scales)), jnp.sum(normal(z, -1.5, 0.05))
        return jnp.logaddexp(jnp.log(0.98) + long, jnp.log(0.02) + small)

    for seed in range(3):
        mean, _ = moments(training.find_start(hkf.Target(log_density, 10), key=seed))
        assert mean.max() > -1.0


def test_the_start_finds_other_units():
    scale = np.asarray([1e-3, 1e3, 1.0])
    target = normal(1000.0 * scale, np.diag(scale**2))
    mean, covariance = moments(training.find_start(target, key=KEY))
    np.testing.assert_allclose(mean / scale, 1000.0, atol=3.0)
    assert (np.sqrt(np.diag(covariance)) / scale > 0.1).all()


def test_the_start_looks_far_for_a_finite_density():
    target = hkf.Target(
        lambda z: jnp.where(z[0] > 500.0, -0.5 * jnp.sum((z - 1000.0) ** 2), jnp.nan), 2
    )
    mean, _ = moments(training.find_start(target, key=KEY))
    np.testing.assert_allclose(mean, 1000.0, atol=3.0)
    with pytest.raises(ValueError, match=r"102432 points.*start=.*z = \[0. 0.\]"):
        training.find_start(hkf.Target(lambda z: z[0] - jnp.inf, 2), key=KEY)


def test_a_start_of_lower_precision(x64):
    target = hkf.Target(lambda z: -0.5 * jnp.sum((z - 3.0) ** 2), 2)
    mean, _ = moments(training.find_start(target, key=KEY, point=jnp.zeros(2, jnp.float32)))
    np.testing.assert_allclose(mean, 3.0, atol=0.5)


def test_a_start_that_fails_names_the_parameter():
    target = hkf.Target.from_log_joint(
        lambda p: -jnp.abs(p["a"]) + jnp.nan * p["b"],
        {"a": hkf.supports.real(), "b": hkf.supports.real()},
    )
    with pytest.raises(ValueError, match="`b`"):
        training.find_start(target, key=KEY)


def test_a_start_of_the_users_own():
    """Of two narrow modes, the fit is that of the one beside which it starts."""

    def log_joint(p):
        log_x, modes = jnp.log(p["x"]), jnp.log(jnp.asarray([3.0, 200.0]))
        return jax.scipy.special.logsumexp(-0.5 * ((log_x - modes) / 0.1) ** 2) - log_x

    target = hkf.Target.from_log_joint(log_joint, {"x": hkf.supports.positive()})
    for x in (2.5, 210.0):
        fit = hkf.fit_posterior(target, key=KEY, start={"x": x}, progress=False)
        np.testing.assert_allclose(
            np.median(fit.sample(1, 2000)["x"]), 3.0 if x < 100 else 200.0, rtol=0.1
        )
    with pytest.raises(ValueError, match="finite"):
        hkf.fit_posterior(
            hkf.Target(lambda z: jnp.log(z[0]) - z[0], 1), key=KEY, start=jnp.asarray([-1.0])
        )


def test_restricted_to_where_it_is_finite_a_weight_is_larger():
    elbo, spread, share = finite_moments(jnp.asarray([1.0, 1.0, -jnp.inf, 3.0]))
    np.testing.assert_allclose([elbo, share], [5.0 / 3.0 + np.log(0.75), 0.75], rtol=1e-6)
    np.testing.assert_allclose(spread, np.std([1.0, 1.0, 3.0]), rtol=1e-6)
    assert finite_moments(np.asarray([1.0, -np.inf, np.nan]))[:2] == (-np.inf, np.inf)


def test_within_a_constraint_the_fit_is_the_posterior_up_to_a_factor(quick_spline_flow):
    """A skewed density cut by a line: the weights within are all but equal, the others zero."""

    def log_density(z):
        value = -z[0] - jnp.exp(-z[0]) - 0.5 * (z[1] - 0.3 * z[0] ** 2) ** 2
        return jnp.where(z[0] + z[1] < 2.0, value, -jnp.inf)

    fit = hkf.fit_posterior(hkf.Target(log_density, 2), key=KEY, num_steps=750, progress=False)
    d = fit.diagnostics
    assert fit.stages[-1].kept
    assert fit.num_skipped == 0
    assert 500 < d.num_zero < 5000
    assert d.log_weights[np.isfinite(d.log_weights)].std() < 0.1
    assert "have zero density" in d.reason
    # On a grid, the exact mean of the posterior.
    grid = jnp.stack(jnp.meshgrid(*[jnp.linspace(-12.0, 14.0, 1301)] * 2), axis=-1).reshape(-1, 2)
    weights = np.asarray(jax.nn.softmax(jax.vmap(log_density)(grid)), np.float64)
    mean = weights @ np.asarray(grid)
    width = np.sqrt(weights @ (np.asarray(grid) - mean) ** 2)
    draws = np.asarray(fit.sample(1, 20_000, importance_resample=True), np.float64)
    np.testing.assert_allclose((draws.mean(axis=0) - mean) / width, 0.0, atol=0.04)
    np.testing.assert_allclose(draws.std(axis=0) / width, 1.0, atol=0.05)


def test_matching_solves_its_equation():
    """S U S + S = V, with U and V as in Cai et al. (2024)."""
    rng = np.random.default_rng(0)
    x, g, penalty = rng.standard_normal((30, 4)), rng.standard_normal((30, 4)) + 1.0, 7.0
    usable = np.ones(30, bool)
    batch = gaussian_module._Batch(*map(jnp.asarray, (x, g, usable, 0.0, 0.0)))
    mean, factor = gaussian_module._match(batch, jnp.asarray(penalty))
    S, r = np.asarray(factor @ factor.T), penalty / (1.0 + penalty)
    U = penalty * np.cov(g.T, bias=True) + r * np.outer(g.mean(0), g.mean(0))
    V = np.eye(4) + penalty * np.cov(x.T, bias=True) + r * np.outer(x.mean(0), x.mean(0))
    np.testing.assert_allclose(S @ U @ S + S, V, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mean, r * (S @ g.mean(0) + x.mean(0)), rtol=1e-4, atol=1e-4)


def test_an_affine_map_far_from_zero_keeps_its_digits():
    """Float32 numbers near 1e5 are 0.008 apart."""
    far = gaussian(jnp.full(1, 1e5), jnp.full((1, 1), 0.01))
    mean, factor = gaussian_module._mean_and_factor(far)
    np.testing.assert_allclose([mean[0], factor[0, 0]], [1e5, 0.01], rtol=1e-6)


def test_a_gaussian_is_found_whatever_its_units():
    """Scales from 1e-3 to 1e3, correlations of 0.99, and a start that is off by 100 of them."""
    scale = 10.0 ** np.linspace(-3.0, 3.0, 7)
    correlation = 0.99 + 0.01 * np.eye(7)
    covariance = correlation * np.outer(scale, scale)
    target = normal(100.0 * scale, covariance)
    start = gaussian(jnp.zeros(7), jnp.diag(jnp.asarray(scale, jnp.float32)))
    mean, found = moments(training.fit_gaussian(target, start, key=KEY))
    np.testing.assert_allclose(mean / scale, 100.0, atol=0.01)
    np.testing.assert_allclose(found / np.outer(scale, scale), correlation, atol=0.01)


def test_a_gaussian_does_not_leap_to_where_nothing_is_sure():
    """Effects of a scale on a logarithm: a few draws of a wide start dominate every mean."""

    def log_density(z):
        normal = jax.scipy.stats.norm.logpdf
        return jnp.sum(normal(z)) + jnp.sum(normal(1.0, jnp.exp(z[0]) * z[1:], 1.0))

    target, start = hkf.Target(log_density, 5), gaussian(jnp.zeros(5), 3.0 * jnp.eye(5))

    @jax.jit
    def elbo(q):
        z, log_q = q.sample_and_log_prob(seed=KEY, sample_shape=(1000,))
        return jnp.mean(jax.vmap(log_density)(z) - log_q)

    elbos = [elbo(training.fit_gaussian(target, start, key=seed)) for seed in range(12)]
    assert min(elbos) > max(elbos) - 0.5


def test_a_gaussian_survives_a_density_with_holes():
    target = hkf.Target(lambda z: jnp.where(z[0] > 2.0, jnp.nan, -0.5 * jnp.sum((z + 1) ** 2)), 2)
    start = gaussian(jnp.zeros(2), 0.3 * jnp.eye(2))
    mean, covariance = moments(training.fit_gaussian(target, start, key=KEY))
    np.testing.assert_allclose(mean, -1.0, atol=0.05)
    np.testing.assert_allclose(covariance, np.eye(2), atol=0.05)


def test_a_gaussian_of_low_rank_within_a_constraint():
    """At the start one draw in six has zero density, in nearly every step."""

    def log_density(z):
        inside = -0.5 * jnp.sum(((z - 1.0) / 0.3) ** 2)
        return jnp.where(z[0] > -1.0, inside, -jnp.inf)

    start = gaussian(jnp.zeros(3), jnp.eye(3))
    found = training.fit_low_rank_gaussian(hkf.Target(log_density, 3), start, key=KEY)
    mean, covariance = moments(found)
    np.testing.assert_allclose(mean, 1.0, atol=0.02)
    np.testing.assert_allclose(covariance, 0.09 * np.eye(3), atol=0.01)


def test_skipped_steps_of_low_rank_are_counted():
    """Where a third of the draws are NaN, nearly every step of 64 draws is."""
    target = hkf.Target(lambda z: jnp.where(z[0] > 0.5, jnp.nan, -0.5 * jnp.sum(z**2)), 2)
    start = gaussian(jnp.zeros(2), jnp.eye(2))
    _, num_skipped = low_rank_gaussian(target, start, 0)
    assert num_skipped >= 250  # the first chunk


def test_a_covariance_of_low_rank_is_found():
    rng = np.random.default_rng(1)
    U = rng.standard_normal((40, 2))
    scale = 10.0 ** rng.uniform(-1.0, 1.0, 40)
    covariance = (np.eye(40) + U @ U.T) * np.outer(scale, scale)
    target = normal(scale, covariance)
    start = gaussian(jnp.zeros(40), jnp.diag(jnp.asarray(scale, jnp.float32)))
    mean, found = moments(training.fit_low_rank_gaussian(target, start, key=KEY))
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((mean - scale) / sd, 0.0, atol=0.02)
    np.testing.assert_allclose((found - covariance) / np.outer(sd, sd), 0.0, atol=0.02)


def test_a_flow_around_a_gaussian_starts_as_that_gaussian():
    q = gaussian(jnp.asarray([5.0, -3.0]), jnp.asarray([[2.0, 0.0], [1.0, 0.1]]))
    flow = training.around(training.default_flow(2), q)
    fresh = flow.apply(jax.jit(flow.init)(KEY))
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    log_prob = jax.jit(lambda q, z: q.log_prob(z))
    np.testing.assert_allclose(log_prob(fresh, z), log_prob(q, z), rtol=1e-4)
    around = training.around(hkf.flows.mean_field(2), q)
    contexts = jnp.ones((4, 3))
    params = jax.jit(around.init)(KEY, context=contexts)
    assert jax.jit(around.apply)(params, context=contexts).batch_shape == (4,)


def test_the_default_flow_has_a_square_matrix_up_to_500_dimensions():
    for size, expected in ((500, 1), (501, 0)):
        leaves = jax.tree.leaves(jax.eval_shape(training.default_flow(size).init, KEY))
        assert sum(leaf.shape == (size, size) for leaf in leaves) == expected


def test_the_flow_stage_gains_what_a_gaussian_cannot():
    """The banana of Haario et al.: an affine autoregressive map of a normal, log Z = 0."""

    def log_density(z):
        first = jax.scipy.stats.norm.logpdf(z[0], 0.0, 2.0)
        return first + jax.scipy.stats.norm.logpdf(z[1], 0.5 * z[0] ** 2, 1.0)

    fit = hkf.fit_posterior(hkf.Target(log_density, 2), key=0, progress=False)
    start, full, flow = fit.stages
    assert start.elbo <= full.elbo < flow.elbo - 0.2
    assert flow.kept
    assert fit.diagnostics.elbo > -0.02
    assert fit.diagnostics.verdict == "good"
    # Weights as even as these need no more than the first round.
    assert "log weights vary" in fit.stop_reason
    assert fit.losses.size == ROUND_STEPS[0]


def test_a_fit_in_double_precision(x64, quick_flow):
    """With a constant that float32 would round by half a nat."""
    target = hkf.Target(lambda z: jnp.sum(z - jnp.exp(z)) - 1e7, 2)  # of an exponential
    fit = hkf.fit_posterior(target, key=0, num_steps=250, progress=False)
    assert fit.diagnostics.log_weights.dtype == fit.sample(1, 5).dtype == np.float64
    np.testing.assert_allclose(fit.diagnostics.log_evidence + 1e7, 0.0, atol=0.02)
    assert fit.diagnostics.rounding < 1e-6


def test_a_stage_that_does_not_help_is_dropped(quick_flow):
    """One step of a flow, with a rate that ruins it: the Gaussian stays."""
    target = hkf.Target(lambda z: jnp.sum(z - jnp.exp(z)), 2)  # of an exponential: Z = 1
    fit = hkf.fit_posterior(
        target, key=0, num_steps=3, num_samples=8, optimizer=optax.sgd(-1.0), progress=False
    )
    assert [stage.kept for stage in fit.stages] == [True, True, False]
    assert -0.3 < fit.diagnostics.elbo < 0.0


def test_importance_resampling_corrects_a_crude_fit():
    """A mean-field Gaussian, two steps from where it starts, to N(0.5, 0.8^2)."""
    target = normal(np.asarray([0.5]), np.asarray([[0.64]]))
    fit = hkf.fit_posterior(
        target, key=0, flow=hkf.flows.mean_field(1), num_steps=2, num_samples=4, progress=False
    )
    plain = fit.sample(1, 20_000)
    corrected = fit.sample(1, 20_000, importance_resample=True)
    assert abs(float(plain.std()) - 0.8) > 0.1
    np.testing.assert_allclose([corrected.mean(), corrected.std()], [0.5, 0.8], atol=0.03)
    one_by_one = [float(fit.sample(seed, 1, importance_resample=True)[0, 0]) for seed in range(200)]
    assert abs(np.std(one_by_one) - 0.8) < 0.1  # few draws are picked from no fewer proposals
    nowhere = dataclasses.replace(fit, target=hkf.Target(lambda z: z[0] - jnp.inf, 1))
    with pytest.raises(ValueError, match="`importance_resample`"):
        nowhere.sample(0, 1, importance_resample=True)


def test_densities_at_points_of_the_right_size():
    target, flow = normal(np.zeros(2), np.eye(2)), hkf.flows.mean_field(2)
    fit = hkf.fit_posterior(target, key=0, flow=flow, num_steps=1, progress=False)
    z = np.asarray([[0.1, 0.2], [0.3, -2.0]])
    np.testing.assert_allclose(fit.log_prob(z), fit.distribution.log_prob(z), rtol=1e-5)
    assert fit.log_prob(z[:0]).shape == (0,)
    for wrong in (z[0], z[:, :1], z.astype(int)):
        with pytest.raises(ValueError, match="`z`"):
            fit.log_prob(wrong)


ROWS = np.random.default_rng(3).normal([1.0, -2.0], 1.0, (103, 2))


def from_rows():
    """The mean of 103 rows of unit variance, flat prior: N(mean, 1/103)."""
    joint = hkf.elbo.minibatch(
        lambda p: 0.0 * jnp.sum(p["mean"]),
        lambda p, rows: -0.5 * jnp.sum((rows - p["mean"]) ** 2, axis=1),
        num_data=103,
    )
    return hkf.Target.from_log_joint(joint, {"mean": hkf.supports.real(2)})


def test_the_number_of_data_is_that_which_the_density_was_told():
    with pytest.raises(ValueError, match="`data` must have the 103 rows"):
        hkf.fit_posterior(from_rows(), key=0, data=ROWS[:100])


def test_a_density_of_the_batch_alone_is_refused():
    """It would be fitted as if there were no more data than a batch has."""
    alone = hkf.Target(lambda z, rows: -0.5 * jnp.sum((rows - z) ** 2), 2)
    scaled = hkf.Target(lambda z, rows: -0.5 * 103 * jnp.mean((rows - z) ** 2), 2)
    for flow in (None, hkf.flows.mean_field(2)):
        with pytest.raises(ValueError, match="minibatch"):
            hkf.fit_posterior(alone, key=0, data=ROWS, flow=flow)
    hkf.fit_posterior(
        scaled, key=0, data=ROWS, flow=hkf.flows.mean_field(2), num_steps=1, progress=False
    )


def test_a_density_with_a_reverse_rule_only():
    """As solvers of differential equations have: no derivative of the gradient."""

    @jax.custom_vjp
    def square(z):
        return jnp.sum(z**2)

    square.defvjp(lambda z: (square(z), z), lambda z, g: (2.0 * g * jax.lax.stop_gradient(z),))
    target = hkf.Target(lambda z: -0.5 * square((z - 100.0) / jnp.asarray([1.0, 50.0])), 2)
    start = training.find_start(target, key=KEY)
    mean, covariance = moments(training.fit_gaussian(target, start, key=KEY))
    np.testing.assert_allclose(mean, 100.0, rtol=1e-3)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [1.0, 50.0], rtol=1e-2)
    q = hkf.FlowDistribution(hkf.standard_normal(2), hkf.Permutation([0, 1]))
    report = hkf.diagnostics.diagnose(q, target, seed=0, num_samples=1000)
    assert report.verdict == "do not trust"


def test_all_data_in_chunks_is_all_data_at_once():
    """103 rows in chunks of 10: ten whole ones and one of three."""
    target = from_rows()
    z = jnp.asarray([0.3, -0.7])
    chunked = given(target.log_density, jnp.asarray(ROWS), 10)
    value, gradient = jax.value_and_grad(chunked)(z)
    exact, exact_gradient = jax.value_and_grad(target.log_density)(z, jnp.asarray(ROWS))
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-5)


def test_batches_go_through_all_rows():
    rows = np.asarray(batches(KEY, 12, 4, 7))
    assert rows.shape[0] >= 7
    for epoch in range(2):
        assert sorted(rows[3 * epoch : 3 * epoch + 3].ravel()) == list(range(12))
    assert (rows[:3] != rows[3:6]).any()


def test_a_fit_to_data_in_batches(compiled, quick_flow):
    target, settings = from_rows(), {"batch_size": 20, "num_steps": 50, "progress": False}
    fit = hkf.fit_posterior(target, key=0, data=ROWS, **settings)
    draws = fit.sample(1, 10_000)["mean"]
    np.testing.assert_allclose(draws.mean(axis=0), ROWS.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(draws.std(axis=0), 103**-0.5, rtol=0.05)
    assert fit.diagnostics.verdict == "good"
    # Data are no part of a program: others of the same shape need no other one.
    assert compiled(lambda: hkf.fit_posterior(target, key=1, data=ROWS + 1.0, **settings)) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"data": ROWS}, "data"),
        ({"batch_size": 5}, "batch_size"),
        ({"annealing": 0.0}, "annealing"),
        ({"annealing": 2.0}, "annealing"),
    ],
)
def test_errors(settings, name):
    target = normal(np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match=f"`{name}`"):
        hkf.fit_posterior(target, key=0, num_steps=1, progress=False, **settings)


def test_a_parameter_on_which_data_do_not_depend_is_named():
    """A positive one too, whose Jacobian has a gradient of its own."""
    joint = hkf.elbo.minibatch(
        lambda p: 0.0,
        lambda p, rows: -0.5 * jnp.sum((rows - p["mean"]) ** 2, axis=1),
        num_data=103,
    )
    supports = {"mean": hkf.supports.real(2), "unused": hkf.supports.positive()}
    target = hkf.Target.from_log_joint(joint, supports)
    with pytest.raises(ValueError, match=r"depend on every.*`unused`"):
        hkf.fit_posterior(target, key=0, data=ROWS, num_steps=1, progress=False)


def test_data_must_be_finite_and_of_one_length():
    for data in ({"x": ROWS, "y": ROWS[:5]}, np.where(ROWS > 0.0, ROWS, np.nan), None):
        with pytest.raises(ValueError, match="`data`"):
            hkf.fit_posterior(from_rows(), key=0, data=data, num_steps=1, progress=False)


def test_a_users_flow_is_trained_as_it_is():
    """A mean-field flow stays mean field: no Gaussian with correlations around it."""
    covariance = np.asarray([[1.0, 0.95], [0.95, 1.0]])
    fit = hkf.fit_posterior(
        normal(np.zeros(2), covariance),
        key=0,
        flow=hkf.flows.mean_field(2),
        num_steps=600,
        progress=False,
    )
    assert [stage.name for stage in fit.stages] == ["flow"]
    assert fit.losses.shape == (600,)
    # The mean field that minimises the divergence has the conditional variances.
    np.testing.assert_allclose(np.std(fit.sample(1, 5000), axis=0), 0.05**0.5 * 1.95**0.5, rtol=0.1)
    assert fit.diagnostics.verdict == "do not trust"


def test_a_second_fit_of_the_same_flow_has_the_same_structure():
    q = gaussian(jnp.zeros(2), jnp.eye(2))
    flow = training.around(training.default_flow(2), q)
    params = jax.jit(flow.init)(KEY)
    first, second = flow.apply(params), flow.apply(params)
    assert jax.tree.structure(first) == jax.tree.structure(second)
