"""Importance-weighted and Renyi bounds against closed forms; their two gradient estimators."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hkflows as hkf

LOG_Z = 2.0
ALPHAS = [-1.0, 0.0, 0.3, 1.0, 2.0]


def gaussian(loc, log_scale):
    return distrax.MultivariateNormalDiag(loc, jnp.exp(log_scale))


Q = jnp.asarray([0.4]), jnp.log(jnp.asarray([1.1]))


def log_density(y, mean=0.0):
    """A standard normal at `mean`, times `exp(LOG_Z)`."""
    return LOG_Z - 0.5 * jnp.log(2 * jnp.pi) - 0.5 * jnp.sum((y - mean) ** 2)


def closed_form(alpha, loc, log_scale):
    """`log Z` minus Renyi's divergence of two Gaussians, Gil, Alajaji & Linder (2013), table 2."""
    scale = np.exp(log_scale)
    if alpha == 1.0:
        return LOG_Z - (-np.log(scale) + (scale**2 + loc**2) / 2 - 0.5)
    mixed = alpha + (1 - alpha) * scale**2
    divergence = -np.log(scale) - np.log(mixed) / (2 * (alpha - 1)) + alpha * loc**2 / (2 * mixed)
    return LOG_Z - divergence


@pytest.mark.parametrize("estimator", ["total", "dreg"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_renyi_bound_is_the_closed_form(alpha, estimator):
    loss, aux = jax.jit(
        lambda: hkf.elbo.renyi_bound(
            gaussian(*Q), log_density, alpha=alpha, seed=0, num_samples=50_000, estimator=estimator
        )
    )()
    assert aux["log_weights"].shape == (50_000,)
    np.testing.assert_allclose(-loss, closed_form(alpha, *map(np.asarray, Q))[0], atol=0.01)


@pytest.mark.parametrize("alpha", [1.0 - 1e-6, 1.0 + 1e-6])
def test_nothing_is_lost_to_rounding_next_to_the_elbo(alpha):
    @jax.jit(static_argnums=0)
    def value_and_gradient(alpha):
        def loss(loc):
            q = gaussian(loc, Q[1])
            return hkf.elbo.renyi_bound(q, log_density, alpha=alpha, seed=0, num_samples=1000)[0]

        return jax.value_and_grad(loss)(Q[0])

    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        value_and_gradient(alpha),
        value_and_gradient(1.0),
    )


def test_bounds_decrease_in_alpha_around_the_evidence():
    orders = [-1.0, 0.0, 0.5, 0.999, 1.0, 1.001, 2.0]

    @jax.jit
    def losses():
        settings = {"seed": 0, "num_samples": 2000}
        return [
            hkf.elbo.renyi_bound(gaussian(*Q), log_density, alpha=alpha, **settings)[0]
            for alpha in orders
        ]

    bounds = -np.asarray(losses())
    assert (np.diff(bounds) < 0.0).all()
    assert bounds[0] > LOG_Z > bounds[2]
    np.testing.assert_allclose([bounds[3], bounds[5]], bounds[4], atol=1e-3)


@pytest.mark.parametrize(("ours", "theirs"), [("total", "total"), ("dreg", "path")])
def test_renyi_bounds_of_order_zero_and_one_are_the_named_ones(ours, theirs):
    settings = {"seed": 0, "num_samples": 5}

    def gradient(objective, **options):
        def loss(q):
            return objective(gaussian(*q), log_density, **settings, **options)[0]

        return jax.jit(jax.value_and_grad(loss))(Q)

    pairs = [
        (
            gradient(hkf.elbo.renyi_bound, alpha=1, estimator=ours),
            gradient(hkf.elbo.negative_elbo, estimator=theirs),
        ),
        (
            gradient(hkf.elbo.renyi_bound, alpha=0, estimator=ours),
            gradient(hkf.elbo.importance_weighted_elbo, estimator=ours),
        ),
    ]
    for a, b in pairs:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), a, b)


def test_importance_weighted_bound_grows_from_the_elbo_to_the_evidence():
    q = gaussian(jnp.asarray([1.0]), jnp.asarray([0.4]))

    def mean_bound(num_samples):
        """And its standard error."""
        bounds = jax.lax.map(
            lambda key: (
                -hkf.elbo.importance_weighted_elbo(
                    q, log_density, seed=key, num_samples=num_samples
                )[0]
            ),
            jax.random.split(jax.random.key(num_samples), 8192),
            batch_size=512,
        )
        return bounds.mean(), bounds.std() / 8192**0.5

    elbo = closed_form(1.0, 1.0, 0.4)
    means, errors = zip(*(mean_bound(size) for size in (1, 4, 16, 64)), strict=True)
    assert abs(means[0] - elbo) < 5 * errors[0]
    assert (np.diff(means) > 5 * np.asarray(errors[:-1])).all()
    assert means[-1] < LOG_Z
    np.testing.assert_allclose(means[-1], LOG_Z, atol=0.03)


def gradients(parameters, *, alpha, estimator, num_samples, seeds):
    """Gradients of q's location and log-scale and of the density's mean, a row for each seed."""

    def loss(parameters, seed):
        q, mean = parameters
        return hkf.elbo.renyi_bound(
            gaussian(*q),
            lambda y: log_density(y, mean),
            alpha=alpha,
            seed=seed,
            num_samples=num_samples,
            estimator=estimator,
        )[0]

    keys = jax.random.split(jax.random.key(1), seeds)
    (location, log_scale), mean = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(parameters, keys)
    return jnp.concatenate([location, log_scale], axis=1), mean


@pytest.mark.parametrize("alpha", ALPHAS)
def test_dreg_has_the_expectation_of_the_total_gradient(alpha):
    parameters = (jnp.asarray([0.8]), jnp.asarray([0.3])), jnp.asarray([0.2])
    settings = {"alpha": alpha, "num_samples": 4, "seeds": 40_000}
    total, total_model = gradients(parameters, estimator="total", **settings)
    dreg, dreg_model = gradients(parameters, estimator="dreg", **settings)
    error = jnp.sqrt((total.var(axis=0) + dreg.var(axis=0)) / settings["seeds"])
    assert (error < 0.08 * jnp.abs(total.mean(axis=0))).all()  # so that the next line can fail
    assert (jnp.abs(total.mean(axis=0) - dreg.mean(axis=0)) < 5 * error).all()
    # A draw moves with q; how the density's own parameters move its weight is the same in both.
    np.testing.assert_allclose(dreg_model, total_model, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_dreg_varies_less_near_the_optimum_and_not_at_all_there(alpha):
    settings = {"alpha": alpha, "num_samples": 16, "seeds": 500}
    for offset, share in ((0.0, 1e-8), (0.05, 0.2)):
        parameters = (jnp.asarray([offset]), jnp.asarray([offset])), jnp.asarray([0.0])
        total, dreg = (
            gradients(parameters, estimator=name, **settings)[0].var(axis=0).sum()
            for name in ("total", "dreg")
        )
        assert dreg <= share * total


def test_dreg_keeps_its_signal_with_more_draws():
    """The noise of the total gradient falls slower than its mean, that of dreg faster."""
    parameters = (jnp.asarray([0.5]), jnp.asarray([0.2])), jnp.asarray([0.0])

    def signal_to_noise(estimator, num_samples):
        gradient, _ = gradients(
            parameters, alpha=0.0, estimator=estimator, num_samples=num_samples, seeds=10_000
        )
        location = gradient[:, 0]
        return jnp.abs(location.mean()) / location.std()

    assert signal_to_noise("total", 64) < 0.6 * signal_to_noise("total", 4)
    assert signal_to_noise("dreg", 64) > 1.5 * signal_to_noise("dreg", 4)


@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_orders_above_one_do_not_hide_infinities(alpha):
    """A negative power of an infinite weight is zero, and of a zero weight infinite."""

    @jax.jit
    def loss(value):
        return hkf.elbo.renyi_bound(
            gaussian(*Q),
            lambda y: jnp.where(y[0] > 0.0, value, log_density(y)),
            alpha=alpha,
            seed=0,
            num_samples=20,
        )[0]

    assert loss(-jnp.inf) == jnp.inf
    assert np.isnan(loss(jnp.inf))
