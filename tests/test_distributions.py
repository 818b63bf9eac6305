"""The flow as a distribution: its density integrates to one and belongs to its draws."""

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_probability.substrates.jax.distributions as tfd
import zoo

import hkflows as hkf

WITH_KERNEL = [
    name
    for name in zoo.NAMES
    # The last two do not cover the whole line, or cover it more than once.
    if name not in ("permutation", "foreign_chain", "circular")
]


def flow(case, scale=0.5):
    return hkf.FlowDistribution(hkf.standard_normal(case.event_size), case.build(scale=scale))


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_density_on_the_line_integrates_to_one(name):
    q = flow(zoo.Case(name, 1, False), scale=0.3)
    grid = jnp.linspace(-40.0, 40.0, 20_001)
    density = jnp.exp(jax.jit(lambda q, y: q.log_prob(y))(q, grid[:, None]))
    total = jnp.trapezoid(density, grid)
    np.testing.assert_allclose(total, 1.0, atol=1e-3)


@pytest.mark.parametrize(
    "name", [name for name in WITH_KERNEL if not name.endswith(("additive", "affine"))]
)
def test_density_on_the_plane_integrates_to_one(name):
    q = flow(zoo.Case(name, 2, True), scale=0.3)
    grid = jnp.linspace(-15.0, 15.0, 401)
    points = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), axis=-1)
    density = jnp.exp(jax.jit(lambda q, y: q.log_prob(y))(q, points))
    total = jnp.trapezoid(jnp.trapezoid(density, grid, axis=1), grid)
    np.testing.assert_allclose(total, 1.0, atol=3e-3)


@pytest.mark.parametrize("case", zoo.once(3), ids=str)
def test_draws_carry_their_own_density(case):
    q = flow(case)
    settings = {"seed": jax.random.key(2), "sample_shape": (2, 5)}

    @jax.jit
    def evaluate(q):
        y, log_prob = q.sample_and_log_prob(**settings)
        return y, log_prob, q.log_prob(y), q.sample(**settings), q.inverse(y)

    y, log_prob, again, sample, base = evaluate(q)
    assert y.shape == (2, 5, case.event_size)
    assert log_prob.shape == (2, 5)
    np.testing.assert_allclose(again, log_prob, atol=5e-4, rtol=1e-4)
    np.testing.assert_allclose(sample, y, atol=1e-5)
    np.testing.assert_allclose(base, q.sample_base(**settings), atol=1e-3)


def test_context_batch_gives_independent_draws_and_broadcasts():
    case = zoo.Case("iaf-affine", 3, True)
    contexts = jax.random.normal(jax.random.key(0), (4, zoo.CONTEXT_SIZE))
    same = jnp.broadcast_to(contexts[0], contexts.shape)

    def build(contexts):
        return hkf.FlowDistribution(
            hkf.standard_normal(3), case.transformed.apply(case.params(), contexts)
        )

    @jax.jit
    def evaluate(contexts):
        q = build(contexts)
        assert q.batch_shape == (4,)
        assert q.event_shape == (3,)
        y = q.sample(seed=jax.random.key(1), sample_shape=(7,))
        alone = build(contexts[2]).log_prob(y[:, 2])
        return y, q.log_prob(y), q.log_prob(y[0, 0]), alone

    y, log_prob, of_one_point, alone = evaluate(contexts)
    assert y.shape == (7, 4, 3)
    assert log_prob.shape == (7, 4)
    assert of_one_point.shape == (4,), "one point is scored under every context"
    np.testing.assert_allclose(log_prob[:, 2], alone, atol=1e-4)
    repeated, *_ = evaluate(same)
    assert np.abs(np.diff(repeated[0], axis=0)).min() > 1e-4, "equal contexts, independent noise"


def test_seeds_of_every_kind_and_no_draws():
    q = hkf.FlowDistribution(hkf.standard_normal(2), hkf.Permutation.reverse(2))
    for seed in (0, jax.random.key(0), jax.random.PRNGKey(0)):
        assert q.sample(seed=seed).shape == (2,)
    assert q.sample(seed=0, sample_shape=(0,)).shape == (0, 2)
    for shape in (3, np.int64(3)):
        assert q.sample_and_log_prob(seed=0, sample_shape=shape)[1].shape == (3,)
        assert q.sample_base(seed=0, sample_shape=shape).shape == (3, 2)


def test_other_bases_and_bijectors():
    base = tfd.MultivariateNormalDiag(jnp.ones(2), 2.0 * jnp.ones(2))
    q = hkf.FlowDistribution(base, hkf.Chain([distrax.Tanh()]))
    y, log_prob = q.sample_and_log_prob(seed=0, sample_shape=(4,))
    np.testing.assert_allclose(q.log_prob(y), log_prob, atol=1e-3)
    assert (np.abs(y) < 1.0).all()


def test_base_with_the_batch_of_the_context():
    base = distrax.Independent(distrax.Normal(jnp.zeros((4, 3)), jnp.ones((4, 3))), 1)
    case = zoo.Case("iaf-affine", 3, True)
    contexts = jnp.ones((4, zoo.CONTEXT_SIZE))
    q = hkf.FlowDistribution(base, case.transformed.apply(case.params(), contexts))
    assert q.sample(seed=0, sample_shape=(5,)).shape == (5, 4, 3)


def test_crosses_jit_vmap_and_scan():
    case = zoo.Case("maf-affine", 2, True)
    contexts = jax.random.normal(jax.random.key(0), (3, zoo.CONTEXT_SIZE))
    params = case.params()

    def build(context):
        return hkf.FlowDistribution(hkf.standard_normal(2), case.transformed.apply(params, context))

    y = jnp.asarray([0.5, -0.2])
    stacked = jax.vmap(build)(contexts)  # a batch of distributions, out of vmap
    mapped = jax.vmap(lambda q: q.log_prob(y))(stacked)
    scanned = jax.lax.scan(lambda _, q: (None, q.log_prob(y)), None, stacked)[1]
    expected = build(contexts).log_prob(y)
    np.testing.assert_allclose(mapped, expected, atol=1e-5)
    np.testing.assert_allclose(scanned, expected, atol=1e-5)


def test_haiku_is_visited_once():
    """A built flow never calls Haiku again, in either direction."""

    class Net(hk.Module):
        visits = 0

        def __call__(self, z):
            Net.visits += 1
            return jax.nn.relu(hk.Linear(4)(z))

    t = hk.without_apply_rng(hk.transform(lambda: hkf.Coupling(Net(), mask=np.arange(4) < 2)))
    params = t.init(jax.random.key(0))
    bijector = t.apply(params)
    visits = Net.visits
    bijector.inverse(bijector.forward(jnp.ones((3, 4))))
    assert Net.visits == visits
