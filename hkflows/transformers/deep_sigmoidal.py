"""The deep sigmoidal flow as a scalar map: a monotone network."""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.kernels import bounds, sigmoidal
from hkflows.transformers.base import Transformer

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class DeepSigmoidal(Transformer):
    """A monotone network, `y = e x + (1 - e) logit(sum_i w_i sigmoid(a_i x + b_i))`.

    It bends anywhere on the line, where a spline does only within its box. Its parameters are the
    unconstrained weights, slopes and shifts of H sigmoids: `w = softmax(.)`,
    `a = exp(m tanh(. / m))`, and `b_i` is `8 i / H` times its parameter: at all-zero parameters the
    units are alike, and would remain so if they were not moved by unequal steps.

    Forward is a closed form, the inverse numeric, to machine precision and with exact derivatives,
    at the cost of about ten evaluations. Where the inverse is what must be fast, as in a `MAF` that
    scores data, take `hkflows.transformers.Inverted(DeepSigmoidal())`.

    Attributes:
        num_units: H.
        max_log_slope: m, in nats.

    References:
        Huang, Krueger, Lacoste & Courville (2018), "Neural autoregressive flows", section 3.1,
        arXiv:1804.00779; without the term `e x`, `e = 0.001`, which bounds the slope from below.
    """

    num_units: int = 8
    max_log_slope: float = 3.0

    def __post_init__(self) -> None:
        checks.positive_int("num_units", self.num_units)
        checks.positive_float("max_log_slope", self.max_log_slope)

    @property
    def num_params(self) -> int:
        """P = 3 H."""
        return 3 * self.num_units

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the network and the log of its slope at `x`."""
        return sigmoidal.forward(x, self._units(params))

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the numeric inverse of the network and the log of its slope at `y`."""
        return sigmoidal.inverse(y, self._units(params))

    def _units(self, params: Array) -> sigmoidal.Units:
        weights, slopes, shifts = jnp.split(params, 3, axis=-1)
        gains = jnp.linspace(0.0, 8.0, self.num_units + 1, dtype=params.dtype)[1:]
        return sigmoidal.Units(
            log_weights=jax.nn.log_softmax(weights, axis=-1),
            slopes=jnp.exp(bounds.within(slopes, self.max_log_slope)),
            shifts=gains * shifts,
        )
