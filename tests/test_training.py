"""The fits: exact posteriors, held-out likelihood, and what happens when things go wrong."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hkflows as hkf

KEY = jax.random.key(0)


def quiet(target, **settings):
    return hkf.fit_posterior(target, key=KEY, progress=False, **settings)


def test_conjugate_posterior():
    """Bayesian linear regression: mean, covariance and evidence have closed forms."""
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.standard_normal((20, 3)))
    y = jnp.asarray(X @ np.asarray([1.0, -2.0, 0.5]) + 0.5 * rng.standard_normal(20))

    def log_joint(p):
        residual = (y - X @ p["w"]) / 0.5
        likelihood = -0.5 * jnp.sum(residual**2) - 20 * jnp.log(0.5 * jnp.sqrt(2 * jnp.pi))
        return likelihood - 0.5 * jnp.sum(p["w"] ** 2) - 1.5 * jnp.log(2 * jnp.pi)

    precision = np.eye(3) + X.T @ X / 0.25
    covariance = np.linalg.inv(precision)
    mean = covariance @ X.T @ y / 0.25
    marginal = X @ X.T + 0.25 * np.eye(20)
    log_evidence = -0.5 * (
        y @ np.linalg.solve(marginal, y) + np.linalg.slogdet(marginal)[1] + 20 * np.log(2 * np.pi)
    )

    target = hkf.Target.from_log_joint(log_joint, {"w": hkf.supports.real(3)})
    fit = quiet(target)
    draws = fit.sample(jax.random.key(1), 50_000)["w"]
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((draws.mean(axis=0) - mean) / sd, 0.0, atol=0.03)
    np.testing.assert_allclose(
        np.cov(draws.T) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.05
    )
    np.testing.assert_allclose(fit.diagnostics.elbo, log_evidence, atol=0.01)
    np.testing.assert_allclose(fit.diagnostics.log_evidence, log_evidence, atol=0.01)
    assert fit.diagnostics.ess > 0.99 * fit.diagnostics.num_samples
    assert fit.diagnostics.verdict == "good"
    # The posterior is Gaussian: the Gaussian stage finds it, and no flow is trained.
    assert [stage.kept for stage in fit.stages] == [True, True, False]
    assert fit.losses.size == 0
    table = fit.diagnostics.parameters
    assert table.names == ("w[0]", "w[1]", "w[2]")
    np.testing.assert_allclose(table.mean, mean, atol=0.03 * sd.max())
    assert all(word in fit.summary() for word in ("verdict", "log evidence", "w[2]", "not needed"))


def test_a_log_density_that_is_finite_nowhere_is_an_error():
    target = hkf.Target(lambda z: jnp.nan * z[0], 2)
    with pytest.raises(ValueError, match="log_density"):
        quiet(target)


def test_a_log_density_with_holes_finishes_and_counts():
    target = hkf.Target(lambda z: jnp.where(z[0] > 3.0, jnp.nan, -0.5 * jnp.sum(z**2)), 1)
    fit = quiet(target, num_steps=100, num_samples=8, flow=hkf.flows.mean_field(1))
    assert fit.diagnostics.num_nonfinite > 0
    assert np.isfinite(fit.diagnostics.elbo)


def test_a_posterior_with_holes_finishes_in_stages_and_counts(compiled, quick_spline_flow):
    """NaN beyond two and a half standard deviations: a few draws in a hundred."""
    target = hkf.Target(lambda z: jnp.where(z[0] > 2.5, jnp.nan, jnp.sum(z - jnp.exp(z))), 2)
    fit = quiet(target, num_steps=300)
    assert fit.num_skipped > 0
    assert fit.stages[-1].kept
    assert fit.diagnostics.elbo > -0.1
    assert compiled(lambda: quiet(target, num_steps=300)) == []


def test_density_fit_finds_the_likelihood_of_a_gaussian():
    """Held-out likelihood within sampling error of the exact one; and the density's moments."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((4000, 2))
    data = jnp.asarray(noise @ np.asarray([[1.0, 0.8], [0.0, 0.3]]) + 2.0)
    fit = hkf.fit_density(
        hkf.flows.gaussian(2), data, key=0, num_steps=4000, batch_size=500, progress=False
    )
    truth = 0.5 * (noise**2).sum(axis=1).mean() + np.log(2 * np.pi) + np.log(0.3)
    np.testing.assert_allclose(
        hkf.likelihood.negative_log_likelihood(fit.distribution, data), truth, atol=0.01
    )
    assert "ended because" in fit.summary()


def test_density_fit_stops_early_and_keeps_the_best_held_out_parameters():
    """A few rows and a large flow: training on to the end overfits."""
    flow = hkf.flows.maf(3, num_layers=2, hidden_sizes=[64])
    data = jax.random.normal(KEY, (100, 3))
    fit = hkf.fit_density(flow, data, key=0, progress=False)
    assert "no better likelihood" in fit.stop_reason
    assert fit.validation_losses[-1] > fit.validation_losses.min()

    to_the_end = hkf.fit_density(
        flow, data, key=0, validation_fraction=0.0, num_steps=1000, progress=False
    )
    test = jax.random.normal(jax.random.key(9), (500, 3))
    early, late = (
        np.median(-jax.jit(lambda q: q.log_prob(test))(f.distribution)) for f in (fit, to_the_end)
    )
    assert early < late - 0.05


def test_held_out_rows_without_a_finite_likelihood_are_the_reason():
    data = jax.random.normal(KEY, (100, 2))
    far = data.at[0, 0].set(1e25)
    fit = hkf.fit_density(
        hkf.flows.mean_field(2), data, key=0, validation_data=far, num_steps=200, progress=False
    )
    assert "held-out rows was not finite" in fit.stop_reason
    assert len(fit.losses) < 200


def test_a_density_fit_that_diverges_keeps_its_start():
    data = jax.random.normal(KEY, (100, 2))
    fit = hkf.fit_density(
        hkf.flows.mean_field(2),
        data,
        key=0,
        optimizer=optax.sgd(1e4),
        num_steps=200,
        progress=False,
    )
    assert "nothing was better than the start" in fit.stop_reason
    assert fit.validation_log_likelihood == -fit.validation_losses[0]
    assert np.isfinite(fit.train_log_likelihood)


def test_conditional_density_fit():
    rng = np.random.default_rng(2)
    context = jnp.asarray(rng.standard_normal((3000, 1)))
    data = 2.0 * context + 0.5 * jnp.asarray(rng.standard_normal((3000, 1)))
    fit = hkf.fit_density(
        hkf.flows.mean_field(1), data, key=0, context=context, num_steps=1500, progress=False
    )
    q = fit.condition(jnp.asarray([1.5]))
    draws = q.sample(seed=0, sample_shape=(5000,))
    np.testing.assert_allclose([draws.mean(), draws.std()], [3.0, 0.5], atol=0.1)
    with pytest.raises(ValueError, match="condition"):
        _ = fit.distribution
    assert fit.sample(0, 7, [1.5]).shape == (7, 1)
    np.testing.assert_allclose(fit.sample(0, 5000, [1.5]).mean(), 3.0, atol=0.1)
    y, contexts = np.asarray([[1.0], [2.0], [3.0]]), np.asarray([[0.5], [1.0], [2.0]])
    np.testing.assert_allclose(
        fit.log_likelihood(y, contexts),
        [float(fit.condition(c).log_prob(one)) for one, c in zip(y, contexts, strict=True)],
        rtol=1e-4,
    )
    assert fit.log_likelihood(y[:0], contexts[:0]).shape == (0,)
    for wrong in (
        lambda: fit.log_likelihood(y),
        lambda: fit.log_likelihood(y, contexts[:1]),
        lambda: fit.condition([1, 2]),
        lambda: fit.condition([1.0, 2.0]),
        lambda: fit.sample(0, 5),
        lambda: fit.sample(0, 5, contexts),
    ):
        with pytest.raises(ValueError, match="`context`"):
            wrong()


def test_data_that_the_dtype_does_not_hold_are_refused():
    """Of columns like times in seconds since 1970, float32 holds a few values alone."""
    rows = np.random.default_rng(0).standard_normal((50, 2))
    far = rows + np.asarray([0.0, 1.7e9])
    for data, context, message in (
        (far, None, r"`data` must vary by more than float32 .* columns \[1\]"),
        (rows, far, r"`context` must vary by more than float32 .* columns \[1\]"),
        (1e300 * rows, None, "`data` must be within the range of float32"),
    ):
        with pytest.raises(ValueError, match=message):
            hkf.fit_density(hkf.flows.mean_field(2), data, key=0, context=context)
    constant = np.full((50, 1), 1.7e9)  # a context may be
    for data in (rows + np.asarray([0.0, 1e6]), 1e30 * rows):
        fit = hkf.fit_density(
            hkf.flows.mean_field(2), data, key=0, context=constant, num_steps=2, progress=False
        )
        draws = fit.sample(0, 2000, constant[0]).astype(np.float64)
        np.testing.assert_allclose(draws.std(axis=0) / data.std(axis=0), 1.0, atol=0.1)


def test_a_fit_without_context_takes_none():
    flow = hkf.flows.mean_field(2)
    params = flow.init(KEY)
    fit = hkf.DensityFit(flow, params, np.zeros(1), np.empty(0), 0.0, None, 0, "untrained", 0.0)
    jax.tree.map(np.testing.assert_array_equal, fit.condition(None), fit.distribution)
    for wrong in (
        lambda: fit.condition([1.0]),
        lambda: fit.sample(0, 5, [1.0]),
        lambda: fit.log_likelihood(np.zeros((3, 2)), np.zeros((3, 1))),
    ):
        with pytest.raises(ValueError, match="`context` must not be given"):
            wrong()


def test_without_held_out_rows_every_step_is_done():
    fit = hkf.fit_density(
        hkf.flows.mean_field(2),
        jax.random.normal(KEY, (50, 2)),
        key=jax.random.PRNGKey(0),
        num_steps=30,
        validation_fraction=0.0,
        progress=False,
    )
    assert fit.losses.size == 30
    assert fit.validation_losses.size == 0


def test_fits_are_reproducible_and_show_progress(capsys):
    target = hkf.Target(lambda z: -0.5 * jnp.sum(z**2), 1)
    settings = {"flow": hkf.flows.mean_field(1), "num_steps": 5, "num_samples": 4}
    first = hkf.fit_posterior(target, key=1, **settings)
    assert "loss=" in capsys.readouterr().err
    second = quiet(target, **settings)
    third = hkf.fit_posterior(target, key=jax.random.key(1), progress=False, **settings)
    np.testing.assert_array_equal(first.losses, third.losses)
    assert (first.losses != second.losses).any()


def test_a_flow_of_the_users_own():
    @hk.without_apply_rng
    @hk.transform
    def flow(context=None):
        del context
        bijector = hkf.Chain([hkf.IAF(hkf.MADE(2, [8])), hkf.Elementwise(2, hkf.Affine())])
        return hkf.FlowDistribution(hkf.standard_normal(2), bijector)

    target = hkf.Target(lambda z: -0.5 * jnp.sum((z - 3.0) ** 2), 2)
    fit = quiet(target, flow=flow, num_steps=600, num_samples=32)
    np.testing.assert_allclose(fit.sample(1, 4000).mean(axis=0), 3.0, atol=0.1)
