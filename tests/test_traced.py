"""Any Haiku callable as a conditioner: what Haiku computes, registered as Haiku names it."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.conditioners.traced import trace


def in_a_loop(z):
    layer = hk.Linear(z.size)
    return hk.fori_loop(0, 3, lambda _, h: jnp.tanh(layer(h)), z)


CALLABLES = {
    "module": lambda: hk.nets.MLP([8, 4]),
    "lambda": lambda: lambda z: hk.nets.MLP([8, 4])(z),
    "sequential": lambda: hk.Sequential([hk.Linear(5), jax.nn.gelu, hk.LayerNorm(-1, True, True)]),
    "remat": lambda: hk.remat(lambda z: hk.Linear(4)(z)),
    "loop": lambda: in_a_loop,
    "init_branch": lambda: lambda z: hk.Linear(2)(z) * (0.0 if hk.running_init() else 1.0),
    "closure": lambda: lambda z: hk.Linear(3)(z) + jnp.arange(3.0),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_trace_computes_what_haiku_does(name):
    """Also inside of a module, where names have a prefix; and two traces are equal."""

    class Outer(hk.Module):
        def __call__(self, z):
            return CALLABLES[name]()(z)

        @hk.name_like("__call__")
        def traced(self, z):
            return trace(CALLABLES[name](), 4, None)(z)

    theirs = hk.without_apply_rng(hk.transform(lambda z: Outer()(z)))
    ours = hk.without_apply_rng(hk.transform(lambda z: Outer().traced(z)))
    z = jnp.asarray([0.1, -0.2, 0.3, 2.0])
    params = zoo.random_params(ours, z)
    by_haiku = jax.eval_shape(theirs.init, jax.random.key(0), z)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, by_haiku)
    found, expected = (jax.jit(each.apply)(params, z) for each in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-5)

    build = hk.without_apply_rng(hk.transform(lambda: trace(CALLABLES[name](), 4, None)))
    params = zoo.random_params(build)
    first, second = build.apply(params), jax.jit(build.apply)(params)
    assert jax.tree.structure(first) == jax.tree.structure(second)


def test_programs_that_their_text_does_not_tell_apart_differ():
    def program(factor):
        def conditioner(z):
            shape = jax.ShapeDtypeStruct(z.shape, z.dtype)
            return jax.pure_callback(lambda z: factor * z, shape, z, vmap_method="sequential")

        return hk.transform(lambda: trace(conditioner, 2, None).program).apply({}, None)

    once = program(1.0)
    assert once == once
    assert once != program(5.0)


def with_slope(function, slope):
    """A function whose derivative is said to be another's value."""
    function = jax.custom_jvp(function)
    function.defjvp(lambda primals, tangents: (function(*primals), slope(*primals) * tangents[0]))
    return function


@pytest.mark.parametrize("order", [1, 2])  # of the derivative that is different
@pytest.mark.parametrize("kept", [float, jnp.asarray])  # in the text of its rule, or apart from it
def test_programs_differ_by_what_their_own_derivative_rules_close_over(kept, order):
    def program(factor):
        factor = kept(factor)
        slope = lambda z: factor * jnp.cos(z)  # noqa: E731
        sine = with_slope(jnp.sin, slope)
        if order == 2:
            sine = with_slope(jnp.sin, with_slope(jnp.cos, lambda z: -factor * jnp.sin(z)))
        return hk.transform(lambda: trace(lambda z: sine(z), 2, None).program).apply({}, None)

    assert program(1.0) == program(1.0)
    assert program(1.0) != program(5.0)


def test_a_derivative_rule_may_close_over_what_is_traced():
    @jax.jit
    def slope(factor, z):
        sine = with_slope(jnp.sin, lambda z: factor * jnp.cos(z))
        traced = hk.transform(lambda: trace(lambda z: sine(z), 2, None)).apply({}, None)
        return jax.grad(lambda z: traced(z).sum())(z)

    z = jnp.asarray([0.3, -1.0])
    for factor in (1.0, 5.0):
        np.testing.assert_allclose(slope(factor, z), factor * jnp.cos(z), rtol=1e-6)


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: jax.checkpoint(jax.jit(f))])
def test_programs_around_compiled_functions_differ_by_what_these_close_over(wrap):
    def program(factor):
        weight = jnp.full((2, 3), factor)
        compiled = wrap(lambda z: jnp.tanh(z @ weight))  # which keeps the weight to itself
        build = hk.transform(lambda: trace(lambda z: compiled(z), 2, None).program)
        return build.apply({}, None)

    assert program(1.0) == program(1.0)
    assert program(1.0) != program(5.0)


def test_a_conditioner_with_noise_or_state_is_refused():
    def noisy(z):
        return hk.dropout(hk.next_rng_key(), 0.5, hk.Linear(3)(z))

    def counting(z):
        count = hk.get_state("count", (), init=jnp.zeros)
        hk.set_state("count", count + 1)
        return hk.Linear(3)(z) + count

    for conditioner in (noisy, counting):
        build = hk.transform_with_state(lambda: trace(conditioner, 2, None))  # noqa: B023
        with pytest.raises(ValueError, match="`conditioner` must be deterministic and without"):
            build.init(jax.random.key(0))


def test_parameters_of_a_transform_within_are_refused():
    def stacked(z):
        return hk.layer_stack(2)(hk.Linear(3))(z)

    build = hk.transform(lambda: trace(stacked, 3, None))
    with pytest.raises(ValueError, match=r"transform of its own.*got .*/w"):
        build.init(jax.random.key(0))


def test_a_shared_network_stays_shared():
    def build():
        net = hk.nets.MLP([4])
        mask = np.asarray([True, False])
        return hkf.Chain([hkf.Coupling(net, mask=mask), hkf.Coupling(net, mask=~mask)])

    params = hk.transform(build).init(jax.random.key(0))
    assert set(params) == {"mlp/~/linear_0", "coupling_readout", "coupling_readout_1"}


def doubled(net):
    return lambda z: jnp.sum(hk.vmap(net, split_rng=False)(jnp.stack([z, z])))


TRANSFORMS = {
    "remat": lambda net: lambda z: hk.remat(net)(z),
    "vmap": doubled,
    "grad": lambda net: lambda z: jnp.sum(hk.grad(net)(z)),
    "cond": lambda net: lambda z: hk.cond(z[0] > 0.0, net, net, z),
}


@pytest.mark.parametrize(
    ("transform", "name"),
    [("remat", name) for name in CALLABLES] + [(transform, "module") for transform in TRANSFORMS],
)
def test_a_flow_is_built_within_haikus_own_transforms(transform, name):
    """The parameters are those of the flow on its own, and so is what they give."""

    def net(z):
        bijector = hkf.Coupling(CALLABLES[name](), mask=np.asarray([True, False] * 2))
        return hkf.FlowDistribution(hkf.standard_normal(4), bijector).log_prob(z)

    z = jnp.asarray([0.1, -0.2, 0.3, 2.0])
    alone = hk.without_apply_rng(hk.transform(net))
    within = hk.without_apply_rng(hk.transform(TRANSFORMS[transform](net)))
    params = zoo.random_params(within, z)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, zoo.random_params(alone, z))
    found = jax.jit(within.apply)(params, z)
    value, gradient = jax.jit(jax.value_and_grad(alone.apply, argnums=1))(params, z)
    expected = {"vmap": 2.0 * value, "grad": jnp.sum(gradient)}.get(transform, value)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_a_callable_sees_is_not_rounded_to_what_it_returns():
    """Two numbers that are one in bfloat16, told apart by a network that returns bfloat16."""

    def conditioner(z):
        return jnp.stack([z[0] - 1000.0, jnp.zeros(())]).astype(jnp.bfloat16)

    coupling = hk.without_apply_rng(
        hk.transform(lambda: hkf.Coupling(conditioner, hkf.Additive(), mask=[True, False]))
    )
    params = jax.tree.map(jnp.ones_like, coupling.init(jax.random.key(0)))
    near, far = (coupling.apply(params).forward(jnp.array([z, 0.0])) for z in (1000.0, 1000.5))
    np.testing.assert_allclose(far[1] - near[1], 0.5, rtol=0.01)
