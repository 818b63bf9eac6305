"""The sequential direction: exact values and derivatives, of any order."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.kernels import autoregressive
from hkflows.kernels.masked_mlp import MaskedMLP
from hkflows.transformers import Inverted

SEQUENTIAL = [
    case
    for case in (*zoo.cases(sizes=(1,), names=["iaf-affine"]), *zoo.once(3))
    if case.name.startswith(("iaf", "maf", "linear_iaf", "reverse_iaf"))
    and case.name != "maf-rational_quadratic"  # it takes long, and `iaf-rational_quadratic` is here
]


def generic(bijector, value):
    """The route of a network that is no `MaskedMLP`: the same functions, hidden in a wrapper."""
    inverted = isinstance(bijector, hkf.MAF)
    tau = Inverted(bijector._transformer) if inverted else bijector._transformer
    return autoregressive.sequential(tau, Opaque(bijector._network), value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Opaque:
    """An autoregressive network of which nothing is known but its order."""

    network: MaskedMLP

    @property
    def order(self):
        return self.network.order

    def __call__(self, u):
        return self.network(u)


def reference(bijector, value):
    """The sequential direction by D plain passes, unrolled, differentiated through."""
    network = bijector._network
    tau = bijector._transformer
    solve = tau.inverse if isinstance(bijector, hkf.IAF) else tau.forward
    solved = jnp.zeros_like(value)
    for dimension in network.order:
        candidate, _ = solve(value, network(solved))
        solved = solved.at[..., dimension].set(candidate[..., dimension])
    return solved, jnp.sum(solve(value, network(solved))[1], axis=-1)


def sequential(bijector, value):
    if isinstance(bijector, hkf.IAF):
        return bijector.inverse_and_log_det(value)
    return bijector.forward_and_log_det(value)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", SEQUENTIAL, ids=str)
def test_values_and_derivatives_match_differentiating_through_the_passes(case):
    params, value = case.params(), case.points(3)

    def scalar(direction):
        def evaluate(params, value):
            bijector = case.transformed.apply(params, case.context())
            solved, log_det = direction(bijector, value)
            return jnp.sum(jnp.sin(solved)) + jnp.sum(log_det**2)

        return evaluate

    def everything(direction):
        """Value and gradient; and the derivative of both along a direction."""
        both = jax.value_and_grad(scalar(direction), argnums=(0, 1))
        tangent = (jax.tree.map(jnp.ones_like, params), jnp.ones_like(value))
        return jax.jit(lambda *primals: jax.jvp(both, primals, tangent))(params, value)

    expected = everything(reference)
    routes = (sequential, generic) if case.name.endswith("additive") else (sequential,)
    for route in routes:
        for tolerance, ours, theirs in zip((1e-10, 1e-8), everything(route), expected, strict=True):
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_the_solution_does_not_feel_what_comes_later():
    """An overflow in a late dimension leaves the earlier ones exact."""
    case = zoo.Case("iaf-affine", 4, False)
    bijector = case.build()
    inverse = jax.jit(bijector.inverse)
    far, fine = (inverse(y) for y in (case.points().at[3].set(1e38), case.points()))
    np.testing.assert_allclose(far[:3], fine[:3], rtol=1e-6)


@pytest.mark.parametrize("transformer", [hkf.Affine(), hkf.RationalQuadratic()])
def test_round_trip_in_high_dimension(transformer):
    """float32, D = 256, inputs within [-5, 5], parameters of a trained size."""
    case = hk.without_apply_rng(
        hk.transform(lambda: hkf.IAF(hkf.MADE(256, [300, 300]), transformer))
    )
    bijector = case.apply(zoo.random_params(case, scale=0.3))
    x = jax.random.uniform(jax.random.key(0), (4, 256), minval=-5.0, maxval=5.0)

    @jax.jit
    def there_and_back(bijector, x):
        y, log_det = bijector.forward_and_log_det(x)
        return *bijector.inverse_and_log_det(y), log_det

    back, inverse_log_det, log_det = there_and_back(bijector, x)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-2)


@pytest.mark.parametrize("hidden_sizes", [(3,), (5, 19, 2), ()])
@pytest.mark.parametrize("event_size", [1, 2, 13])
def test_any_widths_under_vmap_and_with_a_batch_of_contexts(hidden_sizes, event_size):
    """Narrower than D, not divisible by it, none; each context mapped over equals the batch."""
    t = hk.without_apply_rng(
        hk.transform(lambda c: hkf.MAF(hkf.MADE(event_size, hidden_sizes), context=c))
    )
    contexts = jax.random.normal(jax.random.key(0), (3, 2))
    params = zoo.random_params(t, contexts)
    x = jax.random.normal(jax.random.key(1), (5, 3, event_size))

    @jax.jit
    def evaluate(params):
        batch = t.apply(params, contexts)
        y = batch.forward(x)
        each = jax.vmap(lambda c, x: t.apply(params, c).forward(x), (0, 1), 1)(contexts, x)
        return y, each, batch.inverse(y)

    y, each, back = evaluate(params)
    np.testing.assert_allclose(each, y, atol=1e-5)
    np.testing.assert_allclose(back, x, atol=1e-4)
