"""Models of NumPyro and TFP as targets: against the same models by hand, and against autodiff."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import tensorflow_probability.substrates.jax.distributions as tfd
from jax.scipy import stats

import hkflows as hkf
from hkflows import supports

EFFECTS = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def log_joint(p):
    return (
        stats.norm.logpdf(p["mu"], 0.0, 5.0)
        + stats.cauchy.logpdf(p["tau"], 0.0, 5.0)
        + jnp.log(2.0)
        + jnp.sum(stats.norm.logpdf(p["trans"]))
        + jnp.sum(stats.norm.logpdf(EFFECTS, p["mu"] + p["tau"] * p["trans"], ERRORS))
    )


def in_numpyro(errors, *, effects):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        trans = numpyro.sample("trans", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * trans)
        numpyro.sample("effects", dist.Normal(theta, errors), obs=effects)


def coroutine():
    root = tfd.JointDistributionCoroutine.Root
    mu = yield root(tfd.Normal(0.0, 5.0, name="mu"))
    tau = yield root(tfd.HalfCauchy(0.0, 5.0, name="tau"))
    trans = yield root(tfd.Sample(tfd.Normal(0.0, 1.0), 8, name="trans"))
    yield tfd.Independent(tfd.Normal(mu + tau * trans, ERRORS), 1, name="effects")


def auto_batched():
    mu = yield tfd.Normal(0.0, 5.0, name="mu")
    tau = yield tfd.HalfCauchy(0.0, 5.0, name="tau")
    trans = yield tfd.Normal(jnp.zeros(8), 1.0, name="trans")
    yield tfd.Normal(mu + tau * trans, ERRORS, name="effects")


PARTS = {
    "mu": tfd.Normal(0.0, 5.0),
    "tau": tfd.HalfCauchy(0.0, 5.0),
    "trans": tfd.Sample(tfd.Normal(0.0, 1.0), 8),
    "effects": lambda trans, tau, mu: tfd.Independent(tfd.Normal(mu + tau * trans, ERRORS), 1),
}

SCHOOLS = {
    "numpyro": lambda: hkf.Target.from_numpyro(in_numpyro, ERRORS, effects=EFFECTS),
    "coroutine": lambda: hkf.Target.from_tfp(
        tfd.JointDistributionCoroutine(coroutine), {"effects": EFFECTS}
    ),
    "auto_batched": lambda: hkf.Target.from_tfp(
        tfd.JointDistributionCoroutineAutoBatched(auto_batched), {"effects": EFFECTS}
    ),
    "named": lambda: hkf.Target.from_tfp(tfd.JointDistributionNamed(PARTS), {"effects": EFFECTS}),
    "sequential": lambda: hkf.Target.from_tfp(
        tfd.JointDistributionSequential(list(PARTS.values())), [None, None, None, EFFECTS]
    ),
}


@pytest.mark.parametrize("name", SCHOOLS)
def test_eight_schools_are_those_by_hand(name):
    """All normalisers included; the maps to the parameters happen to be the same, too."""
    by_hand = hkf.Target.from_log_joint(
        log_joint, {"mu": supports.real(), "tau": supports.positive(), "trans": supports.real(8)}
    )
    target = SCHOOLS[name]()
    assert target.event_size == by_hand.event_size == 10
    z = jax.random.normal(jax.random.key(0), (7, 10))
    expected, got = (jax.jit(jax.vmap(t.log_density))(z) for t in (by_hand, target))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    parameters, by_hand_parameters = (jax.jit(jax.vmap(t.constrain))(z) for t in (target, by_hand))
    if name == "sequential":
        parameters = dict(zip(PARTS, parameters, strict=False))
    for key, value in by_hand_parameters.items():
        np.testing.assert_allclose(parameters[key], value, rtol=1e-6)
    if name == "numpyro":
        mu, tau, trans, theta = (
            np.asarray(parameters[key]).T for key in ("mu", "tau", "trans", "theta")
        )
        np.testing.assert_allclose(theta, mu + tau * trans, rtol=1e-5)
    target.check_at(z)


def matrices(y):
    """A correlation matrix, ordered locations in a simplex of weights, and a moving bound."""
    with numpyro.plate("groups", 2):
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.asarray([2.0, 1.0, 3.0])))
    factor = numpyro.sample("factor", dist.LKJCholesky(3, 1.5))
    places = numpyro.sample(
        "places", dist.ImproperUniform(dist.constraints.ordered_vector, (), event_shape=(3,))
    )
    top = numpyro.sample("top", dist.Exponential(1.0))
    inside = numpyro.sample("inside", dist.Uniform(0.0, top))
    numpyro.factor("pull", -0.5 * inside**2)
    numpyro.sample("y", dist.MultivariateNormal(places + weights[0], scale_tril=factor), obs=y)


def test_the_way_back_from_sites_and_parts():
    """Sites in an order that is not that of their names, one within a bound that moves."""

    @tfd.JointDistributionCoroutineAutoBatched
    def joint():
        scale = yield tfd.HalfNormal(1.0, name="scale")
        loc = yield tfd.Uniform(-scale, jnp.ones(2), name="loc")
        yield tfd.Normal(loc, scale, name="y")

    for target in (
        hkf.Target.from_numpyro(matrices, jnp.asarray([0.3, -1.0, 2.0])),
        hkf.Target.from_tfp(joint, {"y": jnp.asarray([0.3, 0.1])}),
    ):
        z = jax.random.normal(jax.random.key(0), (target.event_size,))
        parameters = target.constrain(z)
        np.testing.assert_allclose(target.unconstrain(parameters), z, rtol=1e-3, atol=1e-5)
        parameters.popitem()
        with pytest.raises(ValueError, match="`parameters`"):
            target.unconstrain(parameters)


def test_constrained_sites_against_autodiff(x64):
    """The density in z is that of the parameters times the Jacobian of their coordinates."""
    y = jnp.asarray([0.3, -1.0, 2.0])
    target = hkf.Target.from_numpyro(matrices, y)
    below = jnp.tril_indices(3, -1)

    def coordinates(z):
        p = target.constrain(z)
        free = [p["weights"][:, :-1], p["factor"][below], p["places"], p["top"], p["inside"]]
        return jnp.concatenate([jnp.ravel(part) for part in free])

    def by_hand(p):
        return (
            jnp.sum(tfd.Dirichlet(jnp.asarray([2.0, 1.0, 3.0])).log_prob(p["weights"]))
            + tfd.CholeskyLKJ(3, jnp.asarray(1.5)).log_prob(p["factor"])
            - p["top"]
            - jnp.log(p["top"])
            - 0.5 * p["inside"] ** 2
            + tfd.MultivariateNormalTriL(p["places"] + p["weights"][0], p["factor"]).log_prob(y)
        )

    @jax.jit
    @jax.vmap
    def both(z):
        p = target.constrain(z)
        _, log_det = jnp.linalg.slogdet(jax.jacfwd(coordinates)(z))
        return target.log_density(z), by_hand(p) + log_det, p

    z = jax.random.normal(jax.random.key(1), (5, target.event_size))
    got, expected, p = both(z)
    assert target.event_size == 4 + 3 + 3 + 1 + 1
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert np.all(np.diff(p["places"]) > 0)
    assert np.all((p["inside"] > 0) & (p["inside"] < p["top"]))
    assert p["weights"].shape == (5, 2, 3)


@functools.partial(jax.jit, static_argnums=0)
def densities(target, nodes):
    return jnp.exp(jax.lax.map(target.log_density, nodes, batch_size=1000))


def test_supports_that_depend_on_other_parts():
    joint = tfd.JointDistributionNamed(
        {
            "top": tfd.Exponential(1.0),
            "inside": lambda top: tfd.Uniform(0.0, top),
            "y": lambda inside: tfd.Normal(inside, 1.0),
        }
    )
    target = hkf.Target.from_tfp(joint, {"y": 0.3})
    z = jnp.linspace(-16.0, 16.0, 161)
    nodes = jnp.stack(jnp.meshgrid(z, z), axis=-1).reshape(-1, 2)
    mass = jnp.sum(densities(target, nodes)) * (z[1] - z[0]) ** 2
    top = jnp.linspace(1e-4, 30.0, 20_001)  # the bound, with the part below it integrated out
    inner = (stats.norm.cdf(0.3) - stats.norm.cdf(0.3 - top)) / top
    np.testing.assert_allclose(mass, jnp.trapezoid(jnp.exp(-top) * inner, top), atol=1e-3)


def test_the_evidence_with_a_simplex():
    """Dirichlet-multinomial in closed form: the probability of a sequence of outcomes."""
    prior = jnp.asarray([2.0, 1.0, 3.0])
    joint = tfd.JointDistributionNamedAutoBatched(
        {"weights": tfd.Dirichlet(prior), "y": lambda weights: tfd.Categorical(probs=weights)}
    )
    target = hkf.Target.from_tfp(joint, {"y": 2})
    z = jnp.linspace(-12.0, 12.0, 201)
    nodes = jnp.stack(jnp.meshgrid(z, z), axis=-1).reshape(-1, 2)
    mass = jnp.sum(densities(target, nodes)) * (z[1] - z[0]) ** 2
    np.testing.assert_allclose(mass, prior[2] / prior.sum(), rtol=1e-3)


def test_a_fit_of_a_numpyro_model():
    """A conjugate normal mean: the fit's posterior is the exact one."""

    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        numpyro.sample("y", dist.Normal(mean, 1.0).expand(y.shape).to_event(1), obs=y)

    y = jnp.asarray([1.0, 2.0, 0.5])
    target = hkf.Target.from_numpyro(model, y)
    fit = hkf.fit_posterior(
        target, key=0, flow=hkf.flows.mean_field(1), num_steps=100, num_samples=8, progress=False
    )
    covariance = jnp.eye(3) + 4.0
    expected = stats.multivariate_normal.logpdf(y, jnp.zeros(3), covariance)
    np.testing.assert_allclose(fit.diagnostics.log_evidence, expected, atol=5e-2)
    assert fit.sample(1, 5)["mean"].shape == (5,)


def one(distribution):
    return lambda: numpyro.sample("odd", distribution)


def subsampled():
    numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("odd", 10, subsample_size=3):
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=jnp.zeros(3))


def with_param():
    numpyro.param("odd", 1.0)
    numpyro.sample("mu", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one(dist.Poisson(3.0)), "'odd' is discrete"),
        (one(dist.Categorical(jnp.ones(2) / 2)), "'odd' is discrete"),
        (one(dist.Delta(0.0)), "'odd' is a Delta"),
        (one(dist.Delta(jnp.zeros(2)).to_event(1).expand([3])), "'odd' is a Delta"),
        (one(dist.ProjectedNormal(jnp.ones(3))), "'odd'"),
        (subsampled, "'odd' draws a subsample of 3 of 10"),
        (with_param, r"`numpyro.param`; got 'odd'"),
        (lambda: None, "latent"),
        (lambda: numpyro.sample("y", dist.Poisson(3.0), obs=1), "latent"),
        (3, "`model` must be a NumPyro model"),
    ],
)
def test_numpyro_models_that_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        hkf.Target.from_numpyro(model)


def test_an_improper_site_that_nothing_uses_is_named():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("idle", dist.ImproperUniform(dist.constraints.real, (), ()))

    target = hkf.Target.from_numpyro(model)
    with pytest.raises(ValueError, match=r"depend.*`idle`"):
        target.check_at(jnp.ones(2))


COUNTS = tfd.JointDistributionNamed(
    {"odd": tfd.Poisson(3.0), "mu": tfd.Gamma(2.0, 1.0), "y": lambda mu: tfd.Poisson(mu)}
)
BATCHED = tfd.JointDistributionNamed(
    {"mu": tfd.Normal(jnp.zeros(3), 1.0), "y": lambda mu: tfd.Normal(mu, 1.0)}
)
SPHERE = tfd.JointDistributionSequential(
    [tfd.VonMisesFisher([1.0, 0.0, 0.0], 1.0), lambda odd: tfd.Normal(odd[..., 0], 1.0)]
)
REPEATED = tfd.JointDistributionNamed(
    {"mu": tfd.Normal(0.0, 1.0), "y": lambda mu: tfd.Sample(tfd.Normal(mu, 1.0), 3)}
)
NESTED = tfd.JointDistributionNamed(
    {
        "odd": tfd.JointDistributionNamed({"mu": tfd.Normal(0.0, 1.0)}),
        "y": lambda odd: tfd.Normal(odd["mu"], 1.0),
    }
)


@pytest.mark.parametrize(
    ("joint", "observed", "message"),
    [
        (COUNTS, {"y": 2.0}, r"`joint\['odd'\]`.*discrete"),
        (SPHERE, [None, 0.3], r"`joint\[0\]`"),
        (BATCHED, {"y": jnp.zeros(3)}, r"scalar log density; got shape \(3,\).*AutoBatched"),
        (BATCHED, {}, "`observed`"),
        (BATCHED, 3.0, "`observed`"),
        (BATCHED, {"z": 0.0}, "`observed`.*'z'"),
        *((REPEATED, {"y": y}, r"`observed\['y'\]`.*\(3,\)") for y in (1.0, jnp.ones(1))),
        (REPEATED, {"y": jnp.ones((2, 3))}, r"`observed\['y'\]`.*got \(2, 3\)"),
        (NESTED, {"y": 1.0}, r"`joint\['odd'\]` must be no joint distribution"),
        (COUNTS, {"y": 2.0, "mu": 1.0, "odd": 3.0}, "`observed` must leave"),
        (tfd.Normal(0.0, 1.0), {"y": 0.0}, "`joint`"),
    ],
)
def test_joint_distributions_that_are_refused(joint, observed, message):
    with pytest.raises(ValueError, match=message):
        hkf.Target.from_tfp(joint, observed)


def test_a_joint_distribution_in_float32_under_x64(x64):
    joint = tfd.JointDistributionNamed(
        {"scale": tfd.HalfCauchy(0.0, 1.0), "y": lambda scale: tfd.Normal(0.0, scale)}
    )
    target = hkf.Target.from_tfp(joint, {"y": 0.5})
    value = target.log_density(jnp.zeros(1))
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, stats.norm.logpdf(0.5) - np.log(np.pi), rtol=1e-6)


def test_observed_counts_are_fine():
    target = hkf.Target.from_tfp(COUNTS, {"y": 2.0, "odd": 3.0})
    assert target.names() == ("mu",)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(ImportError, match=r"hkflows\[numpyro\]"):
        hkf.Target.from_numpyro(in_numpyro)
