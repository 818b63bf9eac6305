"""Targets from joint distributions of TensorFlow Probability."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import distributions as tfd

from hkflows.supports.conversion import tfp_bijector, tfp_excess
from hkflows.targets import Target
from hkflows.targets.log_joint import unflatten

Array = jax.Array


def target(joint: tfd.JointDistribution, observed: Any) -> Target:
    """Returns the posterior of a joint distribution, given the values of some of its parts.

    The density on unconstrained vectors is the log joint with every normaliser, times the Jacobian
    of TFP's own bijections. Supports may depend on other parts. It is evaluated in the dtypes of
    the joint distribution, float32 where TFP was given plain numbers, and cast to the vector's.

    TFP cuts the circle at pi. For an angle whose posterior lies across, use
    `hkflows.Target.from_log_joint` with `hkflows.supports.circle`.

    Args:
        joint: a `tfd.JointDistribution*`: sequential, named, coroutine, auto-batched or not.
        observed: the observed values by name; or, for parts in sequence, a sequence with `None`
            for those that are latent.

    Returns:
        The target; its `constrain` gives the latent parts: a dictionary by their names or, from a
        sequential distribution, a sequence.

    Raises:
        ValueError: if `joint` is no joint distribution, has one among its parts, or its log density
            is no scalar; if nothing is observed, or nothing latent, or an observation has another
            shape than its part; if a latent part is discrete, or TFP has no usable bijection onto
            its support.

    Example:
        >>> from tensorflow_probability.substrates.jax import distributions as tfd
        >>> import hkflows as hkf
        >>> joint = tfd.JointDistributionNamed(
        ...     {"scale": tfd.HalfNormal(1.0), "y": lambda scale: tfd.Normal(0.0, scale)}
        ... )
        >>> hkf.Target.from_tfp(joint, {"y": 0.3}).names()
        ('scale',)
    """
    if not isinstance(joint, tfd.JointDistribution):
        raise ValueError(f"`joint` must be a TFP joint distribution; got {joint!r}.")
    pinned = _pin(joint, observed)
    if not jax.tree.leaves(pinned.dtype):
        raise ValueError("`observed` must leave at least one part of `joint` latent; it has all.")
    excess = 0.0
    for name, part, value in _parts(joint, observed):
        if isinstance(part, tfd.JointDistribution):
            raise ValueError(
                f"`joint[{name!r}]` must be no joint distribution itself: list its parts instead."
            )
        if value is None:
            tfp_bijector(f"joint[{name!r}]", part)
            excess += tfp_excess(part)
        elif jnp.shape(value) != (shape := (*part.batch_shape, *part.event_shape)):
            raise ValueError(
                f"`observed[{name!r}]` must have shape {shape}, that of this part of `joint`; got "
                f"{jnp.shape(value)}."
            )
    bijector = pinned.experimental_default_event_space_bijector()
    event_shapes, structure = jax.tree.flatten(bijector.inverse_event_shape(pinned.event_shape))
    shapes = [tuple(shape) for shape in event_shapes]

    dtypes = jax.tree.leaves(pinned.dtype)

    def parts(z: Array) -> Any:
        pieces = unflatten(z, shapes)
        typed = [jnp.asarray(piece, to) for piece, to in zip(pieces, dtypes, strict=True)]
        return jax.tree.unflatten(structure, typed)

    def log_density(z: Array) -> Array:
        unconstrained = parts(z)
        log_p = pinned.unnormalized_log_prob(bijector.forward(unconstrained))
        if jnp.shape(log_p) != ():
            raise ValueError(
                f"`joint` must have a scalar log density; got shape {jnp.shape(log_p)}. Make "
                "batches part of the event by `tfd.Independent` or `tfd.Sample`, or take the "
                "joint distribution's `AutoBatched` kind."
            )
        log_det = bijector.forward_log_det_jacobian(unconstrained) - excess
        return jnp.asarray(log_p + log_det, z.dtype)

    def constrain(z: Array) -> Any:
        values = bijector.forward(parts(z))
        return dict(zip(values._fields, values, strict=True)) if _is_named(values) else values

    def unconstrain(parameters: Any) -> Array:
        example = jax.eval_shape(constrain, jnp.zeros(sum(map(math.prod, shapes))))
        expected: Any = jax.tree.structure(example)
        if jax.tree.structure(parameters) != expected:
            raise ValueError(f"`parameters` must be shaped like {example}; got {parameters}.")
        if _is_named(pinned.dtype):
            parameters = type(pinned.dtype)(**parameters)
        values = jax.tree.map(jnp.asarray, parameters, pinned.dtype)
        return jnp.concatenate([*map(jnp.ravel, jax.tree.leaves(bijector.inverse(values)))])

    return Target(log_density, sum(map(math.prod, shapes)), constrain, unconstrain)


def _pin(joint: tfd.JointDistribution, observed: Any) -> Any:
    if not isinstance(observed, Mapping | Sequence) or not len(observed):
        raise ValueError(
            "`observed` must hold the observed parts of `joint`, by name or in sequence; "
            f"got {observed!r}."
        )
    try:
        if isinstance(observed, Mapping):
            return joint.experimental_pin(**observed)
        return joint.experimental_pin(observed)
    except ValueError as error:
        raise ValueError(f"`observed` must hold parts of `joint`: {error}") from error


def _parts(joint: tfd.JointDistribution, observed: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yields for each part its name, or in a sequence its position, distribution and observation.

    The observation of a latent part is `None`.
    """
    parts, _ = joint.sample_distributions(seed=jax.random.key(0))
    if _is_named(observed):
        observed = dict(zip(observed._fields, observed, strict=True))
    if _is_named(parts):
        parts = dict(zip(parts._fields, parts, strict=True))
    named = isinstance(parts, Mapping)
    for position, item in enumerate(parts):
        name, part = (item, parts[item]) if named else (position, item)
        if isinstance(observed, Mapping):
            value = observed.get(name if named else part.name)
        else:
            value = observed[position] if position < len(observed) else None
        yield name, part, value


def _is_named(values: Any) -> bool:
    return hasattr(values, "_fields")
