"""Bad input at the public boundary: an error that names the argument."""

import functools

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import zoo

import hkflows as hkf
from hkflows.training import gaussians


def built(function):
    return hk.transform(function).init(jax.random.key(0))


KEY = jax.random.key(0)
TARGET = hkf.Target(lambda z: -jnp.sum(z**2), 2)
POSITIVE = hkf.Target.from_log_joint(lambda p: -p["x"], {"x": hkf.supports.positive()})
SIMPLEX = hkf.Target.from_log_joint(lambda p: jnp.log(p[0]), hkf.supports.simplex(3))
NO_FLOW = hk.without_apply_rng(hk.transform(lambda: hkf.standard_normal(2)))
DATA = jnp.zeros((10, 2))
NORMAL = jax.random.normal(KEY, (10, 2))
STANDARD = hkf.FlowDistribution(hkf.standard_normal(1), hkf.Permutation([0]))


class Unequal(hkf.Transformer):
    """No dataclass: two of a kind are not equal."""

    num_params = 0

    def forward(self, x, params):
        return x, jnp.zeros_like(x)

    def inverse(self, y, params):
        return y, jnp.zeros_like(y)


BUILDS = {
    "event_size": lambda: hkf.MADE(0, [4]),
    "hidden_sizes": lambda: hkf.MADE(2, [4, 0]),
    "order": lambda: hkf.MADE(3, [4], order=[0, 0, 1]),
    "order ": lambda: hkf.MADE(3, [4], order="sideways"),
    "hidden_sizes ": lambda: hkf.MADE(3, [4, 5], residual=True),
    "context": lambda: hkf.IAF(hkf.MADE(2, [4]), context=jnp.asarray(1.0)),
    "context ": lambda: hkf.Elementwise(2, hkf.Affine(), context=jnp.asarray([1])),
    "event_size ": lambda: hkf.Planar(0),
    "num_reflections": lambda: hkf.Householder(3, num_reflections=3),
    "block_sizes": lambda: hkf.BNAF(2, []),
    "fast": lambda: hkf.flows.bnaf(2, fast="both"),
    "rank": lambda: hkf.Sylvester(2, rank=3),
    "margin": lambda: hkf.box(0.0, 1.0, margin=-0.1),
    "low ": lambda: hkf.box([0.0, 1.0], 1.0),
    "low  ": lambda: hkf.uniform([0.0, 1.0], [2.0, np.inf]),
    "df": lambda: hkf.student_t(2, df=0.5),
    "num_components": lambda: hkf.normal_mixture(2, 0),
    "data  ": lambda: hkf.standardise(np.zeros(3)),
    "data   ": lambda: hkf.standardise(np.full((2, 2), np.nan)),
    "data    ": lambda: hkf.ActNorm(2, data=jnp.zeros((5, 3))),
    "data     ": lambda: hkf.ActNorm(2, data=jnp.zeros((0, 2))),
    "context_network": lambda: hkf.flows.iaf(2, context_network=3),
    "mask": lambda: hkf.Coupling(hkf.MLP([4]), mask=jnp.ones(3)),
    "mask ": lambda: hkf.Coupling(hkf.MLP([4]), mask=np.ones(3, dtype=bool)),
    "mask  ": lambda: hkf.Coupling(hkf.MLP([4]), mask=np.zeros(3, dtype=bool)),
    "conditioner": lambda: hkf.Coupling(lambda z: z[None], mask=[True, False]),
    "function": lambda: hkf.IAF(hkf.Autoregressive(lambda u: u, 2)),
    "conditioner ": lambda: hkf.IAF(hk.nets.MLP([4])),
    "transformer": lambda: hkf.IAF(hkf.MADE(2, [4]), hkf.Affine),
    "transformer ": lambda: hkf.Elementwise(2, distrax.Tanh()),
    "hidden_sizes  ": lambda: hkf.MADE(2, 4),
    "bijectors ": lambda: hkf.Chain(hkf.Permutation([0])),
    "shape": lambda: hkf.supports.real((3,)),
    "supports['x']   ": lambda: hkf.Target.from_log_joint(
        lambda p: 0.0, {"x": numpyro.distributions.constraints.positive}
    ),
    "supports['x']    ": lambda: hkf.Target.from_log_joint(
        lambda p: 0.0, {"x": numpyro.distributions.HalfNormal(1.0)}
    ),
    "supports['x'] ": lambda: hkf.Target.from_log_joint(lambda p: 0.0, {"x": None}),
    "supports['x']  ": lambda: hkf.Target.from_log_joint(
        lambda p: 0.0, {"x": distrax.Bernoulli(0.5)}
    ),
    "target": lambda: hkf.fit_posterior(lambda z: 0.0, key=0),
    "optimizer": lambda: hkf.fit_posterior(TARGET, key=0, optimizer=1e-3),
    "num_samples": lambda: hkf.fit_posterior(TARGET, key=0, num_samples=0),
    "estimator": lambda: hkf.fit_posterior(TARGET, key=0, estimator="dreg"),
    "annealing": lambda: hkf.fit_posterior(TARGET, key=0, annealing=2.0),
    "flow   ": lambda: hkf.fit_posterior(TARGET, key=0, flow=hk.transform(lambda: None)),
    "num_bins": lambda: hkf.RationalQuadratic(num_bins=0),
    "num_bins ": lambda: hkf.RQS(2, num_bins=2.5),
    "bound": lambda: hkf.RationalQuadratic(bound=-1.0),
    "num_bins  ": lambda: hkf.LinearRational(num_bins=513),
    "num_bins   ": lambda: hkf.CircularRationalQuadratic(num_bins=True),
    "bound ": lambda: hkf.PiecewiseLinear(bound=0.0),
    "max_skewness": lambda: hkf.SinhArcsinh(max_skewness=0.0),
    "num_units": lambda: hkf.DeepSigmoidal(num_units=0),
    "max_log_slope": lambda: hkf.DeepSigmoidal(max_log_slope=float("nan")),
    "max_log_scale": lambda: hkf.Affine(max_log_scale=float("inf")),
    "permutation": lambda: hkf.Permutation([1, 2]),
    "bijectors": lambda: hkf.Chain([]),
    "bijectors[0]": lambda: hkf.Chain([distrax.Block(distrax.Tanh(), 2)]),
    "base": lambda: hkf.FlowDistribution(distrax.Normal(0.0, 1.0), hkf.Permutation([0])),
    "bijector": lambda: hkf.FlowDistribution(hkf.standard_normal(1), distrax.Tanh()),
    "num_layers": lambda: hkf.flows.iaf(2, num_layers=0),
    "log_density": lambda: hkf.Target(lambda z: z, 2),
    "log_joint": lambda: hkf.Target.from_log_joint(lambda p: p["x"], {"x": hkf.supports.real(2)}),
    "log_joint ": lambda: hkf.Target.from_log_joint(3, {"x": hkf.supports.real(2)}),
    "supports": lambda: hkf.Target.from_log_joint(lambda p: 0.0, {}),
    "shape  ": lambda: hkf.supports.simplex(),
    "shape   ": lambda: hkf.supports.simplex(3, 1),
    "size": lambda: hkf.supports.correlation_cholesky(1),
    "size ": lambda: hkf.supports.covariance_cholesky(0),
    "log_density ": lambda: hkf.Target(lambda z: (z[0],), 2),
    "log_density  ": lambda: hkf.Target(lambda z: jnp.sum(z).astype(int), 2),
    "log_density   ": lambda: hkf.Target(lambda z, batch, more: z[0], 2),
    "supports['x']": lambda: hkf.Target.from_log_joint(lambda p: p["x"], {"x": hkf.supports.real}),
    "low": lambda: hkf.supports.interval(1.0, 0.0),
    "low     ": lambda: hkf.supports.interval(1e8, 1e8 + 1.0),
    "low      ": lambda: hkf.supports.interval(-3e38, 3e38),
    "bijector  ": lambda: hkf.supports.Support(None, (2,)),
    "constrain  ": lambda: hkf.fit_posterior(
        hkf.Target(lambda z: -jnp.sum(z**2), 2, lambda z: z[0] + 1j * z[1]), key=0
    ),
    "key ": lambda: hkf.fit_density(hkf.flows.nsf(2), DATA, key=jnp.zeros(3, jnp.uint32)),
    "key  ": lambda: hkf.fit_posterior(TARGET, key=2**70),
    "flow     ": lambda: hkf.fit_density(
        hk.without_apply_rng(hk.transform(lambda: STANDARD)), NORMAL, key=0, context=NORMAL
    ),
    "alpha ": lambda: hkf.elbo.renyi_bound(
        STANDARD, lambda y: -jnp.sum(y**2), alpha=1e38, seed=0, num_samples=2
    ),
    "data        ": lambda: hkf.fit_density(
        hkf.flows.nsf(2), 1e-38 * np.asarray(NORMAL, np.float64), key=0
    ),
    "flow": lambda: hkf.fit_posterior(TARGET, key=0, flow=hkf.flows.iaf(3)),
    "flow ": lambda: hkf.fit_density(hkf.flows.nsf, DATA, key=0),
    "flow  ": lambda: hkf.fit_density(hkf.flows.nsf(3), DATA, key=0, standardise=False),
    "key": lambda: hkf.fit_posterior(TARGET, key="zero"),
    "num_steps": lambda: hkf.fit_posterior(TARGET, key=0, num_steps=0),
    "data": lambda: hkf.fit_density(hkf.flows.nsf(2), DATA.at[0, 0].set(jnp.nan), key=0),
    "data ": lambda: hkf.fit_density(hkf.flows.nsf(2), DATA[0], key=0),
    "context  ": lambda: hkf.fit_density(hkf.flows.nsf(2), DATA, key=0, context=jnp.zeros((9, 1))),
    "validation_fraction": lambda: hkf.fit_density(
        hkf.flows.nsf(2), DATA, key=0, validation_fraction=1.0
    ),
    "validation_fraction ": lambda: hkf.fit_density(
        hkf.flows.nsf(2), DATA, key=0, validation_fraction=None
    ),
    "data      ": lambda: hkf.fit_density(
        hkf.flows.nsf(2), np.ma.masked_array(DATA, mask=DATA == 0.0), key=0
    ),
    "flow    ": lambda: hkf.fit_density(NO_FLOW, NORMAL, key=0),
    "callback": lambda: hkf.fit_posterior(TARGET, key=0, callback=3),
    "callback ": lambda: hkf.fit_density(
        hkf.flows.mean_field(2), jax.random.normal(KEY, (10, 2)), key=0, callback=3
    ),
    "log_density    ": lambda: hkf.Target(3.0, 2),
    "constrain": lambda: hkf.Target(lambda z: z[0], 2, 3),
    "constrain ": lambda: hkf.Target(lambda z: z[0], 2, lambda z: {}).names(),
    "parameters": lambda: TARGET.unconstrain(jnp.zeros(3)),
    "parameters ": lambda: TARGET.unconstrain(jnp.full(2, jnp.nan)),
    "parameters  ": lambda: POSITIVE.unconstrain({"x": -1.0}),
    "parameters   ": lambda: POSITIVE.unconstrain({"y": 1.0}),
    "parameters    ": lambda: POSITIVE.unconstrain({"x": jnp.ones(2)}),
    "parameters     ": lambda: SIMPLEX.unconstrain([0.2, 0.3, 0.6]),
    "inverse": lambda: hkf.Target(lambda z: z[0], 2, jnp.exp).unconstrain(jnp.ones(2)),
    "start": lambda: hkf.fit_posterior(
        TARGET, key=0, flow=hkf.flows.mean_field(2), start=jnp.zeros(2)
    ),
    "start ": lambda: hkf.fit_posterior(POSITIVE, key=0, start={"x": -1.0}),
    "shape ": lambda: hkf.supports.Support(distrax.Tanh(), 3),
    "low   ": lambda: hkf.supports.interval(0.0, 0.0),
    "high": lambda: hkf.supports.interval(0.0, np.inf),
    "seed": lambda: hkf.Permutation.random(4, KEY),
    "bijector   ": lambda: hkf.FlowDistribution(hkf.standard_normal(3), hkf.IAF(hkf.MADE(4, [4]))),
    "conditioner  ": lambda: hkf.Coupling(None, mask=[True, False]),
    "scale": lambda: hkf.LowRankAffine([0.0], [1], [[1.0]]),
    "factor": lambda: hkf.LowRankAffine(np.zeros(5), np.ones(5), np.zeros((4, 2))),
    "factor ": lambda: hkf.FullRankAffine(np.zeros(2), np.eye(3)),
    "factor  ": lambda: hkf.FullRankAffine(np.zeros(2), np.zeros((2, 2))),
    "context_network ": lambda: hkf.flows.iaf(2, context_network=[0]),
    "event_size  ": lambda: hkf.flows.realnvp("3"),
    "activation": lambda: hkf.MADE(2, [4], activation="relu"),
    "activation ": lambda: hkf.MLP([4], activation=None),
    "coupling": lambda: hkf.flows.nsf(2, coupling="no"),
    "seed ": lambda: hkf.Permutation.random(3, True),
    "bijectors[0] ": lambda: hkf.Chain([None]),
    "bijectors[0]  ": lambda: hkf.Chain([hkf.MAF]),
    "base ": lambda: hkf.FlowDistribution(None, hkf.Permutation([0])),
    "bijector ": lambda: hkf.FlowDistribution(hkf.standard_normal(1), None),
    "seed  ": lambda: STANDARD.sample(seed=None),
    "y   ": lambda: STANDARD.inverse("a"),
    "low    ": lambda: hkf.uniform([1e8], [1e8 + 1.0]),
    "value": lambda: STANDARD.log_prob("a"),
    "transformer  ": lambda: hkf.IAF(hkf.MADE(2, [4]), Unequal()),
    "q": lambda: hkf.likelihood.negative_log_likelihood(None, DATA),
    "q ": lambda: hkf.likelihood.negative_log_likelihood(distrax.Normal(0.0, 1.0), DATA),
    "y ": lambda: hkf.likelihood.negative_log_likelihood(hkf.standard_normal(3), DATA),
    "y  ": lambda: hkf.likelihood.negative_log_likelihood(hkf.standard_normal(2), DATA[:0]),
    "data       ": lambda: hkf.fit_density(hkf.flows.nsf(2), [[1.0, 2.0], [3.0]], key=0),
    "validation_data": lambda: hkf.fit_density(
        hkf.flows.nsf(2), DATA, key=0, validation_data=DATA[:0]
    ),
    "standardise": lambda: hkf.fit_density(hkf.flows.nsf(2), DATA, key=0, standardise="no"),
    "log_density     ": lambda: hkf.fit_posterior(hkf.Target(lambda z: 0.0, 1), key=0),
    "scale ": lambda: hkf.LowRankAffine([0.0], [-1.0], [[1.0]]),
    "weights": lambda: hkf.likelihood.negative_log_likelihood(
        hkf.standard_normal(2), DATA, weights=jnp.ones((10, 1))
    ),
    "y": lambda: hkf.likelihood.negative_log_likelihood(
        distrax.Independent(distrax.Normal(jnp.zeros((4, 2)), 1.0), 1), DATA[:1]
    ),
}


@pytest.mark.parametrize("argument", BUILDS)
def test_construction_names_the_argument(argument):
    with pytest.raises(ValueError, match=f"`{argument.strip()}`".replace("[", r"\[")):
        built(BUILDS[argument])


@pytest.mark.parametrize(
    "name",
    [f"{name}-affine" for name in ("iaf", "maf", "coupling", "elementwise")]
    + ["triangular", *zoo.LINEAR, *zoo.RESIDUAL],
)
@pytest.mark.parametrize(
    "value", [jnp.zeros(4), jnp.zeros(()), jnp.zeros(3, dtype=int)], ids=["size", "scalar", "int"]
)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_events_of_the_wrong_size_rank_or_dtype(name, value, direction):
    bijector = zoo.Case(name, 3, False).build()
    with pytest.raises(ValueError, match=f"`{'x' if direction == 'forward' else 'y'}` must"):
        getattr(bijector, direction)(value)


def test_a_traced_mask_and_a_forgotten_context():
    coupling = hk.without_apply_rng(
        hk.transform(lambda: hkf.Coupling(hkf.MLP([4]), mask=jnp.arange(4) < 2))
    )
    with pytest.raises(ValueError, match="`mask`"):
        jax.jit(coupling.init)(jax.random.key(0))
    for name in ("iaf-affine", "elementwise-affine", "coupling-affine"):
        case = zoo.Case(name, 3, True)
        with pytest.raises(ValueError, match="`context`"):
            case.transformed.apply(case.params(), None)


@pytest.mark.parametrize("make", [hkf.flows.iaf, hkf.flows.mean_field, hkf.flows.bnaf])
def test_parameters_of_another_context(make):
    flow, contexts = make(2), [None, jnp.ones((4, 1)), jnp.ones((4, 3))]
    for made_for, given, message in (
        (1, 0, "`context` must be given"),
        (0, 1, "`context` must not be given"),
        (1, 2, "`context` must have size 1"),
    ):
        params = jax.jit(flow.init)(KEY, contexts[made_for])
        with pytest.raises(ValueError, match=message):
            flow.apply(params, contexts[given])


def test_a_callable_made_for_another_context():
    flow, contexts = hkf.flows.realnvp(2), [None, jnp.ones(1), jnp.ones(3)]
    for made_for, given in ((1, 0), (0, 1), (1, 2)):
        params = jax.jit(flow.init)(KEY, contexts[made_for])
        with pytest.raises(ValueError, match="`context` must be of the size"):
            flow.apply(params, contexts[given])


def test_a_traced_order():
    flow = hk.transform(lambda: hkf.IAF(hkf.MADE(2, [4], order=jnp.array([1, 0]))))
    with pytest.raises(ValueError, match="`order` must be known"):
        jax.jit(flow.init)(KEY)


def test_permutation_and_log_prob_check_their_events():
    with pytest.raises(ValueError, match="`x`"):
        hkf.Permutation.reverse(3).forward(jnp.zeros(2))
    q = hkf.FlowDistribution(hkf.standard_normal(2), hkf.Permutation.reverse(2))
    with pytest.raises(ValueError, match="`value`"):
        q.log_prob(jnp.zeros(3))
    flow, contexts = hkf.flows.mean_field(3), jnp.ones((4, 2))
    q = jax.jit(lambda: flow.apply(flow.init(KEY, contexts), contexts))()
    with pytest.raises(ValueError, match=r"`value` .*\(4,\); got \(5,\)"):
        q.log_prob(jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"`y` .*\(4,\); got \(5,\)"):
        hkf.likelihood.negative_log_likelihood(q, jnp.zeros((5, 3)))


def test_base_batch_that_would_share_noise():
    contexts = jnp.ones((4, zoo.CONTEXT_SIZE))
    case = zoo.Case("iaf-affine", 2, True)
    base = distrax.Independent(distrax.Normal(jnp.zeros((1, 2)), 1.0), 1)
    with pytest.raises(ValueError, match="`base`"):
        hkf.FlowDistribution(base, case.transformed.apply(case.params(), contexts))


OBJECTIVES = {
    "negative_elbo": hkf.elbo.negative_elbo,
    "path": functools.partial(hkf.elbo.negative_elbo, estimator="path"),
    "importance_weighted_elbo": hkf.elbo.importance_weighted_elbo,
    "renyi_bound": functools.partial(hkf.elbo.renyi_bound, alpha=0.5, estimator="dreg"),
    "forward_kl": hkf.elbo.forward_kl,
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("q", {"q": distrax.Normal}),
        ("log_density", {"log_density": lambda y: y}),
        ("log_density", {"log_density": lambda y: jnp.sum(y).astype(int)}),
        ("log_density", {"log_density": lambda y: (jnp.sum(y), y)}),
        ("num_samples", {"num_samples": 0}),
        ("chunk_size", {"chunk_size": 0}),
        ("seed", {"seed": 1.5}),
    ],
)
def test_objectives_name_the_argument(name, argument, change):
    settings = {
        "q": hkf.standard_normal(2),
        "log_density": lambda y: -jnp.sum(y**2),
        "seed": 0,
        "num_samples": 2,
        **change,
    }
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        OBJECTIVES[name](**settings)


@pytest.mark.parametrize(
    ("objective", "argument", "value"),
    [
        ("negative_elbo", "estimator", "dreg"),
        ("importance_weighted_elbo", "estimator", "path"),
        ("renyi_bound", "estimator", "path"),
        ("renyi_bound", "alpha", float("inf")),
        ("renyi_bound", "alpha", "1"),
    ],
)
def test_objectives_refuse_estimators_and_orders_they_do_not_know(objective, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        OBJECTIVES[objective](
            hkf.standard_normal(2), jnp.sum, seed=0, num_samples=2, **{argument: value}
        )


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "arviz", None)
    with pytest.raises(ImportError, match=r"hkflows\[diagnostics\]"):
        hkf.diagnostics.pareto_khat(np.zeros(100))
    q = gaussians.gaussian(jnp.zeros(1), jnp.eye(1))
    target = hkf.Target(lambda z: -jnp.sum(z**2), 1)
    report = hkf.diagnostics.diagnose(q, target, seed=0, num_samples=100)
    assert report.khat is None
