"""Student's t distribution with degrees of freedom that can be trained."""

import distrax
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import math as tfm

from hkflows import checks
from hkflows.bases.scaled import location_and_scale
from hkflows.conditioners import parameters
from hkflows.kernels import bounds

Array = jax.Array

LEAST_DEGREES = 0.5
MAX_LOG_FACTOR = 3.0  # of the degrees of freedom beyond these, from where they start


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
    loc, scale = location_and_scale("student_t", event_size, context)
    logs = parameters("student_t_df", (event_size,), context)
    factor = jnp.exp(bounds.within(logs, MAX_LOG_FACTOR))
    degrees = LEAST_DEGREES + (start - LEAST_DEGREES) * factor
    return distrax.Independent(StudentT(degrees, loc, scale), reinterpreted_batch_ndims=1)


class StudentT(distrax.Distribution):
    """Student's t distribution on scalars.

    The draws are `loc + scale z / sqrt(g / df)` with `z` normal and `g` chi-squared with `df`
    degrees of freedom, whose derivative in `df` is that of its distribution function.

    Args:
        df: degrees of freedom, positive, `[...]`.
        loc: `[...]`.
        scale: positive, `[...]`.

    References:
        Figurnov, Mohamed & Mnih (2018), "Implicit reparameterization gradients", arXiv:1805.08498.
    """

    def __init__(self, df: Array, loc: Array, scale: Array):
        super().__init__()
        self._df = df
        self._loc = loc
        self._scale = scale

    @property
    def event_shape(self) -> tuple[int, ...]:
        """`()`."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape to which the arguments broadcast."""
        return jnp.broadcast_shapes(self._df.shape, self._loc.shape, self._scale.shape)

    def log_prob(self, value: Array) -> Array:
        """Returns the log-density (nats) at `value`; both broadcast against `batch_shape`."""
        z = (value - self._loc) / self._scale
        # The difference of two log-gammas cancels for many degrees of freedom; `lbeta` does not.
        log_norm = tfm.lbeta(0.5, 0.5 * self._df) + 0.5 * jnp.log(self._df) + jnp.log(self._scale)
        return -0.5 * (self._df + 1.0) * tfm.log1psquare(z / jnp.sqrt(self._df)) - log_norm

    def _sample_n(self, key: Array, n: int) -> Array:
        dtype = jnp.result_type(self._df, self._loc, self._scale)
        z = jax.random.t(key, self._df.astype(dtype), (n, *self.batch_shape), dtype)
        return self._loc + self._scale * z
