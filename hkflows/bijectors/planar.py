"""The planar flow: a step across a plane."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters, scattered
from hkflows.kernels import bounds, tanh_steps

Array = jax.Array


class Planar(distrax.Bijector):
    """Moves an event along `u`, one way before a plane and the other way behind it.

    Forward: `y = x + u tanh(w^T x + b)`, `log|det dy/dx| = log(1 + w^T u tanh'(w^T x + b))`, a few
    products of D.

    Inverse: `w^T x` is the root of an increasing function of one variable.

    What is trained in place of `u` is `u'` with `u = u' + (m(w^T u') - w^T u') w / |w|^2`, where
    `m(a) > -1` is `a` unless that is negative: so `w^T u > -1`, and the map increases across the
    plane. `u'` starts at zero, the identity; `w` starts anywhere.

    Args:
        event_size: D.
        context: `[..., C]`; `u'`, `w` and `b` then depend on it linearly.

    References:
        Rezende & Mohamed (2015), "Variational inference with normalizing flows", section 4.1 and
        appendix A.1, arXiv:1505.05770.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        super().__init__(event_ndims_in=1)
        D = checks.positive_int("event_size", event_size)
        w = parameters("planar_normal", (D,), context, scattered(D**-0.5))
        u = parameters("planar_step", (D,), context)
        self._offset = parameters("planar_offset", (1,), context)[..., 0]
        across = jnp.sum(w * u, axis=-1)
        self._across = bounds.above_minus_one(across)
        square = jnp.sum(w**2, axis=-1)
        proper = square > jnp.finfo(square.dtype).tiny
        correction = (self._across - across) / jnp.where(proper, square, 1.0)
        self._step = u + jnp.where(proper, correction, 0.0)[..., None] * w
        self._normal = w

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._normal.shape[-1])
        height = jnp.tanh(self._along(x) + self._offset)
        return x + height[..., None] * self._step, jnp.log1p(self._across * (1.0 - height**2))

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._normal.shape[-1])
        outer = self._across[..., None, None]
        steps = tanh_steps.Steps(outer, jnp.ones_like(outer), self._offset[..., None])
        along, log_det = tanh_steps.inverse(steps, self._along(y)[..., None])
        height = jnp.tanh(along + self._offset[..., None])
        return y - height * self._step, log_det

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density by a rank-one solve; see `bijectors.score`."""
        (y, log_det), pullback = jax.vjp(self.forward_and_log_det, x)
        (log_det_gradient,) = pullback((jnp.zeros_like(y), jnp.ones_like(log_det)))
        score = score - log_det_gradient
        slope = 1.0 - jnp.tanh(self._along(x) + self._offset) ** 2
        share = slope / (1.0 + self._across * slope) * jnp.sum(self._step * score, axis=-1)
        return y, log_det, score - share[..., None] * self._normal

    def _along(self, value: Array) -> Array:
        return jnp.sum(self._normal * value, axis=-1)
