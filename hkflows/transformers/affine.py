"""The additive and the affine scalar map."""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.kernels import bounds
from hkflows.transformers.base import Transformer

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Additive(Transformer):
    """The shift `y = x + a`, `log dy/dx = 0`; one parameter `a`.

    References:
        Dinh, Krueger & Bengio (2015), "NICE: non-linear independent components estimation",
        section 3.2, arXiv:1410.8516.
    """

    @property
    def num_params(self) -> int:
        """P = 1."""
        return 1

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `x + a` and zeros."""
        y = x + params[..., 0]
        return y, jnp.zeros_like(y)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `y - a` and zeros."""
        x = y - params[..., 0]
        return x, jnp.zeros_like(x)


@dataclasses.dataclass(frozen=True)
class Affine(Transformer):
    """The affine map `y = x exp(s) + a`, `log dy/dx = s`; parameters `(a, r)`.

    The log-scale is bounded smoothly: `s = m tanh(r / m)`, which is `r` near zero and stays within
    `(-m, m)`, so that no parameter can make the scale overflow.

    Attributes:
        max_log_scale: m, in nats.

    References:
        Dinh, Sohl-Dickstein & Bengio (2017), "Density estimation using Real NVP", equation 7 and
        section 4.1, arXiv:1605.08803.
    """

    max_log_scale: float = 5.0

    def __post_init__(self) -> None:
        checks.positive_float("max_log_scale", self.max_log_scale)

    @property
    def num_params(self) -> int:
        """P = 2."""
        return 2

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `x exp(s) + a` and `s`."""
        y = x * jnp.exp(self._log_scale(params)) + params[..., 0]
        return y, jnp.broadcast_to(self._log_scale(params), y.shape)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `(y - a) exp(-s)` and `-s`."""
        x = (y - params[..., 0]) * jnp.exp(-self._log_scale(params))
        return x, jnp.broadcast_to(-self._log_scale(params), x.shape)

    def params_of(self, shift: Array, log_scale: Array) -> Array:
        """Returns the parameters `(a, r)`, `[..., 2]`, of the map with a shift and a log-scale.

        A log-scale beyond 0.999 of the bound is taken for that.

        Args:
            shift: `[...]`, a.
            log_scale: `[...]`, s.
        """
        inside = jnp.clip(log_scale / self.max_log_scale, -0.999, 0.999)
        return jnp.stack([shift, self.max_log_scale * jnp.arctanh(inside)], axis=-1)

    def _log_scale(self, params: Array) -> Array:
        return bounds.within(params[..., 1], self.max_log_scale)


# The shift and scale at the data end of a flow: wide enough for any unit of measurement.
END = Affine(max_log_scale=20.0)
