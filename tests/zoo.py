"""Every bijector with every transformer, by name: the property tests run over all of them."""

import dataclasses

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_probability.substrates.jax.bijectors as tfb

import hkflows as hkf

EVERYWHERE = {
    "additive": hkf.Additive(),
    "affine": hkf.Affine(),
    "rational_quadratic": hkf.RationalQuadratic(num_bins=5, bound=3.0),
}

# In the zoo as one chain, the circle's by itself, and each alone where that matters.
SOMEWHERE = {
    "linear_rational": hkf.LinearRational(num_bins=4, bound=3.0),
    "piecewise_linear": hkf.PiecewiseLinear(num_bins=4, bound=3.0),
    "sinh_arcsinh": hkf.SinhArcsinh(),
    "leaky_relu": hkf.LeakyReLU(),
    "deep_sigmoidal": hkf.DeepSigmoidal(num_units=3),
    "circular": hkf.CircularRationalQuadratic(num_bins=4),
}

TRANSFORMERS = EVERYWHERE | SOMEWHERE

CONTEXT_SIZE = 3


def half(event_size, context):
    """A mask that sees the first half; all of a single dimension is transformed."""
    if event_size == 1 and context is None:
        return None
    return np.arange(event_size) < event_size // 2


def coupling(net, tau, event_size, context):
    mask = half(event_size, context)
    if mask is None:  # a coupling of one dimension has nothing to see
        return hkf.Elementwise(1, tau)
    return hkf.Coupling(net(), tau, mask=mask, context=context)


def running_sums(x, context):
    """An autoregressive network that is no MADE: functions of sums over the dimensions before."""
    before = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.tanh(x))[:-1]])
    params = hk.Linear(2, w_init=jnp.zeros)(before[:, None])
    return params + hk.Linear(2, w_init=jnp.zeros)(context) if context.size else params


def wrap(angle):
    return (angle + jnp.pi) % (2.0 * jnp.pi) - jnp.pi


def odd_order(event_size):
    return np.random.default_rng(0).permutation(event_size)


ARRANGEMENTS = {
    "iaf": lambda tau, D, c: hkf.IAF(hkf.MADE(D, [16, 11]), tau, context=c),
    "maf": lambda tau, D, c: hkf.MAF(
        hkf.MADE(D, [7, 7, 7], order=odd_order(D), residual=True, activation=jax.nn.silu),
        tau,
        context=c,
    ),
    "coupling": lambda tau, D, c: coupling(lambda: hkf.MLP([16]), tau, D, c),
    "elementwise": lambda tau, D, c: hkf.Elementwise(D, tau, context=c),
}

# In the zoo as one chain each, which compiles quickly, and each alone where that matters.
LINEAR = {
    "lu": lambda D, c: hkf.LUAffine(D, context=c),
    "householder": lambda D, c: hkf.Householder(D, context=c),
    "givens": lambda D, c: hkf.GivensRotations(D, context=c),
    "rotation": lambda D, c: hkf.Rotation(D, context=c),
    "act_norm": lambda D, c: hkf.ActNorm(D, context=c),
}

RESIDUAL = {
    "planar": lambda D, c: hkf.Planar(D, context=c),
    "radial": lambda D, c: hkf.Radial(D, context=c),
    "sylvester": lambda D, c: hkf.Sylvester(D, rank=max(1, D - 1), context=c),
}


def ffjord(event_size, context):
    """A continuous flow, its tolerance close to what its precision allows."""
    network = hkf.MLP([8, 5], activation=jnp.tanh)
    tolerance = 1e-11 if jnp.zeros(()).dtype == jnp.float64 else 1e-6
    return hkf.FFJORD(event_size, network, context=context, rtol=tolerance, atol=tolerance)


# Alone: its programs take long to compile, and most of its tests are in `test_ffjord.py`.
CONTINUOUS = {"ffjord": ffjord}

ALONE = {
    **LINEAR,
    **RESIDUAL,
    **CONTINUOUS,
    **{
        f"elementwise-{kind}": lambda D, c, tau=tau: hkf.Elementwise(D, tau, context=c)
        for kind, tau in SOMEWHERE.items()
        if kind != "circular"
    },
}

MIXERS = {
    "own_network": lambda D, c: hkf.IAF(
        hkf.Autoregressive(lambda z: running_sums(z[:D], z[D:]), D), context=c
    ),
    "coupling_haiku": lambda D, c: coupling(
        lambda: lambda z: jnp.tanh(hk.nets.MLP([8, 4])(z)), hkf.Affine(), D, c
    ),
    "permutation": lambda D, c: hkf.Permutation(np.roll(np.arange(D), 1)),
    "triangular": lambda D, c: hkf.TriangularAffine(D, context=c),
    "linear": lambda D, c: hkf.Chain([build(D, c) for build in LINEAR.values()]),
    "residual": lambda D, c: hkf.Chain([build(D, c) for build in RESIDUAL.values()]),
    "bnaf": lambda D, c: hkf.BNAF(D, [3, 2], context=c),
    "scalar_maps": lambda D, c: hkf.Chain(
        [
            hkf.Elementwise(D, SOMEWHERE["linear_rational"]),
            hkf.Elementwise(D, SOMEWHERE["piecewise_linear"]),
            hkf.Elementwise(D, SOMEWHERE["sinh_arcsinh"]),
            hkf.Elementwise(D, SOMEWHERE["leaky_relu"]),
            hkf.IAF(hkf.MADE(D, [8]), SOMEWHERE["deep_sigmoidal"]),
        ]
    ),
    "circular": lambda D, c: coupling(lambda: hkf.MLP([16]), SOMEWHERE["circular"], D, c),
    "elementwise-rational_quadratic": lambda D, c: hkf.RQS(D, num_bins=4, bound=2.5, context=c),
    "linear_iaf": lambda D, c: hkf.IAF(hkf.MADE(D, []), context=c),
    "reverse_iaf": lambda D, c: hkf.IAF(hkf.MADE(D, [9], order="reverse"), context=c),
    "chain": lambda D, c: hkf.Chain(
        [
            hkf.IAF(hkf.MADE(D, [16]), context=c),
            hkf.Permutation.reverse(D),
            hkf.MAF(hkf.MADE(D, [16]), hkf.RationalQuadratic(num_bins=4), context=c),
            hkf.Elementwise(D, hkf.Affine()),
        ]
    ),
    "repeated": lambda D, c: hkf.Repeated(
        lambda c: hkf.IAF(hkf.MADE(D, [8], order=odd_order(D)), context=c),
        3,
        context=c,
    ),
    "foreign_chain": lambda D, c: hkf.Chain(
        [
            distrax.Block(distrax.ScalarAffine(jnp.ones(D), 2.0 * jnp.ones(D)), 1),
            hkf.IAF(hkf.MADE(D, [8]), context=c),
            tfb.Softplus(),
            tfb.Shift(jnp.asarray(0.5)),
        ]
    ),
    "distrax_chain": lambda D, c: distrax.Chain(
        [
            hkf.IAF(hkf.MADE(D, [8]), context=c),
            distrax.Inverse(hkf.MAF(hkf.MADE(D, [8]), context=c)),
        ]
    ),
}

NAMES = {
    **{
        f"{name}-{kind}": (lambda D, c, build=build, tau=tau: build(tau, D, c))
        for name, build in ARRANGEMENTS.items()
        for kind, tau in EVERYWHERE.items()
    },
    **MIXERS,
}

UNCONDITIONAL = {"permutation", "scalar_maps", "circular"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A bijector of the zoo at random parameters."""

    name: str
    event_size: int
    conditional: bool

    def __str__(self):
        return f"{self.name}-D{self.event_size}-{'context' if self.conditional else 'plain'}"

    @property
    def transformed(self):
        build = {**NAMES, **ALONE}[self.name]
        return hk.without_apply_rng(hk.transform(lambda c: build(self.event_size, c)))

    def context(self, seed=3):
        return (
            jax.random.normal(jax.random.key(seed), (CONTEXT_SIZE,)) if self.conditional else None
        )

    def params(self, seed=0, scale=0.5):
        return random_params(self.transformed, self.context(), seed=seed, scale=scale)

    def build(self, seed=0, scale=0.5) -> distrax.Bijector:
        return jax.jit(self.transformed.apply)(self.params(seed, scale), self.context())

    def points(self, *shape, seed=7):
        points = jax.random.normal(jax.random.key(seed), (*shape, self.event_size))
        return wrap(points) if self.name == "circular" else points


def random_params(transformed, *args, seed=0, scale=0.5):
    """Draws every parameter from a normal, scaled to the fan-in, so that no layer is the identity.

    Only shapes are asked of Haiku, and NumPy draws: nothing has to be compiled.
    """
    rng = np.random.default_rng(seed)

    def draw(shape):
        spread = scale / max(1, shape.shape[0]) ** 0.5
        return jnp.asarray(spread * rng.standard_normal(shape.shape), shape.dtype)

    return jax.tree.map(draw, jax.eval_shape(transformed.init, jax.random.key(0), *args))


def cases(*, sizes, names=NAMES):
    return [
        Case(name, size, conditional)
        for name in names
        for size in sizes
        for conditional in ((False,) if name in UNCONDITIONAL else (False, True))
    ]


def once(size, names=NAMES):
    """Returns a case for every name, with a context where it takes one."""
    every = cases(sizes=(size,), names=names)
    return [case for case in every if case.conditional or case.name in UNCONDITIONAL]
