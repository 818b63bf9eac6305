"""Targets and supports: the change of variables, against quadrature."""

import functools
import re

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import tensorflow_probability.substrates.jax.bijectors as tfb
import tensorflow_probability.substrates.jax.distributions as tfd

import hkflows as hkf
from hkflows import supports


@functools.partial(jax.jit, static_argnums=0)
def densities(target, nodes):
    """In small batches: on a CPU, XLA as of JAX 0.10.2 gets a large Dirichlet batch wrong."""
    return jnp.exp(jax.lax.map(target.log_density, nodes, batch_size=1000))


ON_THE_LINE = {
    "real": (supports.real(), lambda x: distrax.Normal(0.3, 2.0).log_prob(x)),
    "positive": (supports.positive(), lambda x: distrax.Gamma(2.0, 1.5).log_prob(x)),
    "greater_than": (supports.greater_than(2.0), lambda x: 2.0 - x),
    "unit_interval": (supports.unit_interval(), lambda x: distrax.Beta(2.0, 3.0).log_prob(x)),
    "interval": (supports.interval(-1.0, 3.0), lambda x: -jnp.log(4.0) + 0.0 * x),
    "bijector": (tfb.Softplus(), lambda x: -x),
}


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_density_stays_normalised(name):
    support, log_density = ON_THE_LINE[name]
    target = hkf.Target.from_log_joint(lambda p: log_density(p["x"]), {"x": support})
    z = np.linspace(-40.0, 40.0, 40_001, dtype=np.float32)
    np.testing.assert_allclose(np.trapezoid(densities(target, z[:, None]), z), 1.0, atol=2e-3)


def test_simplex_and_ordered():
    """The Dirichlet on the 2-simplex, and the order statistics of two normals, integrate to one."""
    points, cell = grid(2, 15.0, 401)
    for support, log_density in (
        (supports.simplex(3), distrax.Dirichlet(jnp.asarray([2.0, 3.0, 1.5])).log_prob),
        (
            supports.ordered(2),
            lambda x: jnp.log(2.0) + jnp.sum(distrax.Normal(0.0, 1.0).log_prob(x)),
        ),
    ):
        target = hkf.Target.from_log_joint(log_density, support)
        assert target.event_size == 2
        np.testing.assert_allclose(densities(target, points).sum() * cell, 1.0, atol=5e-3)
    assert (
        np.diff(hkf.supports.ordered(3).bijector.forward(jnp.asarray([0.1, -2.0, 1.0]))) > 0
    ).all()


EVERY_SUPPORT = {
    "real": supports.real(2),
    "positive": supports.positive(),
    "greater_than": supports.greater_than(-2.0, 3),
    "interval": supports.interval(0.1, 0.9, 2, 1),
    "unit_interval": supports.unit_interval(),
    "simplex": supports.simplex(3),
    "simplices": supports.simplex(2, 3),
    "ordered": supports.ordered(3),
    "ordered vectors": supports.ordered(2, 3),
    "correlation_cholesky": supports.correlation_cholesky(3),
    "covariance_cholesky": supports.covariance_cholesky(2),
    "circle": supports.circle(2),
    "bijector": tfb.Softplus(),
    "distribution": tfd.Gamma(jnp.ones(2), 1.0),
}


@pytest.mark.parametrize("name", EVERY_SUPPORT)
def test_the_way_back_to_the_vector(name):
    target = hkf.Target.from_log_joint(lambda p: 0.0 * p[0].sum(), [EVERY_SUPPORT[name]])
    (value,) = target.constrain(jax.random.normal(jax.random.key(0), (target.event_size,)))
    (again,) = target.constrain(target.unconstrain([value]))
    np.testing.assert_allclose(again, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("support", "outside"),
    [
        (supports.positive(), -1.5),
        (supports.positive(), 0.0),
        (supports.greater_than(2.0), 1.0),
        (supports.interval(0.0, 1.0), 1.5),
        (supports.ordered(2), [0.5, 0.1]),
        (supports.simplex(2), [0.5, 0.9]),
        (supports.correlation_cholesky(2), [[1.0, 0.5], [3.0, 4.0]]),
        (supports.covariance_cholesky(2), [[1.0, 0.5], [0.6, 0.8]]),  # not triangular
    ],
)
def test_what_lies_outside_of_a_support_is_named(support, outside):
    target = hkf.Target.from_log_joint(lambda p: 0.0 * jnp.sum(p["x"]), {"x": support})
    with pytest.raises(ValueError, match="must lie inside of their supports; `x` does not"):
        target.unconstrain({"x": jnp.asarray(outside)})


@functools.partial(jax.jit, static_argnums=0)
def constrained(target, z):
    return target.constrain(z), target.log_density(z)


def test_arrays_of_vectors():
    """Each is one of its own: the log joint and the Jacobian are sums over them."""
    many = {"simplex": supports.simplex(2, 4, 3), "ordered": supports.ordered(2, 4, 3)}
    one = {"simplex": supports.simplex(3), "ordered": supports.ordered(3)}
    for name, support in many.items():
        target = hkf.Target.from_log_joint(lambda x: jnp.sum(jnp.sin(x)), support)
        single = hkf.Target.from_log_joint(lambda x: jnp.sum(jnp.sin(x)), one[name])
        z = jax.random.normal(jax.random.key(0), (8, single.event_size))
        values, each = jax.vmap(functools.partial(constrained, single))(z)
        together, total = constrained(target, z.ravel())
        np.testing.assert_allclose(together.reshape(8, 3), values, rtol=1e-5)
        np.testing.assert_allclose(total, np.sum(each), rtol=1e-5)


def test_an_interval_ends_where_it_is_told_to(x64):
    low, high = supports.interval(0.7, 0.9).bijector.forward(jnp.asarray([-40.0, 40.0]))
    assert 0.7 <= low < 0.7 + 1e-12
    assert 0.9 - 1e-12 < high <= 0.9


def test_names_shapes_and_nesting():
    target = hkf.Target.from_log_joint(
        lambda p: jnp.sum(p["a"]) + p["b"][0] + jnp.sum(p["b"][1]),
        {"a": supports.real(2, 3), "b": [tfb.Exp(), distrax.ScalarAffine(jnp.zeros(4), 2.0)]},
    )
    assert target.event_size == 11
    parameters = target.constrain(jnp.arange(11.0))
    np.testing.assert_array_equal(parameters["a"], jnp.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(parameters["b"][0], np.exp(6.0), rtol=1e-6)
    np.testing.assert_array_equal(parameters["b"][1], 2.0 * jnp.arange(7.0, 11.0))


def test_target_by_hand():
    target = hkf.Target(lambda z: -0.5 * jnp.sum(z**2), 3, jnp.exp)
    np.testing.assert_array_equal(target.constrain(jnp.zeros(3)), jnp.ones(3))
    assert hkf.Target(lambda z: z[0], 1).constrain(2.0) == 2.0


def grid(size, end, points):
    """Nodes `[points^size, size]` of a regular grid, and the volume of a cell."""
    line = np.linspace(-end, end, points, dtype=np.float32)
    nodes = np.stack(np.meshgrid(*[line] * size, indexing="ij"), axis=-1)
    return nodes.reshape(-1, size), (line[1] - line[0]) ** size


def test_correlation_cholesky_is_normalised():
    """As the tails are those of powers, by quadrature in asinh(z)."""
    target = hkf.Target.from_log_joint(
        tfd.CholeskyLKJ(3, 2.0).log_prob, supports.correlation_cholesky(3)
    )
    u, cell = grid(3, 7.0, 31)
    density = densities(target, jnp.sinh(u)) * jnp.prod(jnp.cosh(u), axis=-1)
    np.testing.assert_allclose(density.sum() * cell, 1.0, atol=2e-3)
    factor = target.constrain(jnp.asarray([0.3, -2.0, 1.0]))
    np.testing.assert_allclose(jnp.diag(factor @ factor.T), 1.0, atol=1e-6)


def test_covariance_cholesky_is_normalised():
    """Bartlett: the factor of a Wishart matrix has chi diagonal and normal entries below it."""

    def log_joint(factor):
        chi = tfd.Chi(jnp.asarray([4.0, 3.0])).log_prob(jnp.diag(factor))
        return jnp.sum(chi) + distrax.Normal(0.0, 1.0).log_prob(factor[1, 0])

    target = hkf.Target.from_log_joint(log_joint, supports.covariance_cholesky(2))
    z, cell = grid(3, 6.0, 41)
    np.testing.assert_allclose(densities(target, z).sum() * cell, 1.0, atol=2e-3)
    small = target.constrain(jnp.full(3, -30.0))
    assert np.all(np.diag(small) > 0.0)
    np.testing.assert_allclose(np.diag(small), np.exp(-30.0), rtol=1e-5)


@pytest.mark.parametrize("loc", [0.5, np.pi])
def test_circle_keeps_the_evidence(loc):
    """Of an unnormalised von Mises density, also one that lies across the cut of its angle."""
    concentration = 2.0
    target = hkf.Target.from_log_joint(
        lambda p: concentration * jnp.cos(p["angle"] - loc), {"angle": supports.circle()}
    )
    assert target.event_size == 2
    z, cell = grid(2, 6.0, 201)
    weights = densities(target, z) * cell
    evidence = 2.0 * np.pi * np.i0(concentration)
    np.testing.assert_allclose(weights.sum(), evidence, rtol=1e-3)
    angles = np.asarray(jax.jit(jax.vmap(target.constrain))(z)["angle"])
    resultant = np.sum(weights * np.cos(angles - loc)) / evidence
    np.testing.assert_allclose(
        resultant, scipy.special.i1(concentration) / np.i0(concentration), rtol=2e-3
    )
    for origin in (jnp.zeros(2), jnp.full(2, 1e-30)):
        assert np.all(np.isfinite(jax.jit(jax.grad(target.log_density))(origin)))


def test_simplex_far_out():
    """No component is zero, and nothing infinite, where stick breaking in float32 has lost both."""
    bijector = supports.simplex(3).bijector
    z = jnp.asarray([[20.0, 20.0], [-30.0, 30.0], [0.3, -40.0], [-35.0, -35.0]])
    y, log_det = bijector.forward_and_log_det(z)
    assert np.all(y > 0.0)
    np.testing.assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-6)
    back, inverse_log_det = bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(back, z, rtol=1e-5)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-5)
    exact = jax.jacfwd(lambda z: bijector.forward(z)[:-1])(z := jnp.asarray([0.4, -1.2]))
    np.testing.assert_allclose(
        bijector.forward_log_det_jacobian(z), jnp.linalg.slogdet(exact)[1], rtol=1e-5
    )


def test_circle_of_angles():
    support = supports.circle(3)
    z = jax.random.normal(jax.random.key(0), support.shape)
    angles, log_det = support.bijector.forward_and_log_det(z)
    np.testing.assert_allclose(angles, np.arctan2(z[:, 1], z[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(log_det, -0.5 * np.sum(z**2, axis=-1), rtol=1e-5)
    again, back = support.bijector.inverse_and_log_det(angles)
    np.testing.assert_allclose(again, z / np.linalg.norm(z, axis=-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(back, -support.bijector.forward_log_det_jacobian(again), rtol=1e-5)


TWO = jnp.asarray([0.5, -1.0])
LEAVES = {
    "normal": distrax.Normal(TWO[0], 2.0),
    "log_stddev_normal": distrax.LogStddevNormal(0.0, 0.3),
    "laplace": distrax.Laplace(0.0, 1.0),
    "logistic": distrax.Logistic(0.0, 1.0),
    "gumbel": distrax.Gumbel(0.0, 1.0),
    "gamma": distrax.Gamma(2.0, 1.0),
    "beta": distrax.Beta(2.0, 3.0),
    "uniform": distrax.Uniform(-1.0, 3.0),
    "transformed": distrax.Transformed(distrax.Beta(2.0, 3.0), distrax.ScalarAffine(0.0, -2.0)),
    "mixture": distrax.MixtureSameFamily(
        distrax.Categorical(probs=jnp.asarray([0.3, 0.7])), distrax.Gamma(1.0 - TWO, 1.0)
    ),
    "wrapped": distrax.as_distribution(tfd.Gamma(2.0, 1.0)),
    "multivariate": distrax.MultivariateNormalTri(TWO, jnp.asarray([[1.0, 0.0], [0.7, 0.5]])),
    "dirichlet": distrax.Dirichlet(jnp.asarray([2.0, 3.0, 1.5])),
    "von_mises": distrax.VonMises(np.pi, 1.0),
    "independent": distrax.Independent(distrax.Uniform(TWO, TWO + 2.0), 1),
    "lifted": distrax.Transformed(
        distrax.MultivariateNormalDiag(TWO, jnp.ones(2)), distrax.Block(tfb.Softplus(), 1)
    ),
    "tfp_gamma": tfd.Gamma(2.0, 1.0),
    "tfp_half_cauchy": tfd.HalfCauchy(0.0, 1.0),
    "tfp_truncated": tfd.TruncatedNormal(0.0, 1.0, -1.0, 2.0),
    "tfp_transformed": tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Exp()),
    "tfp_sample": tfd.Sample(tfd.HalfNormal(1.0), 2),
    "tfp_dirichlet": tfd.Dirichlet([2.0, 3.0, 1.5]),
    "tfp_relaxed": tfd.RelaxedOneHotCategorical(0.8, logits=[0.0, 0.5, -0.3]),
    "tfp_von_mises": tfd.VonMises(3.0, 1.0),
}


@pytest.mark.parametrize("name", LEAVES)
def test_a_distribution_gives_its_support(name):
    """And nothing else: its own density, written out, integrates to one."""
    distribution = LEAVES[name]
    target = hkf.Target.from_log_joint(lambda p: distribution.log_prob(p["x"]), {"x": distribution})
    shape = target.constrain(jnp.zeros(target.event_size))["x"].shape
    assert shape == tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    z, cell = grid(target.event_size, *((40.0, 2001) if target.event_size == 1 else (10.0, 201)))
    np.testing.assert_allclose(densities(target, z).sum() * cell, 1.0, atol=2e-3)


def test_a_batch_of_distributions():
    target = hkf.Target.from_log_joint(
        lambda p: -jnp.sum(p["a"]) - jnp.sum(p["b"]),
        {"a": distrax.Gamma(jnp.ones((2, 3)), 1.0), "b": tfd.Dirichlet(jnp.ones((4, 3)))},
    )
    assert target.event_size == 6 + 8
    parameters = target.constrain(jnp.ones(14))
    assert parameters["a"].shape == (2, 3)
    np.testing.assert_allclose(parameters["b"].sum(axis=-1), np.ones(4), rtol=1e-6)


REFUSED = {
    "bernoulli": (distrax.Bernoulli(0.5), "discrete"),
    "quantized": (distrax.Quantized(distrax.Normal(0.0, 1.0)), "discrete"),
    "clipped": (distrax.ClippedNormal(0.0, 1.0, -1.0, 1.0), "Support"),
    "joint": (distrax.Joint([distrax.Normal(0.0, 1.0)]), "pytree"),
    "extended": (
        distrax.Transformed(distrax.Normal(0.0, 1.0), distrax.ScalarAffine(TWO, 1.0)),
        "batch shape",
    ),
    "mixed_uniforms": (
        distrax.MixtureSameFamily(distrax.Categorical(logits=TWO), distrax.Uniform(TWO, TWO + 1.0)),
        "Support",
    ),
    "tfp_bernoulli": (tfd.Bernoulli(0.5), "discrete"),
    "tfp_poisson": (tfd.Poisson(3.0), "discrete"),
    "tfp_deterministic": (tfd.Deterministic(0.0), "Support"),
    "tfp_sphere": (tfd.VonMisesFisher([1.0, 0.0, 0.0], 1.0), "Support"),
    "tfp_wishart": (tfd.WishartTriL(3.0, jnp.eye(2)), "Support"),
    "tfp_correlation": (tfd.LKJ(3, 1.0), "Support"),
    "tfp_joint": (tfd.JointDistributionNamed({"a": tfd.Normal(0.0, 1.0)}), "from_tfp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_distributions_that_are_no_supports(name):
    distribution, reason = REFUSED[name]
    with pytest.raises(ValueError, match=rf"`supports\['x'\]`.*{reason}"):
        hkf.Target.from_log_joint(lambda p: 0.0, {"x": distribution})


def test_scalars_have_names():
    target = hkf.Target.from_log_joint(
        lambda p: p["scale"] + jnp.sum(p["tau"]["a"]) + jnp.sum(p["u"][1]),
        {
            "scale": supports.positive(),
            "tau": {"a": supports.real(1, 2)},
            "u": (supports.real(), supports.simplex(2)),
        },
    )
    assert target.names() == (
        "scale",
        "tau.a[0,0]",
        "tau.a[0,1]",
        "u[0]",
        "u[1][0]",
        "u[1][1]",
    )
    assert hkf.Target(lambda z: z[0], 2).names() == ("value[0]", "value[1]")
    assert hkf.Target(lambda z: z[0], 1, lambda z: z[0]).names() == ("value",)


XS = {"s": supports.positive(), "x": supports.real(3)}


@pytest.mark.parametrize(
    "value", [1, 1j, jnp.zeros(2), jnp.zeros((), int), (jnp.zeros(()),), None, "0.0"]
)
def test_a_log_joint_of_the_wrong_kind(value):
    with pytest.raises(ValueError, match="`log_joint` must return a floating scalar"):
        hkf.Target.from_log_joint(lambda p: value, XS)


def test_a_parameter_that_is_not_there():
    with pytest.raises(ValueError, match=r"'sigma'.*`s`, `x`") as caught:
        hkf.Target.from_log_joint(lambda p: -p["sigma"], XS)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(KeyError):  # not of the parameters
        hkf.Target.from_log_joint(lambda p: {}["s"], XS)


def test_the_log_density_has_the_dtype_of_the_vector(x64):
    for given in (jnp.bfloat16, jnp.float32, jnp.float64):
        target = hkf.Target.from_log_joint(lambda p, to=given: -jnp.sum(p["x"]).astype(to), XS)
        for dtype in (jnp.float32, jnp.float64):
            slope = jax.jit(jax.value_and_grad(target.log_density))
            value, gradient = slope(jnp.ones(4, dtype))
            assert value.dtype == gradient.dtype == dtype
            np.testing.assert_allclose(value, 1.0 - 3.0, rtol=1e-2)


def half(p):
    return -p["s"] - jnp.sum(p["x"][:2] ** 2)


TROUBLE = {
    "an unused scalar": (hkf.Target.from_log_joint(half, XS), "depend.*`x[2]` is zero"),
    "an unused positive": (
        hkf.Target.from_log_joint(lambda p: -jnp.sum(p["x"] ** 2), XS),
        "depend.*to `s` is zero",
    ),
    "an unused entry": (
        hkf.Target(lambda z: -jnp.sum(z[:3] ** 2), 4),
        "`log_density` must depend.*`z[3]` is zero",
    ),
    "an unused name": (
        hkf.Target(lambda z: -jnp.sum(z[:3] ** 2), 4, lambda z: {"a": z[:3], "b": z[3]}),
        "`z[3]` (for `b`) is zero",
    ),
    "not finite": (
        hkf.Target.from_log_joint(lambda p: half(p) + jnp.nan * p["s"], XS),
        "`log_joint` must be finite.*gradients with respect to `s` are",
    ),
    "an infinite parameter": (
        hkf.Target(lambda z: jnp.inf * z[0], 4, lambda z: {"a": z[:3], "b": jnp.inf * z[3]}),
        "`log_density` must be finite.*parameters `b` are",
    ),
    "a hidden division": (
        hkf.Target.from_log_joint(
            lambda p: -p["s"] - jnp.sum(jnp.where(p["x"] < 1e9, p["x"], jnp.sqrt(p["x"] * 0)) ** 2),
            XS,
        ),
        "finite gradient.*`x[0]`, `x[1]`, `x[2]` is not",
    ),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_target_in_trouble_says_where(name):
    target, message = TROUBLE[name]
    pattern = ".*".join(map(re.escape, message.split(".*")))
    for z in (jax.random.normal(jax.random.key(0), (5, 4)), jnp.ones(4)):
        with pytest.raises(ValueError, match=pattern):
            target.check_at(z)


def test_a_fit_checks_its_target_where_it_starts():
    with pytest.raises(ValueError, match=r"depend.*`x\[2\]`"):
        hkf.fit_posterior(
            hkf.Target.from_log_joint(half, XS),
            key=0,
            flow=hkf.flows.mean_field(4),
            progress=False,
        )


def test_targets_without_trouble():
    """A flat density on a bounded support is proper, and a gradient may vanish at the mode."""
    hkf.Target(lambda z: -jnp.sum(z**2), 4).check_at(jnp.zeros(4))
    bounded = {
        "interval": supports.interval(-2.0, 5.0),
        "simplex": supports.simplex(3),
        "correlation": supports.correlation_cholesky(3),
        "angle": supports.circle(),
        "uniform": distrax.Uniform(0.0, 1.0),
    }
    flat = hkf.Target.from_log_joint(lambda p: 0.0, bounded)
    flat.check_at(jax.random.normal(jax.random.key(0), (2, flat.event_size)))
    for support in (supports.ordered(2), supports.covariance_cholesky(2), tfb.Softplus()):
        target = hkf.Target.from_log_joint(lambda p: 0.0, {"x": support})
        with pytest.raises(ValueError, match="depend"):
            target.check_at(jnp.zeros(target.event_size))
    holes = hkf.Target(lambda z: jnp.where(z[0] > 0.0, jnp.nan, -jnp.sum(z**2)), 1)
    holes.check_at(jnp.asarray([[1.0], [-1.0]]))


def test_a_bound_that_the_dtype_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"`low`.*float32.*1e\+39"):
        supports.greater_than(1e39)


def test_parameters_come_as_one_argument():
    names = {"mean": supports.real(), "scale": supports.positive()}
    with pytest.raises(ValueError, match=r"as one argument, .* `mean`, `scale`, which are two"):
        hkf.Target.from_log_joint(lambda mean, scale: -(mean**2) - scale, names)
    assert hkf.Target.from_log_joint(lambda p, y: -(p["mean"] ** 2) - y, names).takes_data


def test_a_density_of_data():
    def log_joint(p, batch):
        return -jnp.sum((p["x"] - batch["mean"]) ** 2)

    joint = hkf.Target.from_log_joint(log_joint, {"x": supports.real(2)})
    by_hand = hkf.Target(lambda z, batch: -jnp.sum((z - batch["mean"]) ** 2), 2)
    batch = {"mean": jnp.ones(2)}
    for target in (joint, by_hand):
        assert target.takes_data
        np.testing.assert_allclose(target.log_density(jnp.zeros(2), batch), -2.0)
        target.check_at(jnp.zeros((3, 2)), batch)
        with pytest.raises(ValueError, match="`batch`"):
            target.check_at(jnp.zeros(2))
    with pytest.raises(ValueError, match="`log_joint` must return a floating scalar"):
        hkf.Target.from_log_joint(lambda p, b: p["x"], XS).log_density(jnp.zeros(4), batch)
    assert not hkf.Target(lambda z, scale=2.0: -scale * jnp.sum(z**2), 2).takes_data
    assert not hkf.Target(functools.partial(lambda a, z: a * z[0], 2.0), 2).takes_data
    with pytest.raises(ValueError, match="`batch`"):
        hkf.Target(lambda z: z[0], 2).check_at(jnp.zeros(2), batch)
