"""Trained base distributions: densities, draws and their derivatives."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import zoo

import hkflows as hkf
from hkflows.bases import NormalMixture, StudentT
from hkflows.kernels import mixture

BASES = {
    "diagonal_normal": hkf.diagonal_normal,
    "logistic": hkf.logistic,
    "student_t": lambda D, context=None: hkf.student_t(D, df=4.0, context=context),
    "normal_mixture": lambda D, context=None: hkf.normal_mixture(D, 3, context=context),
}

every_base = pytest.mark.parametrize("name", BASES)


def transformed(name, event_size, bijector=lambda context: hkf.Permutation.reverse(2)):
    def build(context=None):
        return hkf.FlowDistribution(BASES[name](event_size, context=context), bijector(context))

    return hk.without_apply_rng(hk.transform(build))


def test_a_mixture_of_lower_precision(x64):
    """Its density and the derivatives of its draws have its dtype."""
    logits, loc = jnp.zeros(2, jnp.float32), jnp.asarray([[-1.0], [1.0]], jnp.float32)

    def draw(loc):
        return NormalMixture(logits, loc, jnp.ones_like(loc)).sample(seed=jax.random.key(0))[0]

    def log_prob(loc):
        return NormalMixture(logits, loc, jnp.ones_like(loc)).log_prob(loc[0])

    assert jax.eval_shape(jax.grad(draw), loc).dtype == jnp.float32
    assert jax.eval_shape(log_prob, loc).dtype == jnp.float32


@every_base
def test_gradients_through_draws_are_those_of_the_exact_elbo(name):
    """Total and path gradients average to that of the ELBO by quadrature, in every parameter."""
    flow = transformed(name, 2, lambda context: hkf.TriangularAffine(2))
    params = zoo.random_params(flow)
    grid = jnp.linspace(-20.0, 20.0, 401)
    points = jnp.stack(jnp.meshgrid(grid, grid), axis=-1)

    def log_density(y):
        return -jnp.sum(jnp.logaddexp(y - 1.0, -y), axis=-1) + jnp.cos(y[..., 0] - y[..., 1])

    def exact(params):
        q = flow.apply(params)
        y, log_det = q.bijector.forward_and_log_det(points)
        log_base = q.base.log_prob(points)
        terms = jnp.exp(log_base) * (log_base - log_det - log_density(y))
        return jnp.trapezoid(jnp.trapezoid(terms, grid), grid)

    def estimate(params, seed, estimator):
        return hkf.elbo.negative_elbo(
            flow.apply(params), log_density, seed=seed, num_samples=500, estimator=estimator
        )[0]

    seeds = jax.random.split(jax.random.key(0), 100)

    @jax.jit
    def gradients(params):
        def each(estimator):
            return jax.lax.map(lambda seed: jax.grad(estimate)(params, seed, estimator), seeds)

        return jax.grad(exact)(params), {name: each(name) for name in ("total", "path")}

    expected, estimated = gradients(params)
    for leaves in estimated.values():
        for ours, theirs in zip(jax.tree.leaves(leaves), jax.tree.leaves(expected), strict=True):
            error = ours.std(axis=0) / np.sqrt(len(seeds))
            assert (np.abs(ours.mean(axis=0) - theirs) < 5.0 * error + 1e-4).all()
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected)) > 0.1


@pytest.mark.usefixtures("x64")
def test_a_draw_of_a_mixture_moves_so_that_its_distribution_function_stays():
    """In forward and in reverse mode; in both tails too, where `1 - F` would cancel."""
    parameters = jnp.asarray([0.3, -0.5]), jnp.asarray([[-1.0], [2.0]]), jnp.ones((2, 1))

    def tail(parameters, x):
        """`F(x)` to the left of zero, `F(x) - 1` to the right."""
        logits, loc, scale = parameters
        side = -jnp.sign(x)
        tails = jax.scipy.special.ndtr(side * (x - loc[:, 0]) / scale[:, 0])
        return side * jnp.sum(jax.nn.softmax(logits) * tails)

    def draw(parameters, x):
        return mixture.reparameterize(*parameters, x[None])[0]

    @jax.jit
    def derivatives(parameters, x):
        density = jnp.exp(NormalMixture(*parameters).log_prob(x[None]))
        expected = jax.tree.map(lambda leaf: -leaf / density, jax.grad(tail)(parameters, x))
        return jax.grad(draw)(parameters, x), jax.jacfwd(draw)(parameters, x), expected

    for x in (-7.0, 0.5, 9.0):
        found = derivatives(parameters, jnp.asarray(x))
        for reverse, forward, expected in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(forward, reverse, rtol=1e-10)
            np.testing.assert_allclose(reverse, expected, rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_densities_are_those_of_scipy():
    x = jnp.asarray([-1e6, -3.0, 0.0, 0.5, 20.0])
    df, loc, scale = jnp.asarray([0.6, 4.0, 150.0])[:, None], jnp.asarray(0.3), jnp.asarray(2.0)
    ours = StudentT(df, loc, scale).log_prob(x)
    np.testing.assert_allclose(ours, scipy.stats.t.logpdf(x, df, loc, scale), rtol=1e-12)

    rng = np.random.default_rng(0)
    logits, loc, scale = rng.normal(size=3), rng.normal(size=(3, 2)), rng.uniform(0.5, 2, (3, 2))
    value = rng.normal(size=(5, 2))
    terms = scipy.stats.norm.logpdf(value[:, None], loc, scale).sum(-1)
    expected = scipy.special.logsumexp(terms + scipy.special.log_softmax(logits), axis=-1)
    ours = NormalMixture(*map(jnp.asarray, (logits, loc, scale)))
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(value)), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["student_t", "normal_mixture"])
def test_contexts_of_any_rank(name):
    """A conditional base gives the flow its batch, whether or not the bijector has one."""

    def layer(context):
        if name == "student_t":
            return hkf.IAF(hkf.MADE(2, [4]), context=context)
        return hkf.Permutation.reverse(2)

    flow = transformed(name, 2, layer)
    contexts = jax.random.normal(jax.random.key(0), (2, 1, 3))
    params = zoo.random_params(flow, contexts)
    y = jax.random.normal(jax.random.key(1), (4, 2))

    @jax.jit
    def evaluate(params, contexts):
        q = flow.apply(params, contexts)
        return q, q.sample(seed=0, sample_shape=(5,)), q.log_prob(y)

    q, draws, log_prob = evaluate(params, contexts)
    assert q.batch_shape == (2, 1)
    assert draws.shape == (5, 2, 1, 2)
    alone = jnp.stack([evaluate(params, context[0])[2] for context in contexts])
    np.testing.assert_allclose(log_prob, alone, rtol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


@every_base
def test_extreme_points_and_parameters(name):
    flow = transformed(name, 2)
    params = zoo.random_params(flow, scale=30.0)
    y = jnp.asarray([[1e6, -1e6], [0.0, 1e-3]])

    def total(params, y):
        return jnp.sum(flow.apply(params).log_prob(y))

    def moved(params):
        return jnp.sum(flow.apply(params).sample(seed=0, sample_shape=(100,)))

    gradients = jax.jit(lambda p, y: (jax.grad(total, argnums=(0, 1))(p, y), jax.grad(moved)(p)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients(params, y)))


def test_uniform_box():
    q = hkf.FlowDistribution(hkf.uniform([-2.0, 0.0], [2.0, 1.0]), hkf.Permutation.reverse(2))
    y = q.sample(seed=0, sample_shape=(1000,))
    assert (y > jnp.asarray([0.0, -2.0])).all()
    assert (y < jnp.asarray([1.0, 2.0])).all()
    points = jnp.asarray([[0.5, 1.0], [0.5, 3.0], [0.5, np.nan], [np.inf, 1.0]])
    np.testing.assert_allclose(q.log_prob(points), [-np.log(4), -np.inf, np.nan, -np.inf])


def test_a_mixture_names_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="`logits`"):
        NormalMixture(jnp.zeros((3, 2)), jnp.zeros((2, 1)), jnp.ones((2, 1)))
