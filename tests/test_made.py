"""The masks: who depends on whom."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.kernels import degrees


@pytest.mark.parametrize("event_size", [1, 2, 8])
@pytest.mark.parametrize("hidden_sizes", [(), (3,), (16, 16), (40, 40, 40)])
@pytest.mark.parametrize("order", ["natural", "reverse", "random"])
@pytest.mark.parametrize("conditional", [False, True])
def test_jacobian_has_exactly_the_pattern_of_the_order(
    event_size, hidden_sizes, order, conditional
):
    order = np.random.default_rng(2).permutation(event_size) if order == "random" else order
    context = jnp.ones(2) if conditional else None
    made = hk.without_apply_rng(
        hk.transform(
            lambda context: hkf.MADE(
                event_size, hidden_sizes, order=order, activation=jnp.tanh
            ).network(2, context)
        )
    )
    params = zoo.random_params(made, context, scale=1.0)
    u = np.random.default_rng(1).normal(size=event_size).astype(np.float32)

    @jax.jit
    def jacobians(params, context):
        """Of the parameters `[D, P]`, by the event and by the context."""
        evaluate = lambda u, context: made.apply(params, context)(u)  # noqa: E731
        by_context = jax.jacfwd(evaluate, argnums=1)(u, context) if conditional else None
        return jax.jacfwd(evaluate)(u, context), by_context

    by_event, by_context = jacobians(params, context)
    seen = np.abs(by_event).sum(axis=1) > 0  # [D out, D in]

    sequence = degrees.resolve_order(event_size, order)
    allowed = np.zeros((event_size, event_size), dtype=bool)
    for place, dimension in enumerate(sequence):
        allowed[dimension, list(sequence[:place])] = True
    assert not (seen & ~allowed).any(), "no dimension sees itself or a later one"
    if not hidden_sizes or min(hidden_sizes) >= 2 * event_size:
        np.testing.assert_array_equal(seen, allowed)  # and, given the width, sees all earlier ones
    if conditional and (not hidden_sizes or min(hidden_sizes) >= event_size):
        assert (np.abs(by_context).sum(axis=(1, 2)) > 0).all(), "every dimension sees the context"


def test_hidden_degrees_are_spread_evenly():
    np.testing.assert_array_equal(degrees.hidden_degrees(6, 4, False), [1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(degrees.hidden_degrees(8, 4, True), [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(degrees.hidden_degrees(3, 1, False), [0, 0, 0])


def test_residual_adds_the_layer_input():
    """With a zero middle weight the residual network is the one without that layer."""
    made = hk.without_apply_rng(
        hk.transform(lambda: hkf.MADE(3, [12, 12], residual=True).network(1))
    )
    params = zoo.random_params(made)
    params["made"]["w_1"] = jnp.zeros_like(params["made"]["w_1"])
    params["made"]["b_1"] = jnp.zeros_like(params["made"]["b_1"])
    network = made.apply(params)
    u = jnp.asarray([0.3, -1.0, 2.0])
    hidden = jax.nn.relu(u @ network.weights[0] + network.biases[0])
    expected = hidden @ network.weights[2] + network.biases[2]
    np.testing.assert_allclose(network(u)[:, 0], expected, rtol=1e-5)


def test_parameter_names_are_readable_and_stable():
    def build():
        hkf.IAF(hkf.MADE(3, [4, 4]))
        hkf.IAF(hkf.MADE(3, [4], name="second"), context=jnp.ones(2))

    params = hk.transform(build).init(jax.random.key(0))
    assert {name: sorted(weights) for name, weights in params.items()} == {
        "made": ["b_0", "b_1", "b_out", "w_0", "w_1", "w_out"],
        "second": ["b_0", "b_out", "w_0", "w_context", "w_out"],
    }
