"""The leaky rectifier: a kink at zero."""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.kernels import bounds
from hkflows.transformers.base import Transformer

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class LeakyReLU(Transformer):
    """The map `y = x` above zero and `y = x exp(s)` below; one parameter `r`.

    The log-slope `s = m tanh(r / m)` is bounded smoothly, as that of `Affine`. The density that the
    map makes jumps at zero. Between linear layers it bends space as a rectifier does in a network.

    Attributes:
        max_log_slope: m, in nats.

    References:
        He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", section 2.1, arXiv:1502.01852.
    """

    max_log_slope: float = 5.0

    def __post_init__(self) -> None:
        checks.positive_float("max_log_slope", self.max_log_slope)

    @property
    def num_params(self) -> int:
        """P = 1."""
        return 1

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `x exp(s)` and `s` below zero, `x` and zero above."""
        return self._scale_below_zero(x, self._log_slope(params))

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `y exp(-s)` and `-s` below zero, `y` and zero above."""
        return self._scale_below_zero(y, -self._log_slope(params))

    def _log_slope(self, params: Array) -> Array:
        return bounds.within(params[..., 0], self.max_log_slope)

    def _scale_below_zero(self, value: Array, log_slope: Array) -> tuple[Array, Array]:
        log_slope = jnp.where(value < 0.0, log_slope, 0.0)
        return value * jnp.exp(log_slope), log_slope
