"""The ready-made flows."""

import copy
import itertools

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from scipy import stats

import hkflows as hkf

PRESETS = {
    "mean_field": hkf.flows.mean_field,
    "gaussian": hkf.flows.gaussian,
    "nice": hkf.flows.nice,
    "realnvp": hkf.flows.realnvp,
    "iaf": hkf.flows.iaf,
    "maf": hkf.flows.maf,
    "nsf": hkf.flows.nsf,
    "nsf_autoregressive": lambda D, **settings: hkf.flows.nsf(D, coupling=False, **settings),
    "planar": hkf.flows.planar,
    "radial": hkf.flows.radial,
    "sylvester": hkf.flows.sylvester,
    "bnaf": hkf.flows.bnaf,
    "bnaf_scoring": lambda D, **settings: hkf.flows.bnaf(D, fast="scoring", **settings),
    "ffjord": hkf.flows.ffjord,
}

every_preset = pytest.mark.parametrize("name", PRESETS)


def small(name, event_size, **more):
    if name in ("mean_field", "gaussian"):
        settings = {}
    elif name in ("planar", "radial", "sylvester"):
        settings = {"num_layers": 2}
    elif name.startswith("bnaf"):
        settings = {"num_layers": 2, "block_sizes": [3]}
    elif name == "ffjord":
        settings = {"hidden_sizes": [8]}
    else:
        settings = {"num_layers": 2, "hidden_sizes": [8]}
    return PRESETS[name](event_size, **{**settings, **more})


@every_preset
def test_starts_as_the_standard_normal_in_one_dimension_too(name):
    flow = small(name, 1)
    y = jnp.asarray([0.7])

    @jax.jit
    def fresh():
        q = flow.apply(flow.init(jax.random.key(0)))
        return q, q.log_prob(y)

    q, log_prob = fresh()
    assert q.batch_shape == ()
    assert q.event_shape == (1,)
    np.testing.assert_allclose(log_prob, hkf.standard_normal(1).log_prob(y), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "event_size"), [*((name, 3) for name in PRESETS), ("realnvp", 1), ("maf", 1)]
)
def test_takes_contexts_of_any_rank_through_a_network_of_its_own(name, event_size):
    flow = small(name, event_size, context_network=lambda context: hkf.MLP([5])(context))
    context = np.random.default_rng(0).normal(size=(2, 1, 2)).astype(np.float32)
    y = np.linspace(-1.0, 1.0, 4 * event_size, dtype=np.float32).reshape(4, event_size)
    params = jax.jit(flow.init)(jax.random.key(0), context)
    assert sum(leaf.shape[0] == 2 for leaf in jax.tree.leaves(params["mlp"])) == 1
    of_context = [key for key in params if "w_context" in params[key]]
    assert all(params[key]["w_context"].shape[0] == 5 for key in of_context), "all see the features"

    score = jax.jit(lambda params, context, y: flow.apply(params, context).log_prob(y))
    expected = stats.norm.logpdf(y).sum(axis=-1)
    np.testing.assert_allclose(score(params, context, y), np.stack([expected] * 2), rtol=1e-5)

    params = zoo.random_params(flow, context)
    batch_of = lambda params: jnp.zeros(flow.apply(params, context).batch_shape)  # noqa: E731
    assert jax.eval_shape(batch_of, params).shape == (2, 1)
    batch = score(params, context, y)
    alone = np.stack([score(params, one[0], y) for one in np.asarray(context)])
    assert np.abs(alone[0] - alone[1]).max() > 1e-4, "the context matters"
    np.testing.assert_allclose(batch, alone, rtol=1e-4, atol=1e-4)


def test_a_context_network_of_widths_is_a_value(tmp_path):
    flow, same = (hkf.flows.mean_field(2, context_network=[5, 4]) for _ in range(2))
    assert flow == same
    params = jax.jit(flow.init)(jax.random.key(0), jnp.ones((3, 2)))
    assert [params["mlp"][f"w_{index}"].shape for index in range(2)] == [(2, 5), (5, 4)]
    fit = hkf.DensityFit(flow, params, np.zeros(1), np.empty(0), -1.0, 2, 0, "done", 1.0)
    fit.save(tmp_path / "fit")
    assert hkf.load_fit(tmp_path / "fit").flow == flow


def test_sizes_may_be_used_up_by_reading_them():
    flow = hkf.flows.iaf(2, hidden_sizes=(width for width in (3, 4)))
    assert flow == hkf.flows.iaf(2, hidden_sizes=[3, 4])
    params = jax.eval_shape(flow.init, jax.random.key(0))
    assert sum(leaf.shape == (3, 4) for leaf in jax.tree.leaves(params)) == 4, "one a layer"


def test_a_context_network_needs_a_context():
    flow = hkf.flows.mean_field(2, context_network=hkf.MLP)
    with pytest.raises(ValueError, match="`context` must"):
        flow.init(jax.random.key(0))


@every_preset
def test_reaches_any_location_and_scale(name):
    """The data end alone carries the flow to N(1e4, 1e-3^2) and to N(0, 1e6^2)."""
    flow = small(name, 2)
    params = flow.init(jax.random.key(0))  # in order, which `jit` does not keep
    log_prob = jax.jit(lambda params, y: flow.apply(params).log_prob(y))
    end = next(key for key in reversed(list(params)) if "b" in params[key] and _is_end(params[key]))
    for loc, scale in ((1e4, 1e-3), (0.0, 1e6)):
        log_scale = 20.0 * np.arctanh(np.log(scale) / 20.0)
        params[end]["b"] = np.tile(np.float32([loc, log_scale]), (2, 1))
        y = np.full(2, loc, np.float32)
        np.testing.assert_allclose(
            log_prob(params, y), -2 * np.log(scale) - np.log(2 * np.pi), atol=1e-2
        )


def _is_end(weights):
    return set(weights) == {"b"} and weights["b"].shape == (2, 2)


@pytest.mark.parametrize("event_size", [2, 3, 6])
@pytest.mark.parametrize("num_layers", [3, 9])
def test_couplings_take_turns(event_size, num_layers):
    """No two in a row change the same dimensions, or they would be one."""
    flow = hkf.flows.nice(event_size, num_layers=num_layers, hidden_sizes=[2])
    params = jax.tree.map(lambda p: np.asarray(p + 1.0), jax.jit(flow.init)(jax.random.key(0)))
    forward = jax.jit(lambda bijector, x: bijector.forward(x))
    changed = []  # the dimensions that each coupling moves, as the base counts them

    def go_through(bijector, names):
        """Returns the names of the dimensions after a bijector, given those before it."""
        match bijector:
            case hkf.Permutation():
                return np.asarray(forward(bijector, names.astype(float))).astype(int)
            case hkf.Coupling():
                y = np.asarray(forward(bijector, np.ones(event_size)))
                changed.append(set(names[y != 1.0]))
            case hkf.Chain():
                for link in bijector.bijectors:
                    names = go_through(link, names)
            case hkf.Repeated():
                for index in range(bijector.num_layers):
                    layer = jax.tree.map(lambda leaf, i=index: leaf[i], bijector.layers)
                    names = go_through(layer, names)
        return names

    bijector = jax.tree.map(np.asarray, jax.jit(flow.apply)(params).bijector)
    go_through(bijector, np.arange(event_size))
    assert len(changed) == num_layers
    for before, after in itertools.pairwise(changed):
        assert before != after
    assert changed[0] | changed[1] == set(range(event_size))


def test_gaussian_has_any_covariance():
    flow = hkf.flows.gaussian(2)
    params = flow.init(jax.random.key(0))
    params["triangular_lower"]["b"] = params["triangular_lower"]["b"].at[1, 0].set(0.75)
    y = flow.apply(params).sample(seed=0, sample_shape=(50_000,))
    # The rows of the matrix, (1, 0) and (0.75, 1) / 1.25, have norm one.
    np.testing.assert_allclose(np.cov(y.T), [[1.0, 0.6], [0.6, 1.0]], atol=0.03)


def test_high_dimension():
    flow = hkf.flows.maf(512, num_layers=1, hidden_sizes=[64])
    q = flow.apply(jax.tree.map(lambda leaf: 0.1 * leaf, zoo.random_params(flow)))
    y, log_prob = jax.jit(lambda q: q.sample_and_log_prob(seed=0, sample_shape=(3,)))(q)
    np.testing.assert_allclose(jax.jit(lambda q, y: q.log_prob(y))(q, y), log_prob, rtol=1e-4)


@pytest.mark.parametrize("name", ["iaf", "realnvp", "planar"])
def test_deep_flows_are_their_layers_one_after_the_other(name):
    """Nine layers, scanned over in turns, against the same layers taken apart."""
    flow = small(name, 3, num_layers=9)
    q = jax.jit(flow.apply)(zoo.random_params(flow))
    x = jax.random.normal(jax.random.key(0), (4, 3))

    def apart(bijector):
        if isinstance(bijector, hkf.Chain):
            return [part for link in bijector.bijectors for part in apart(link)]
        if isinstance(bijector, hkf.Repeated):
            copies = [
                jax.tree.map(lambda leaf, i=i: leaf[i], bijector.layers)
                for i in range(bijector.num_layers)
            ]
            return [part for copy in copies for part in apart(copy)]
        return [bijector]

    layers = apart(q.bijector)
    assert len(layers) >= 10
    y, log_det = jax.jit(q.bijector.forward_and_log_det)(x)
    expected, expected_log_det = jax.jit(hkf.Chain(layers).forward_and_log_det)(x)
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(log_det, expected_log_det, atol=1e-5)
    np.testing.assert_allclose(q.inverse(y), x, atol=1e-3)


def test_distributions_can_be_copied():
    flow = hkf.flows.nsf(3, hidden_sizes=[4])
    q = jax.jit(lambda: flow.apply(flow.init(jax.random.key(0))))()
    jax.tree.map(np.testing.assert_array_equal, copy.deepcopy(q), q)


def test_presets_are_values():
    """Equal to their copies, which share what is compiled, and by any kind of sequence."""
    flow = hkf.flows.nsf(3, hidden_sizes=[4, 4])
    assert copy.deepcopy({"flow": flow})["flow"] == copy.copy(flow) == flow
    assert repr(flow).startswith(f"{flow.name}(event_size=")
    for sizes in ((4, 4), np.asarray([4, 4]), jnp.asarray([4, 4])):
        assert hash(hkf.flows.nsf(3, hidden_sizes=sizes)) == hash(flow)
        assert hkf.flows.nsf(3, hidden_sizes=sizes) == flow
    assert hkf.flows.nsf(3, hidden_sizes=(4, 5)) != flow


def test_a_layer_without_parameters_can_be_repeated():
    build = lambda: hkf.Repeated(lambda context: distrax.Block(distrax.Tanh(), 1), 3)  # noqa: E731
    three = hk.without_apply_rng(hk.transform(build)).apply({})
    x = jnp.asarray([0.3, -1.0])
    y, log_det = three.forward_and_log_det(x)
    np.testing.assert_allclose(y, jnp.tanh(jnp.tanh(jnp.tanh(x))), rtol=1e-5)
    again, back = three.inverse_and_log_det(y)
    np.testing.assert_allclose(again, x, rtol=1e-4)
    np.testing.assert_allclose(log_det, -back, rtol=1e-4)
