"""Repeated passes: the result of D of them in fewer, whatever comes on the way."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.kernels import fixed_point, sweep


def solve(step, event_size, *, order=None, batch=()):
    """Returns the solution, compiled, and how many passes it took."""
    passes = []

    def counted(u):
        jax.debug.callback(lambda: passes.append(1))
        return (step(u),)

    start = jnp.zeros((*batch, event_size))
    order = range(event_size) if order is None else order
    (u,) = jax.jit(lambda: fixed_point.solve(counted, (start,), order))()
    jax.effects_barrier()
    return u, len(passes)


@pytest.mark.parametrize("transformer", [hkf.Affine(), hkf.RationalQuadratic()], ids=repr)
def test_few_passes_give_what_all_of_them_do_to_the_last_bit(transformer):
    D = 128
    flow = hk.without_apply_rng(hk.transform(lambda: hkf.IAF(hkf.MADE(D, [D, D]), transformer)))
    bijector = flow.apply(zoo.random_params(flow, scale=0.3))
    y = jax.random.normal(jax.random.key(0), (20, D))

    def step(u):
        return transformer.inverse(y, bijector._network(u))[0]

    u, num_passes = solve(step, D, batch=(20,))
    all_passes = jax.jit(lambda: jax.lax.fori_loop(0, D, lambda _, u: step(u), jnp.zeros_like(y)))
    np.testing.assert_array_equal(u, all_passes())
    assert num_passes < D / 3


def test_as_many_passes_as_dimensions_where_each_decides_the_next():
    u, num_passes = solve(lambda u: jnp.roll(u, 1).at[0].set(0.0) + 1.0, 30)
    np.testing.assert_array_equal(u, 1.0 + np.arange(30))
    assert num_passes == 30


def test_what_overflows_on_the_way_does_no_harm():
    """While the first entry is wrong the second is huge, its image infinite, and 0 * inf NaN."""
    weights = jnp.zeros((3, 3)).at[1, 2].set(1e30).at[0, 1].set(1e38)

    def step(u):
        hidden = (u - jnp.array([1.0, 0.0, 0.0])) @ weights
        return jnp.array([1.0, 0.0, 2.0]) + 1e20 * hidden

    u, _ = solve(step, 3)
    np.testing.assert_array_equal(u, [1.0, 0.0, 2.0])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, 1e30])
def test_what_comes_after_what_has_no_use_is_nan(order, bad):
    """And neither what comes before nor the rows beside it feel it."""
    place = jnp.argsort(jnp.array(order))
    weights = 0.1 * (place[:, None] < place)
    v = jnp.ones((2, 4)).at[1, order[2]].set(bad)
    u, _ = solve(lambda u: v + u @ weights, 4, order=order, batch=(2,))
    fine, _ = solve(lambda u: 1.0 + u @ weights, 4, order=order)
    np.testing.assert_array_equal(u[0], fine)
    np.testing.assert_array_equal(u[1, order[:2]], fine[jnp.array(order[:2])])
    np.testing.assert_allclose(u[1, order[2]], bad)
    assert jnp.isnan(u[1, order[3]])


@pytest.mark.parametrize("event_size", [4, 40])
def test_accelerators_repeat_passes_and_cpus_go_by_degrees(event_size):
    flow = hk.without_apply_rng(hk.transform(lambda: hkf.MAF(hkf.MADE(event_size, [50]))))
    bijector = flow.apply(zoo.random_params(flow))
    x = jnp.zeros((3, event_size))
    traced = jax.jit(lambda bijector, x: bijector.forward(x)).trace(bijector, x)
    loops = {
        platform: traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.while")
        for platform in ("cpu", "cuda")
    }
    assert loops["cuda"] == 1
    assert loops["cpu"] == sweep.num_blocks(event_size)
