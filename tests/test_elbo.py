"""The objectives against closed forms, and their gradients against each other."""

import functools

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_probability.substrates.jax.distributions as tfd
import zoo

import hkflows as hkf

DIAGONAL = distrax.MultivariateNormalDiag(jnp.asarray([1.0, -0.5]), jnp.asarray([0.5, 2.0]))

FLOWS = {
    "gaussian": hkf.flows.gaussian(2),
    "realnvp": hkf.flows.realnvp(2, num_layers=2, hidden_sizes=[8]),
    "iaf": hkf.flows.iaf(2, num_layers=2, hidden_sizes=[8]),
    "maf": hkf.flows.maf(2, num_layers=1, hidden_sizes=[8]),
    "nsf": hkf.flows.nsf(2, num_layers=1, hidden_sizes=[8], num_bins=4),
    "nsf_autoregressive": hkf.flows.nsf(
        2, num_layers=1, hidden_sizes=[8], num_bins=4, coupling=False
    ),
}


def kl(loc, scale):
    """KL(N(loc, scale^2) || DIAGONAL), a closed form."""
    mean, sd = DIAGONAL.loc, DIAGONAL.scale_diag
    return jnp.sum(jnp.log(sd / scale) + (scale**2 + (loc - mean) ** 2) / (2 * sd**2) - 0.5)


def gaussian(loc, scale):
    return distrax.MultivariateNormalDiag(loc, scale)


@pytest.mark.parametrize("estimator", ["total", "path"])
def test_negative_elbo_and_its_gradient_are_the_closed_form(estimator):
    parameters = jnp.asarray([0.3, 0.8]), jnp.asarray([1.5, 0.7])

    def loss(parameters):
        return hkf.elbo.negative_elbo(
            gaussian(*parameters),
            DIAGONAL.log_prob,
            seed=0,
            num_samples=100_000,
            estimator=estimator,
        )[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(parameters)
    expected, expected_gradient = jax.value_and_grad(lambda p: kl(*p))(parameters)
    np.testing.assert_allclose(value, expected, atol=0.02)
    for ours, theirs in zip(gradient, expected_gradient, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def scaled_base(parameters):
    """A flow with a trained base: distrax hides some of its scales from the pytree's leaves."""
    return hkf.FlowDistribution(gaussian(*parameters), hkf.Permutation.reverse(2))


AT_THE_OPTIMUM = {
    "flow": (FLOWS["gaussian"].apply, lambda: zoo.random_params(FLOWS["gaussian"])),
    "autoregressive": (FLOWS["iaf"].apply, lambda: zoo.random_params(FLOWS["iaf"])),
    "distrax": (lambda p: gaussian(*p), lambda: (jnp.ones(2), jnp.asarray([0.5, 2.0]))),
    "base": (scaled_base, lambda: (jnp.ones(2), jnp.asarray([0.5, 2.0]))),
    "tfp": (
        lambda p: distrax.as_distribution(tfd.MultivariateNormalDiag(*p)),
        lambda: (jnp.ones(2), jnp.asarray([0.5, 2.0])),
    ),
}


@pytest.mark.parametrize("name", AT_THE_OPTIMUM)
def test_at_the_optimum_the_path_gradient_is_zero_and_the_total_one_is_not(name):
    build, start = AT_THE_OPTIMUM[name]
    params = start()
    optimum = build(params)

    def loss(params, estimator):
        return hkf.elbo.negative_elbo(
            build(params), optimum.log_prob, seed=1, num_samples=16, estimator=estimator
        )[0]

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    path, total = (jax.tree.leaves(gradient(params, name)) for name in ("path", "total"))
    assert max(np.abs(leaf).max() for leaf in path) < 1e-4
    assert max(np.abs(leaf).max() for leaf in total) > 1e-2


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["gaussian", "maf", "nsf", "nsf_autoregressive"])
def test_path_gradient_is_that_of_a_density_with_fixed_parameters(name):
    """The linear solves give what inverting the flow and differentiating the density gives."""
    flow = FLOWS[name]
    params = zoo.random_params(flow)

    def log_density(y):
        return -0.5 * jnp.sum((y - 1.0) ** 2)

    def by_inversion(params):
        q = flow.apply(params)
        fixed = flow.apply(jax.lax.stop_gradient(params))

        def log_weight(key):
            y = q.sample(seed=key)
            return log_density(y) - fixed.log_prob(y)

        return -jnp.mean(jax.vmap(log_weight)(jax.random.split(jax.random.key(0), 5)))

    def ours(params):
        return hkf.elbo.negative_elbo(
            flow.apply(params), log_density, seed=0, num_samples=5, estimator="path"
        )[0]

    value, gradient = jax.jit(jax.value_and_grad(ours))(params)
    expected, expected_gradient = jax.jit(jax.value_and_grad(by_inversion))(params)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_estimators_agree_in_expectation_and_path_varies_less_near_the_optimum():
    flow = FLOWS["iaf"]
    params = jax.tree.map(lambda leaf: 0.1 * leaf, zoo.random_params(flow))
    target = flow.apply(params)  # close to q below, but not q
    params = jax.tree.map(lambda leaf: leaf + 0.02, params)

    @jax.jit
    def gradients(params, seed):
        def loss(params, estimator):
            return hkf.elbo.negative_elbo(
                flow.apply(params), target.log_prob, seed=seed, num_samples=64, estimator=estimator
            )[0]

        return [
            jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(jax.grad(loss)(params, e))])
            for e in ("total", "path")
        ]

    total, path = jax.lax.map(
        lambda seed: gradients(params, seed), jax.random.split(jax.random.key(0), 200)
    )
    error = jnp.sqrt((total.var(axis=0) + path.var(axis=0)) / 200)
    gap = jnp.abs(total.mean(axis=0) - path.mean(axis=0))
    assert (gap < 5.0 * error + 1e-6).all()
    assert path.var(axis=0).sum() < 0.2 * total.var(axis=0).sum()


OBJECTIVES = {
    "total": hkf.elbo.negative_elbo,
    "path": functools.partial(hkf.elbo.negative_elbo, estimator="path"),
    "importance": hkf.elbo.importance_weighted_elbo,
    "renyi_dreg": functools.partial(hkf.elbo.renyi_bound, alpha=0.5, estimator="dreg"),
    "forward_kl": hkf.elbo.forward_kl,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_chunks_change_nothing(name):
    """Neither the value, nor the gradients of the flow's parameters and of the density's."""
    flow = FLOWS["gaussian"]
    start = zoo.random_params(flow), jnp.asarray([0.3, -0.2])

    @functools.partial(jax.jit, static_argnums=1)
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(parameters, chunk_size):
        params, mean = parameters
        return OBJECTIVES[name](
            flow.apply(params),
            lambda y: DIAGONAL.log_prob(y - mean),
            seed=0,
            num_samples=10,
            chunk_size=chunk_size,
        )

    whole, chunked = run(start, None), run(start, 3)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(chunked), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def value_by_numpy(name, log_weights):
    """The value of each objective for one context, from its log-weights `[S]`."""
    if name in ("total", "path"):
        return -np.mean(log_weights)
    weights = np.exp(log_weights)
    if name == "importance":
        return -np.log(weights.mean())
    if name == "renyi_dreg":
        return -2.0 * np.log(np.sqrt(weights).mean())
    return np.sum(weights / weights.sum() * log_weights) - np.log(weights.mean())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_autoencoder_in_a_transform(name):
    """Each datum has its own weights, the loss is their mean, and both networks learn."""

    def posterior(x):
        bijector = hkf.IAF(hkf.MADE(2, [8]), context=jnp.tanh(hk.Linear(3)(x)))
        return hkf.FlowDistribution(hkf.standard_normal(2), bijector)

    encoder = hk.without_apply_rng(hk.transform(posterior))
    decoder = hk.without_apply_rng(hk.transform(lambda z: hk.Linear(4)(z)))
    x = jnp.arange(12.0).reshape(3, 4) / 12.0
    z = jnp.zeros((3, 2))
    params = zoo.random_params(encoder, x), zoo.random_params(decoder, z)
    assert set(params[0]) == {"linear", "made"}

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params):
        def log_joint(z):
            residual = x - decoder.apply(params[1], z)
            return -0.5 * jnp.sum(z**2, axis=-1) - 0.5 * jnp.sum(residual**2, axis=-1)

        return OBJECTIVES[name](encoder.apply(params[0], x), log_joint, seed=0, num_samples=5)

    (loss, aux), gradients = run(params)
    log_weights = np.asarray(aux["log_weights"], dtype=np.float64)
    assert log_weights.shape == (5, 3)
    expected = np.mean([value_by_numpy(name, log_weights[:, i]) for i in range(3)])
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)
    for part, learns in zip(gradients, (True, name != "forward_kl"), strict=True):
        sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(part)]
        assert np.isfinite(sizes).all()
        assert (max(sizes) > 1e-3) == learns


@pytest.mark.parametrize("name", OBJECTIVES)
def test_zero_density_is_allowed_and_other_non_finite_ones_show(name):
    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(parameters, elsewhere):
        return OBJECTIVES[name](
            gaussian(*parameters),
            lambda y: jnp.where(y[0] > 0.0, DIAGONAL.log_prob(y), elsewhere),
            seed=0,
            num_samples=50,
        )

    parameters = jnp.zeros(2), jnp.ones(2)
    (loss, aux), gradient = run(parameters, -jnp.inf)
    assert 0 < int(jnp.sum(aux["log_weights"] == -jnp.inf)) < 50
    if name in ("total", "path"):
        assert loss == jnp.inf  # the ELBO is minus infinity
    else:
        log_weights = np.maximum(np.asarray(aux["log_weights"], dtype=np.float64), -1e3)
        np.testing.assert_allclose(loss, value_by_numpy(name, log_weights), rtol=1e-4)
        assert all(np.isfinite(leaf).all() for leaf in gradient)

    for elsewhere in (jnp.nan, jnp.inf):
        (loss, _), _ = run(parameters, elsewhere)
        assert not np.isfinite(loss)


def test_a_renyi_bound_that_is_infinite_is_so_for_both_estimators():
    """Of order above one, where a draw has zero density."""
    q, cut = hkf.standard_normal(2), lambda y: jnp.where(y[0] > 0.0, -jnp.sum(y**2), -jnp.inf)
    for estimator in ("total", "dreg"):
        loss, _ = hkf.elbo.renyi_bound(
            q, cut, alpha=2.0, seed=0, num_samples=8, estimator=estimator
        )
        assert loss == jnp.inf


def test_any_distribution_and_seed():
    q = distrax.Independent(distrax.Normal(jnp.zeros(2), jnp.ones(2)), 1)
    for seed in (0, np.int64(0), jax.random.key(0), jax.random.PRNGKey(0)):
        loss, _ = hkf.elbo.negative_elbo(q, q.log_prob, seed=seed, num_samples=2)
        np.testing.assert_allclose(loss, 0.0, atol=1e-6)


def test_negative_log_likelihood():
    q = hkf.standard_normal(2)
    y = jnp.asarray([[0.0, 0.0], [1.0, 1.0]])
    expected = np.log(2 * np.pi) + 0.5
    np.testing.assert_allclose(hkf.likelihood.negative_log_likelihood(q, y), expected, rtol=1e-6)
    weights = jnp.asarray([2.0, 0.0])
    np.testing.assert_allclose(
        hkf.likelihood.negative_log_likelihood(q, y, weights=weights), np.log(2 * np.pi), rtol=1e-6
    )
