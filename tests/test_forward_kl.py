"""The mass-covering divergence against closed forms."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_probability.substrates.jax.distributions as tfd
import zoo

import hkflows as hkf

P = distrax.MultivariateNormalDiag(jnp.asarray([0.3, -0.2]), jnp.asarray([0.6, 1.0]))


def gaussian(loc, log_scale):
    return distrax.MultivariateNormalDiag(loc, jnp.exp(log_scale))


def kl(loc, log_scale):
    """KL(P || q), a closed form."""
    variance = jnp.exp(2 * log_scale)
    ratio = (P.scale_diag**2 + (P.loc - loc) ** 2) / variance
    return 0.5 * jnp.sum(jnp.log(variance / P.scale_diag**2) + ratio - 1.0)


def test_value_and_gradient_converge_to_the_closed_form():
    parameters = jnp.asarray([0.0, 0.5]), jnp.asarray([0.1, 0.3])

    def loss(parameters, num_samples):
        return hkf.elbo.forward_kl(
            gaussian(*parameters),
            lambda y: P.log_prob(y) + 7.0,  # the constant does not matter
            seed=0,
            num_samples=num_samples,
        )[0]

    run = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    expected, expected_gradient = jax.value_and_grad(lambda p: kl(*p))(parameters)
    value, gradient = run(parameters, 100_000)
    np.testing.assert_allclose(value, expected, atol=0.01)
    for ours, theirs in zip(gradient, expected_gradient, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_value_is_between_zero_and_the_logarithm_of_the_number_of_draws():
    @jax.jit
    def value(distance):
        q = gaussian(P.loc + distance, jnp.log(P.scale_diag))
        return hkf.elbo.forward_kl(q, P.log_prob, seed=0, num_samples=8)[0]

    np.testing.assert_allclose(value(0.0), 0.0, atol=1e-6)
    assert 0.0 < value(1.0) < np.log(8.0)
    np.testing.assert_allclose(value(100.0), np.log(8.0), rtol=1e-5)


@pytest.mark.parametrize("name", ["iaf", "maf"])
def test_gradient_is_the_weighted_score_of_fixed_draws(name):
    flow = getattr(hkf.flows, name)(2, num_layers=1, hidden_sizes=[8])
    params = zoo.random_params(flow)

    def ours(params):
        return hkf.elbo.forward_kl(flow.apply(params), P.log_prob, seed=0, num_samples=6)[0]

    def by_hand(params):
        q = flow.apply(jax.lax.stop_gradient(params))
        keys = jax.random.split(jax.random.key(0), 6)
        y, log_q = jax.vmap(lambda key: q.sample_and_log_prob(seed=key))(keys)
        weights = jax.nn.softmax(P.log_prob(y) - log_q)
        return -jnp.sum(weights * flow.apply(params).log_prob(y))

    gradient, expected = jax.jit(jax.grad(ours))(params), jax.jit(jax.grad(by_hand))(params)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_it_covers_both_modes_where_the_elbo_takes_one():
    """The Gaussian with the mixture's moments is stationary, and narrower ones are pulled to it."""
    modes, width = jnp.asarray([-3.0, 3.0]), 0.7
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.5, 0.5]), tfd.Normal(modes, jnp.full(2, width))
    )

    @jax.jit
    def gradients(loc, scale):
        """In location and log-scale, of both divergences."""

        def gradient(objective):
            def loss(parameters):
                q = gaussian(*parameters)
                return objective(q, lambda y: mixture.log_prob(y[0]), seed=0, num_samples=50_000)[0]

            parameters = jnp.asarray([loc]), jnp.log(jnp.asarray([scale]))
            return jnp.concatenate(jax.grad(loss)(parameters))

        return gradient(hkf.elbo.forward_kl), gradient(hkf.elbo.negative_elbo)

    moments = (0.0, np.sqrt(width**2 + 9.0))
    covering, seeking = gradients(*moments)
    np.testing.assert_allclose(covering, 0.0, atol=0.03)
    assert seeking[1] > 0.5  # a smaller scale would be better
    covering, _ = gradients(0.0, 2.0)
    np.testing.assert_allclose(covering[1], 1.0 - moments[1] ** 2 / 2.0**2, atol=0.05)
    _, seeking = gradients(3.0, width)
    np.testing.assert_allclose(seeking, 0.0, atol=0.03)
