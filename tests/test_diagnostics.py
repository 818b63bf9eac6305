"""Importance weights: what they say in cases that can be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np

import hkflows as hkf
from hkflows import diagnostics


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


def test_diagnose_a_perfect_fit_and_one_with_bad_draws():
    q = hkf.standard_normal(2)
    report = diagnostics.diagnose(
        q, lambda y: q.log_prob(y) + 3.0, seed=jax.random.key(0), num_samples=1000
    )
    np.testing.assert_allclose([report.elbo, report.log_evidence], 3.0, rtol=1e-5)
    np.testing.assert_allclose(report.ess, 1000, rtol=1e-5)
    assert report.num_nonfinite == 0
    assert report.khat < 0.7

    holes = diagnostics.diagnose(
        q,
        lambda y: jnp.where(y[0] > 0, jnp.nan, q.log_prob(y)),
        seed=jax.random.key(0),
        num_samples=1000,
    )
    assert 400 < holes.num_nonfinite < 600
    assert np.isfinite(holes.elbo)


def test_zero_density_is_a_weight_of_zero_and_not_a_bad_draw():
    """Half of a normal: log Z = log 1/2, half of the draws count, the ELBO is minus infinity."""
    q = hkf.standard_normal(1)
    report = diagnostics.diagnose(
        q,
        lambda y: jnp.where(y[0] > 0, q.log_prob(y), -jnp.inf),
        seed=0,
        num_samples=4000,
    )
    np.testing.assert_allclose(report.log_evidence, np.log(0.5), atol=0.05)
    np.testing.assert_allclose(report.ess / 4000, 0.5, atol=0.03)
    assert report.elbo == -np.inf
    assert 1800 < report.num_zero < 2200
    assert report.num_nonfinite == 0
