"""Properties that hold for every bijector of the zoo."""

import copy

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.bijectors.result import result_shape

ALONE = sorted(zoo.ALONE.keys() - zoo.CONTINUOUS.keys())  # `test_ffjord.py` has the continuous one
# A single dimension needs no context, and no second precision; nor do, one by one in single
# precision, those that are links of a chain.
every_case = pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, id=f"{dtype}-{case}")
        for dtype, cases in {
            "float32": [
                *(case for case in zoo.cases(sizes=(1,)) if not case.conditional),
                *zoo.once(5),
            ],
            "float64": [*zoo.once(5), *zoo.once(5, ALONE)],
        }.items()
        for case in cases
    ],
    indirect=["dtype"],
)
# With a context where there can be one: it takes part in all that a plain bijector does.
once = pytest.mark.parametrize("case", zoo.once(3), ids=str)


@every_case
def test_inverse_and_log_det_are_those_of_the_jacobian(case, dtype):
    """Round trip, and both log-dets against `slogdet` of the autodiff Jacobian, at one batch."""
    x = case.points(6)

    @jax.jit
    def evaluate(params, x):
        bijector = case.transformed.apply(params, case.context())
        y, log_det = bijector.forward_and_log_det(x)
        back, inverse_log_det = bijector.inverse_and_log_det(y)
        if case.name.startswith("maf"):  # differentiate the direction that is no loop
            jacobian = jnp.linalg.inv(jax.vmap(jax.jacfwd(bijector.inverse))(y))
        else:
            jacobian = jax.vmap(jax.jacfwd(bijector.forward))(x)
        return y, log_det, back, inverse_log_det, jnp.linalg.slogdet(jacobian)[1]

    y, log_det, back, inverse_log_det, expected = evaluate(case.params(), x)
    atol = 1e-9 if dtype == "float64" else 2e-4
    assert y.dtype == x.dtype == jnp.dtype(dtype)
    assert log_det.shape == inverse_log_det.shape == (6,)
    assert np.abs(y - x).max() > 1e-3 or case.event_size == 1, "the map is not the identity"
    rtol = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(back, x, atol=atol)
    np.testing.assert_allclose(log_det, expected, atol=atol, rtol=rtol)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=atol, rtol=rtol)


@once
def test_batches_transformations_and_rebuilds_agree(case):
    """Batch = vmap, a pytree round trip, copies, and one trace for all of these."""
    bijector, rebuilt = case.build(), case.build()
    x = case.points(2, 3)
    traces = []

    @jax.jit
    def forward(bijector, x):
        traces.append(None)
        each = jax.vmap(jax.vmap(bijector.forward_and_log_det))(x)
        return bijector.forward_and_log_det(x), each

    (y, log_det), each = forward(bijector, x)
    forward(rebuilt, x)
    forward(jax.tree.unflatten(*reversed(jax.tree.flatten(bijector))), x)
    foreign = case.name == "foreign_chain"  # TFP's bijectors cannot be copied
    for equal in (rebuilt, bijector if foreign else copy.deepcopy(bijector)):
        assert jax.tree.structure(equal) == jax.tree.structure(bijector)
    assert len(traces) == 1
    assert y.shape == x.shape
    assert log_det.shape == x.shape[:-1]

    np.testing.assert_allclose(each[0], y, atol=1e-5)
    np.testing.assert_allclose(each[1], log_det, atol=1e-5)


def test_eager_calls_are_the_compiled_ones():
    case = zoo.Case("repeated", 3, False)
    bijector, x = case.build(), case.points(2)
    for direction in ("forward_and_log_det", "inverse_and_log_det"):
        call = getattr(bijector, direction)
        for eager, compiled in zip(call(x), jax.jit(call)(x), strict=True):
            np.testing.assert_allclose(eager, compiled, atol=1e-5)


@once
def test_gradients_are_finite_in_both_directions(case):
    params, x = case.params(), case.points(3)
    # Far outside of every box; but TFP's softplus inverts positive values only.
    x = jnp.abs(x) + 1.0 if case.name == "foreign_chain" else x.at[0].mul(1e6)

    @jax.jit
    def gradients(params, x):
        def total(params, x, direction):
            bijector = case.transformed.apply(params, case.context())
            return sum(jnp.sum(term) for term in getattr(bijector, direction)(x))

        return [
            jax.grad(total, argnums=(0, 1))(params, x, direction)
            for direction in ("forward_and_log_det", "inverse_and_log_det")
        ]

    for gradient in jax.tree.leaves(gradients(params, x)):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "case", [case for case in zoo.cases(sizes=(3,)) if case.conditional], ids=str
)
def test_context_matters_and_batches(case):
    """Contexts change the map; a batch of them is what each gives alone."""
    params = case.params()
    contexts = jnp.stack([case.context(seed=3), case.context(seed=4)])
    x = case.points()

    @jax.jit
    def forward(params, context):
        return case.transformed.apply(params, context).forward_and_log_det(x)

    alone = [forward(params, context) for context in contexts]
    batch = forward(params, contexts)
    assert np.abs(alone[0][0] - alone[1][0]).max() > 1e-3
    np.testing.assert_allclose(batch[0], jnp.stack([y for y, _ in alone]), atol=1e-5)
    np.testing.assert_allclose(batch[1], jnp.stack([log_det for _, log_det in alone]), atol=1e-5)


TRAINED = [
    case
    for case in zoo.once(2)
    if case.name not in ("permutation", "chain", "foreign_chain")  # these have links that are not
]


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_a_fresh_flow_is_the_identity(case):
    x = case.points(4)

    @jax.jit
    def forward():
        params = case.transformed.init(jax.random.key(0), case.context())
        return case.transformed.apply(params, case.context()).forward(x)

    np.testing.assert_allclose(forward(), x, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["iaf-affine", "coupling-affine", "triangular", "chain", "linear", "residual", "bnaf"],
)
def test_empty_batch_and_low_precision_input(name):
    bijector = zoo.Case(name, 3, False).build()
    empty, low = jnp.zeros((0, 3)), jnp.ones(3, jnp.bfloat16)
    for direction in ("forward_and_log_det", "inverse_and_log_det"):
        call = getattr(bijector, direction)
        (y, log_det), (of_low, _) = jax.jit(lambda call=call: (call(empty), call(low)))()
        assert y.shape == (0, 3)
        assert log_det.shape == (0,)
        assert of_low.dtype == jnp.float32


def test_chain_applies_in_list_order():
    chain = hkf.Chain([hkf.Permutation([1, 2, 0]), distrax.ScalarAffine(0.0, jnp.arange(1.0, 4.0))])
    np.testing.assert_allclose(chain.forward(jnp.asarray([1.0, 10.0, 100.0])), [10.0, 200.0, 3.0])
    assert [type(link) for link in chain.bijectors] == [hkf.Permutation, distrax.Block]


def test_permutation_definition_and_constructors():
    x = jnp.asarray([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(hkf.Permutation([2, 0, 1]).forward(x), [2.0, 0.0, 1.0])
    np.testing.assert_array_equal(hkf.Permutation.reverse(3).forward(x), [2.0, 1.0, 0.0])
    first, second = (hkf.Permutation.random(20, seed=5) for _ in range(2))
    points = jnp.arange(20.0)
    np.testing.assert_array_equal(first.forward(points), second.forward(points))


def test_stacked_layers_run_in_a_scan():
    """A built bijector is a pytree of arrays: layers can be stacked and scanned over."""
    case = zoo.Case("iaf-affine", 3, False)
    layers = [case.build(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    x = case.points(4)
    scanned, _ = jax.lax.scan(lambda x, layer: (layer.forward(x), None), x, stacked)
    np.testing.assert_allclose(scanned, hkf.Chain(layers).forward(x), atol=1e-5)


def test_inside_distrax_transformed():
    bijector = zoo.Case("coupling-rational_quadratic", 2, False).build()
    theirs = distrax.Transformed(hkf.standard_normal(2), bijector)
    ours = hkf.FlowDistribution(hkf.standard_normal(2), bijector)
    draw = jax.jit(lambda q: q.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(5,)))
    y, log_prob = draw(theirs)
    np.testing.assert_allclose(jax.jit(ours.log_prob)(y), log_prob, atol=1e-4)


@pytest.mark.usefixtures("x64")
@once
def test_results_and_log_dets_have_the_dtype_of_the_event(case):
    """And the shape and dtype that the bijector says that its results have."""
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), case.params())
    contexts = None if case.context() is None else jnp.stack([case.context()] * 2)
    said = []

    def evaluate(x):
        bijector = case.transformed.apply(params, contexts)
        said.append(result_shape(bijector, jax.ShapeDtypeStruct(x.shape, x.dtype)))
        return bijector.forward_and_log_det(x), bijector.inverse_and_log_det(x)

    for y, log_det in jax.eval_shape(evaluate, case.points(3, 1)):
        assert y.dtype == log_det.dtype == jnp.float64
        assert (y.shape, y.dtype) == (said[0].shape, said[0].dtype)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name", ["iaf-affine", "maf-rational_quadratic", "coupling-affine", "chain", "sylvester"]
)
def test_weights_of_lower_precision_than_the_event(name):
    """Trained in float32, scored in float64, in both directions and along the path."""
    case = zoo.Case(name, 3, False)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), case.params())
    x = case.points(2)

    @jax.jit
    def evaluate(params):
        bijector = case.transformed.apply(params, None)
        loss, _ = hkf.elbo.negative_elbo(
            hkf.FlowDistribution(hkf.standard_normal(3), bijector),
            lambda y: -jnp.sum(y**2),
            seed=0,
            num_samples=2,
            estimator="path",
        )
        y = bijector.forward(x)
        return y, bijector.inverse(y), loss

    y, back, loss = evaluate(params)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(back, x, atol=1e-5)
    assert np.isfinite(loss)


@pytest.mark.parametrize("name", ["chain", "linear", "residual"])
def test_contexts_of_any_rank(name):
    """A batch of contexts broadcasts against one of events, sizes of one included."""
    case = zoo.Case(name, 3, True)
    contexts = jax.random.normal(jax.random.key(0), (2, 1, zoo.CONTEXT_SIZE))
    params, x = case.params(), case.points(5, 1, 4)

    @jax.jit
    def evaluate(params, context, x):
        bijector = case.transformed.apply(params, context)
        y = bijector.forward(x)
        return y, bijector.inverse(y)

    y, back = evaluate(params, contexts, x)
    alone = [evaluate(params, context[0], x[:, 0])[0] for context in contexts]
    np.testing.assert_allclose(y, jnp.stack(alone, axis=1), atol=1e-5)
    np.testing.assert_allclose(back, jnp.broadcast_to(x, y.shape), atol=1e-4)


def low_rank(rng, shift):
    scale, U = rng.uniform(0.1, 3.0, 5), rng.normal(size=(5, 2))
    return hkf.LowRankAffine(shift, scale, U), scale[:, None] * (np.eye(5) + U @ U.T)


def full_rank(rng, shift):
    matrix = rng.normal(size=(5, 5))
    return hkf.FullRankAffine(shift, matrix), np.tril(matrix)


@pytest.mark.parametrize("make", [low_rank, full_rank])
def test_affine_maps_from_arrays(make, x64):
    """Round trip and log-det against the matrix, written out; and a batch of points."""
    rng = np.random.default_rng(0)
    shift = rng.normal(size=5)
    bijector, matrix = make(rng, shift)
    x = jnp.asarray(rng.normal(size=(3, 2, 5)))
    y, log_det = jax.jit(bijector.forward_and_log_det)(x)
    np.testing.assert_allclose(y, shift + x @ matrix.T, atol=1e-12)
    np.testing.assert_allclose(log_det, np.full((3, 2), np.linalg.slogdet(matrix)[1]), atol=1e-12)
    back, inverse_log_det = jax.jit(bijector.inverse_and_log_det)(y)
    np.testing.assert_allclose(back, x, atol=1e-12)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-12)
