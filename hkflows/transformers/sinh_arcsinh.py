"""The sinh-arcsinh map: skewness and tail weight."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.kernels import bounds
from hkflows.transformers.base import Transformer

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class SinhArcsinh(Transformer):
    """The map `y = sinh((arcsinh(x) + e) / d)`, parameters `(r, q)`.

    The skewness `e = m tanh(r / m)` is positive for a longer tail to the right, and the tail weight
    `1 / d = exp(n tanh(q / n))` is above one for tails heavier than those of `x`. With
    `z = arcsinh(x)`,

        log dy/dx = log cosh((z + e) / d) - log cosh(z) - log d.

    Location and scale are not changed: let an `Affine` map do that before or after.

    Attributes:
        max_skewness: m.
        max_log_tail_weight: n; `y` grows like a power `1 / d` of `x`, so a large one overflows.

    References:
        Jones & Pewsey (2009), "Sinh-arcsinh distributions", Biometrika 96(4), equation 2.
    """

    max_skewness: float = 3.0
    max_log_tail_weight: float = 1.0

    def __post_init__(self) -> None:
        checks.positive_float("max_skewness", self.max_skewness)
        checks.positive_float("max_log_tail_weight", self.max_log_tail_weight)

    @property
    def num_params(self) -> int:
        """P = 2."""
        return 2

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `y` and `log dy/dx`."""
        skewness, log_weight = self._skewness_and_log_tail_weight(params)
        before = jnp.arcsinh(x)
        after = (before + skewness) * jnp.exp(log_weight)
        return jnp.sinh(after), log_weight + _log_cosh(after) - _log_cosh(before)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `sinh(d arcsinh(y) - e)` and `log dx/dy`."""
        skewness, log_weight = self._skewness_and_log_tail_weight(params)
        after = jnp.arcsinh(y)
        before = after * jnp.exp(-log_weight) - skewness
        return jnp.sinh(before), _log_cosh(before) - _log_cosh(after) - log_weight

    def _skewness_and_log_tail_weight(self, params: Array) -> tuple[Array, Array]:
        return (
            bounds.within(params[..., 0], self.max_skewness),
            bounds.within(params[..., 1], self.max_log_tail_weight),
        )


def _log_cosh(z: Array) -> Array:
    return jnp.logaddexp(z, -z) - math.log(2.0)
