"""Supports from bijectors and from distributions."""

import math
from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from hkflows.supports import named
from hkflows.supports.named import Support

# Supports that the shape of a value tells.
_BY_CLASS: tuple[tuple[Any, Callable[..., Support]], ...] = (
    (
        (
            distrax.Normal,  # and LogStddevNormal
            distrax.Laplace,
            distrax.Logistic,
            distrax.Gumbel,
            distrax.MultivariateNormalFromBijector,  # and its subclasses
        ),
        named.real,
    ),
    (distrax.Gamma, named.positive),
    (distrax.Beta, named.unit_interval),
    ((distrax.Dirichlet, tfd.Dirichlet, tfd.RelaxedOneHotCategorical), named.simplex),
    ((distrax.VonMises, tfd.VonMises), named.circle),
)

# Those whose own bijector of TFP is of no use.
_WITHOUT = (
    tfd.Deterministic,
    tfd.VonMisesFisher,  # it reaches only where all coordinates are positive
    tfd.SphericalUniform,
    tfd.PowerSpherical,
    tfd.WishartTriL,  # it reaches only diagonals, of the Cholesky factor, above log 2
    tfd.WishartLinearOperator,
    tfd.LKJ,  # its Jacobian is that of covariance matrices; CholeskyLKJ is fine
    tfd.ExpRelaxedOneHotCategorical,  # its Jacobian is off by that of `tfp_excess`
)

_WAY_OUT = "give `hkflows.supports.Support(bijector, shape)` with its unconstrained shape."


def is_of_numpyro(value: Any) -> bool:
    """Returns whether it looks like a NumPyro constraint or distribution, a pytree and callable."""
    of_others = isinstance(value, distrax.Distribution | tfd.Distribution)
    return hasattr(value, "is_discrete") or (hasattr(value, "log_prob") and not of_others)


def as_support(name: str, value: Any) -> Support:
    """Returns a support, that of a bijector on scalars, or that of a distribution.

    A DISTRIBUTION GIVES ITS SUPPORT AND NOTHING ELSE: its density is not added to any log joint.
    The support of a bijector has the shape of its settings, that of a distribution the shape of its
    draws, batch included.

    Args:
        name: what to call the value in an error.
        value: a `Support`, or a distrax or TFP bijector or continuous distribution.

    Raises:
        ValueError: if it is none of these, a bijector whose shape is not known, or a distribution
            that is discrete or whose support is not known.
    """
    if isinstance(value, Support):
        return value
    if isinstance(value, tfd.Distribution):
        return _of_tfp(name, value)
    if isinstance(value, distrax.Distribution):
        return _of_distrax(name, value)
    refusal = (
        f"`{name}` must be a distrax or TFP bijector or distribution, or a support such as "
        f"`hkflows.supports.real()` (with parentheses); got {value!r}."
    )
    if is_of_numpyro(value):
        raise ValueError(refusal)
    try:
        bijector = distrax.as_bijector(value)
    except TypeError as error:
        raise ValueError(refusal) from error
    if bijector.event_ndims_in != 0:
        raise ValueError(f"`{name}` is a bijector on arrays, whose size is not known; {_WAY_OUT}")
    return Support(value, jax.eval_shape(bijector.forward, jnp.zeros(())).shape)


def _of_tfp(name: str, distribution: tfd.Distribution) -> Support:
    if isinstance(distribution, tfd.JointDistribution):
        raise ValueError(
            f"`{name}` must be the support of one parameter; got {_class(distribution)}. "
            "For a joint distribution there is `hkflows.Target.from_tfp`."
        )
    shape = (*distribution.batch_shape, *distribution.event_shape)
    for classes, support in _BY_CLASS:
        if isinstance(_innermost(distribution), classes):
            return support(*shape)  # TFP's own would cut the circle, and see `tfp_excess`
    bijector = tfp_bijector(name, distribution)
    return Support(bijector, tuple(bijector.inverse_event_shape(shape)))


def tfp_bijector(name: str, distribution: tfd.Distribution) -> tfb.Bijector:
    """Returns TFP's bijector onto the support of a distribution.

    Args:
        name: what to call the distribution in an error.
        distribution: of TFP.

    Raises:
        ValueError: if the distribution is discrete, or TFP has no bijector onto its whole support.
    """
    _refuse_discrete(name, distribution)
    bijector = distribution.experimental_default_event_space_bijector()
    if bijector is None or isinstance(_innermost(distribution), _WITHOUT):
        raise _unknown(name, distribution)
    return bijector


def tfp_excess(distribution: tfd.Distribution) -> float:
    """Returns by how much the log-determinant of TFP's bijector is too large (nats).

    Onto the simplex of K components it measures volumes on the simplex itself, which are `sqrt(K)`
    times those of all components but one, where the densities of a Dirichlet distribution live.
    """
    if not isinstance(_innermost(distribution), tfd.Dirichlet | tfd.RelaxedOneHotCategorical):
        return 0.0
    shape = (*distribution.batch_shape, *distribution.event_shape)
    return math.prod(shape[:-1]) * 0.5 * math.log(shape[-1])


def _innermost(distribution: tfd.Distribution) -> tfd.Distribution:
    while isinstance(distribution, tfd.Independent | tfd.Sample):
        distribution = distribution.distribution
    return distribution


def _of_distrax(name: str, distribution: distrax.Distribution) -> Support:
    if isinstance(distribution, distrax.Joint):
        raise ValueError(
            f"`{name}` must be the support of one parameter; got a distrax.Joint. "
            "Give the pytree of its distributions instead."
        )
    _refuse_discrete(name, distribution)
    shape = distribution.batch_shape + distribution.event_shape
    inner = distribution
    while isinstance(inner, distrax.Independent | distrax.MixtureSameFamily):
        mixture = isinstance(inner, distrax.MixtureSameFamily)
        inner = inner.components_distribution if mixture else inner.distribution
    for classes, support in _BY_CLASS:
        if isinstance(inner, classes):
            return support(*shape)
    while isinstance(distribution, distrax.Independent):
        distribution = distribution.distribution
    if isinstance(distribution, distrax.Uniform | distrax.CategoricalUniform):
        return Support(tfb.Sigmoid(low=distribution.low, high=distribution.high), shape)
    if isinstance(distribution, tfd.Distribution):
        return _of_tfp(name, distribution)
    if isinstance(distribution, distrax.Transformed):
        return _of_transformed(name, distribution)
    raise _unknown(name, distribution)


def _of_transformed(name: str, distribution: distrax.Transformed) -> Support:
    """Returns the support of the base, followed by the bijector."""
    base, last = distribution.distribution, distribution.bijector
    shape = base.batch_shape + base.event_shape
    if shape[: len(shape) - last.event_ndims_in] != distribution.batch_shape:
        raise ValueError(
            f"`{name}` must have a base distribution of its own batch shape, "
            f"{distribution.batch_shape}; got one of {base.batch_shape} that its bijector extends."
        )
    support = as_support(name, base)
    first = distrax.as_bijector(support.bijector)
    ndims = max(first.event_ndims_out, last.event_ndims_in)
    lifted = [
        distrax.Block(last, ndims - last.event_ndims_in),
        distrax.Block(first, ndims - first.event_ndims_out),
    ]
    return Support(distrax.Chain(lifted), support.shape)


def _refuse_discrete(name: str, distribution: Any) -> None:
    discrete = isinstance(distribution, distrax.Multinomial | distrax.Quantized)
    if discrete or not jnp.issubdtype(distribution.dtype, jnp.floating):
        raise ValueError(
            f"`{name}` must be continuous; got the discrete {_class(distribution)}. "
            "Sum or marginalise it out of the log joint."
        )


def _unknown(name: str, distribution: Any) -> ValueError:
    return ValueError(
        f"`{name}` must be a continuous distribution of known support; "
        f"{_class(distribution)} is discrete, or has no usable bijector. In "
        f"`hkflows.Target.from_log_joint`, {_WAY_OUT}"
    )


def _class(value: Any) -> str:
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"
