"""Where a parameter may lie, and the way there from unconstrained vectors."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates.jax import bijectors as tfb

from hkflows import checks
from hkflows.supports.angle import Angle
from hkflows.supports.softmax import Softmax


@dataclasses.dataclass(frozen=True)
class Support:
    """A set of parameter values: the image of unconstrained arrays under a bijector.

    Attributes:
        bijector: a distrax or TFP bijector, from unconstrained values to the support. Only
            `Target.unconstrain` asks for its inverse.
        shape: the shape of the unconstrained values.
    """

    bijector: Any
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.bijector) and not hasattr(self.bijector, "forward"):
            raise ValueError(
                f"`bijector` must be a distrax or TFP bijector; got {self.bijector!r}."
            )
        object.__setattr__(self, "shape", checks.positive_ints("shape", self.shape))


def real(*shape: int) -> Support:
    """Returns the support of real arrays of a shape."""
    return Support(tfb.Identity(), shape)


def positive(*shape: int) -> Support:
    """Returns the support of positive arrays of a shape, through the exponential."""
    return Support(tfb.Exp(), shape)


def greater_than(low: float, *shape: int) -> Support:
    """Returns the support of arrays above `low`, through the exponential."""
    with np.errstate(over="ignore"):
        low_end = jnp.asarray(np.asarray(checks.finite_float("low", low), jnp.result_type(float)))
    if not jnp.isfinite(low_end):
        raise ValueError(f"`low` must be a number that {low_end.dtype} can hold; got {low}.")
    return Support(tfb.Chain([tfb.Shift(low_end), tfb.Exp()]), shape)


def interval(low: float, high: float, *shape: int) -> Support:
    """Returns the support of arrays within `(low, high)`, through the logistic function."""
    dtype = jnp.result_type(float)  # TFP would round a `float` to float32
    ends = checks.finite_float("low", low), checks.finite_float("high", high)
    low_end, high_end = (np.asarray(end, dtype) for end in ends)
    with np.errstate(over="ignore"):
        width = high_end - low_end
    if not np.finfo(dtype).tiny <= width < np.inf:
        raise ValueError(
            f"`low` must be less than `high`, and their distance one that {dtype} can hold; got "
            f"{low} and {high}."
        )
    return Support(tfb.Sigmoid(low=jnp.asarray(low_end), high=jnp.asarray(high_end)), shape)


def unit_interval(*shape: int) -> Support:
    """Returns the support of arrays within (0, 1), through the logistic function."""
    return Support(tfb.Sigmoid(), shape)


def simplex(*shape: int) -> Support:
    """Returns the support of probability vectors, through the softmax.

    Densities are with respect to all but the last component, as that of the Dirichlet.

    Args:
        *shape: that of the arrays, the size of the vectors, at least two, last.
    """
    *batch, size = _vectors(shape)
    if size < 2:
        raise ValueError(f"`shape` must end with a size of at least 2; got {shape}.")
    return Support(Softmax(), (*batch, size - 1))


def ordered(*shape: int) -> Support:
    """Returns the support of ascending vectors.

    Args:
        *shape: that of the arrays, the size of the vectors last.
    """
    return Support(tfb.Ascending(), _vectors(shape))


def correlation_cholesky(size: int) -> Support:
    """Returns the support of lower Cholesky factors of correlation matrices, at least 2 by 2.

    The factors are `[size, size]` with rows of norm one and a positive diagonal. Densities are with
    respect to the entries strictly below the diagonal, as those of `tfd.CholeskyLKJ` and of
    NumPyro's `LKJCholesky`.
    """
    if checks.positive_int("size", size) < 2:
        raise ValueError(f"`size` must be at least 2; got {size}.")
    return Support(tfb.CorrelationCholesky(), (size * (size - 1) // 2,))


def covariance_cholesky(size: int) -> Support:
    """Returns the support of lower triangular matrices with a positive diagonal, `[size, size]`.

    The diagonal is positive through the exponential. Densities are with respect to the entries on
    and below the diagonal.
    """
    checks.positive_int("size", size)
    # By default this bijector would shift the diagonal away from zero.
    bijector = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
    return Support(bijector, (size * (size + 1) // 2,))


def circle(*shape: int) -> Support:
    """Returns the support of angles in (-pi, pi], two unconstrained numbers for each.

    The circle is not cut anywhere: a posterior may lie across pi. See
    `hkflows.supports.angle.Angle`.
    """
    return Support(Angle(), (*shape, 2))


def _vectors(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape if it is one of vectors, or raises `ValueError`."""
    if not shape:
        raise ValueError("`shape` must end with the size of the vectors; got none.")
    return checks.positive_ints("shape", shape)
