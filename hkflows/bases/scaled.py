"""Independent dimensions, each with a location and a scale."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bases.student_t import StudentT
from hkflows.conditioners import parameters
from hkflows.kernels import bounds

Array = jax.Array

MAX_LOG_SCALE = 20.0
LEAST_DEGREES = 0.5
MAX_LOG_FACTOR = 3.0  # of the degrees of freedom beyond these, from where they start


def standard_normal(event_size: int) -> distrax.Distribution:
    """Returns the standard normal distribution on vectors of size `event_size`."""
    event_size = checks.positive_int("event_size", event_size)
    normal = distrax.Normal(jnp.zeros(event_size), jnp.ones(event_size))
    return distrax.Independent(normal, reinterpreted_batch_ndims=1)


def diagonal_normal(event_size: int, *, context: Array | None = None) -> distrax.Distribution:
    """Returns a normal distribution with independent dimensions, which starts as the standard one.

    Args:
        event_size: D.
        context: `[..., C]`; location and log-scale then depend on it linearly, and its leading
            dimensions are the batch of the distribution.
    """
    normal = distrax.Normal(*_location_and_scale("diagonal_normal", event_size, context))
    return distrax.Independent(normal, reinterpreted_batch_ndims=1)


def logistic(event_size: int, *, context: Array | None = None) -> distrax.Distribution:
    """Returns a logistic distribution with independent dimensions, which starts at scale one.

    Args:
        event_size: D.
        context: as for `diagonal_normal`.
    """
    logistic = distrax.Logistic(*_location_and_scale("logistic", event_size, context))
    return distrax.Independent(logistic, reinterpreted_batch_ndims=1)


def student_t(
    event_size: int, *, df: float = 10.0, context: Array | None = None
) -> distrax.Distribution:
    """Returns Student's t distribution with independent dimensions: tails as heavy as it takes.

    Each dimension has a location, a scale and degrees of freedom of its own, all trainable. Maps
    that are affine far away, as most layers are, cannot make heavy tails of a normal base.

    Args:
        event_size: D.
        df: degrees of freedom to start from, above one half. They stay above, where draws are still
            finite in float32, and below some 20 times as many.
        context: as for `diagonal_normal`; the log-degrees of freedom depend on it too.

    Raises:
        ValueError: if `df` is not above one half.

    References:
        Laszkiewicz, Lederer & Fischer (2022), "Marginal tail-adaptive normalizing flows",
        arXiv:2206.10311.
    """
    start = checks.finite_float("df", df)
    if start <= LEAST_DEGREES:
        raise ValueError(f"`df` must be above {LEAST_DEGREES}; got {df}.")
    loc, scale = _location_and_scale("student_t", event_size, context)
    logs = parameters("student_t_df", (event_size,), context)
    factor = jnp.exp(bounds.within(logs, MAX_LOG_FACTOR))
    degrees = LEAST_DEGREES + (start - LEAST_DEGREES) * factor
    return distrax.Independent(StudentT(degrees, loc, scale), reinterpreted_batch_ndims=1)


def _location_and_scale(name: str, event_size: int, context: Array | None) -> tuple[Array, Array]:
    """Fetches locations and scales, which start at zero and one, `[..., D]` each."""
    D = checks.positive_int("event_size", event_size)
    params = parameters(name, (D, 2), context)
    return params[..., 0], jnp.exp(bounds.within(params[..., 1], MAX_LOG_SCALE))
