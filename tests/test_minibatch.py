"""The log joint density estimated from a batch, against that of all data."""

import inspect

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hkflows as hkf

NUM_DATA = 12
DATA = {
    "x": jax.random.normal(jax.random.key(0), (NUM_DATA, 2)),
    "y": jax.random.normal(jax.random.key(1), (NUM_DATA,)),
}
WEIGHTS = jnp.asarray([0.4, -1.0])


def log_prior(weights):
    return distrax.Normal(0.0, 2.0).log_prob(weights).sum()


def rows(weights, batch):
    return distrax.Normal(batch["x"] @ weights, 0.5).log_prob(batch["y"])


def total(weights, batch):
    return rows(weights, batch).sum()


def full(weights):
    return log_prior(weights) + total(weights, DATA)


def batches(size):
    return [
        jax.tree.map(lambda leaf, i=i: leaf[i : i + size], DATA) for i in range(0, NUM_DATA, size)
    ]


@pytest.mark.parametrize("log_likelihood", [rows, total])
@pytest.mark.parametrize("size", [1, 3, 4, 12])
def test_batches_of_a_partition_average_to_all_data(size, log_likelihood):
    log_density = hkf.elbo.minibatch(log_prior, log_likelihood, NUM_DATA)
    run = jax.jit(jax.value_and_grad(log_density))
    results = [run(WEIGHTS, batch) for batch in batches(size)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *results)
    expected = jax.value_and_grad(full)(WEIGHTS)
    for a, b in zip(jax.tree.leaves(mean), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_the_elbo_of_batches_averages_to_that_of_all_data():
    log_density = hkf.elbo.minibatch(log_prior, rows, NUM_DATA)

    @jax.jit
    @jax.grad
    def gradient(loc, batch):
        q = distrax.MultivariateNormalDiag(loc, jnp.ones(2))
        return hkf.elbo.negative_elbo(
            q, lambda weights: log_density(weights, batch), seed=0, num_samples=3
        )[0]

    parts = [gradient(WEIGHTS, batch) for batch in batches(4)]
    np.testing.assert_allclose(np.mean(parts, axis=0), gradient(WEIGHTS, DATA), rtol=1e-5)


def test_the_factor_is_exact_where_the_batch_does_not_divide_the_data():
    log_density = hkf.elbo.minibatch(lambda _: 0.0, lambda theta, x: theta * x, num_data=7)
    np.testing.assert_allclose(log_density(1.0, jnp.ones(2)), 7.0, rtol=1e-7)
    np.testing.assert_allclose(log_density(3.0, jnp.asarray([1.0, 0.0])), 10.5, rtol=1e-7)
    large = hkf.elbo.minibatch(lambda _: 0.0, lambda _, x: jnp.sum(x), num_data=10**12)
    np.testing.assert_allclose(large(0.0, jnp.ones(3)), 1e12, rtol=1e-6)


def test_it_is_a_plain_function_of_parameters_and_batch():
    log_density = hkf.elbo.minibatch(log_prior, rows, NUM_DATA)
    parameters = inspect.signature(log_density).parameters.values()
    assert [p.name for p in parameters] == ["parameters", "batch"]
    assert all(p.default is p.empty for p in parameters)
    np.testing.assert_allclose(jax.jit(log_density)(WEIGHTS, DATA), full(WEIGHTS), rtol=1e-6)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("num_data", lambda: hkf.elbo.minibatch(log_prior, rows, 0)),
        ("num_data", lambda: hkf.elbo.minibatch(log_prior, rows, 2.5)),
        ("log_prior", lambda: hkf.elbo.minibatch(0.0, rows, 3)),
        ("log_likelihood", lambda: hkf.elbo.minibatch(log_prior, None, 3)),
        ("log_prior", lambda: hkf.elbo.minibatch(lambda w: w, rows, 3)(WEIGHTS, DATA)),
        (
            "log_likelihood",
            lambda: hkf.elbo.minibatch(log_prior, lambda w, b: b["x"], 12)(WEIGHTS, DATA),
        ),
        ("batch", lambda: hkf.elbo.minibatch(log_prior, rows, 3)(WEIGHTS, {})),
        ("batch", lambda: hkf.elbo.minibatch(log_prior, rows, 3)(WEIGHTS, jnp.ones(()))),
        ("batch", lambda: hkf.elbo.minibatch(log_prior, rows, 3)(WEIGHTS, jnp.ones((0, 2)))),
        (
            "batch",
            lambda: hkf.elbo.minibatch(log_prior, rows, 3)(WEIGHTS, (jnp.ones(3), jnp.ones(4))),
        ),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        call()
