"""Where a parameter may lie, and the way there from unconstrained vectors."""

import dataclasses
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import bijectors as tfb

from hkflows import checks


@dataclasses.dataclass(frozen=True)
class Support:
    """A set of parameter values: the image of unconstrained arrays under a bijector.

    Attributes:
        bijector: a distrax or TFP bijector, from unconstrained values to the support.
        shape: the shape of the unconstrained values.
    """

    bijector: Any
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for size in self.shape:
            checks.positive_int("shape", size)


def real(*shape: int) -> Support:
    """Returns the support of real arrays of a shape."""
    return Support(tfb.Identity(), shape)


def positive(*shape: int) -> Support:
    """Returns the support of positive arrays of a shape, through the exponential."""
    return Support(tfb.Exp(), shape)


def interval(low: float, high: float, *shape: int) -> Support:
    """Returns the support of arrays within `(low, high)`, through the logistic function."""
    if not low < high:
        raise ValueError(f"`low` must be less than `high`; got {low} and {high}.")
    return Support(tfb.Sigmoid(low=low, high=high), shape)


def unit_interval(*shape: int) -> Support:
    """Returns the support of arrays within (0, 1), through the logistic function."""
    return Support(tfb.Sigmoid(), shape)


def simplex(size: int) -> Support:
    """Returns the support of probability vectors of a size of at least two, by stick breaking.

    Densities are with respect to all but the last component, as that of the Dirichlet.
    """
    if checks.positive_int("size", size) < 2:
        raise ValueError(f"`size` must be at least 2; got {size}.")
    return Support(tfb.IteratedSigmoidCentered(), (size - 1,))


def ordered(size: int) -> Support:
    """Returns the support of ascending vectors of a size."""
    return Support(tfb.Ascending(), (checks.positive_int("size", size),))


def as_support(name: str, value: Any) -> Support:
    """Returns a support, or that of a bijector on scalars, whose shape is that of its settings.

    Args:
        name: what to call the value in an error.
        value: a `Support`, or a distrax or TFP bijector.

    Raises:
        ValueError: if it is neither, or a bijector whose shape is not known.
    """
    if isinstance(value, Support):
        return value
    try:
        bijector = distrax.as_bijector(value)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be a bijector or a support such as `hkflows.supports.real()`; "
            f"got {value!r}."
        ) from error
    if bijector.event_ndims_in != 0:
        raise ValueError(
            f"`{name}` is a bijector on arrays, whose size is not known; "
            "give `hkflows.supports.Support(bijector, shape)` with its unconstrained shape."
        )
    return Support(value, jax.eval_shape(bijector.forward, jnp.zeros(())).shape)
