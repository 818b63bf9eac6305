"""The radial flow: towards a point or away from it."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters, scattered
from hkflows.kernels import bounds

Array = jax.Array

MAX_LOG_RADIUS = 5.0


class Radial(distrax.Bijector):
    """Draws an event to a centre or drives it away, the closer the more.

    With a centre `c`, a radius `a > 0`, a strength `b > -1`, `r = |x - c|` and `t = a / (a + r)`,

    Forward: `y = x + b t (x - c)`, `log|det dy/dx| = (D - 1) log(1 + b t) + log(1 + b t^2)`.

    Inverse: exact, since `r` is a root of the quadratic equation `r (1 + b t) = |y - c|`.

    Each direction costs a few products of D. The strength starts at zero, the identity; the centre
    starts anywhere, for the layers of a flow to differ.

    Args:
        event_size: D.
        context: `[..., C]`; centre, log-radius and strength then depend on it linearly.

    References:
        Rezende & Mohamed (2015), "Variational inference with normalizing flows", section 4.1 and
        appendix A.2, arXiv:1505.05770.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        super().__init__(event_ndims_in=1)
        D = checks.positive_int("event_size", event_size)
        self._centre = parameters("radial_centre", (D,), context, scattered(1.0))
        radius, strength = jnp.unstack(parameters("radial", (2,), context), axis=-1)
        self._radius = jnp.exp(bounds.within(radius, MAX_LOG_RADIUS))
        self._strength = bounds.above_minus_one(strength)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._centre.shape[-1])
        ray = x - self._centre
        stretch, log_det = self._stretch(_norm(ray), x.shape[-1])
        return x + stretch[..., None] * ray, log_det

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._centre.shape[-1])
        ray = y - self._centre
        distance, a = _norm(ray), self._radius
        # The positive root of r^2 + p r - a |y - c|, without cancellation for either sign of p.
        p = a * (1.0 + self._strength) - distance
        root = jnp.sqrt(p**2 + 4.0 * a * distance)
        quotient = 2.0 * a * distance / jnp.where(p > 0.0, p + root, 1.0)
        r = jnp.where(p > 0.0, quotient, 0.5 * (root - p))
        stretch, log_det = self._stretch(r, y.shape[-1])
        return y - (stretch / (1.0 + stretch))[..., None] * ray, -log_det

    def _stretch(self, r: Array, event_size: int) -> tuple[Array, Array]:
        """Returns `b t` and the forward log-determinant at a distance `r`."""
        t = self._radius / (self._radius + r)
        stretch = self._strength * t
        return stretch, (event_size - 1) * jnp.log1p(stretch) + jnp.log1p(stretch * t)


def _norm(ray: Array) -> Array:
    """Returns the lengths of vectors, with a derivative of zero at zero."""
    square = jnp.sum(ray**2, axis=-1)
    vanishes = square <= jnp.finfo(square.dtype).tiny
    return jnp.where(vanishes, 0.0, jnp.sqrt(jnp.where(vanishes, 1.0, square)))
