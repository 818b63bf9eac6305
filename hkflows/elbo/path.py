"""Draws whose log-density the parameters reach through the draw alone."""

from typing import Any

import jax
import jax.numpy as jnp

from hkflows.bijectors.score import forward_and_score
from hkflows.distributions import FlowDistribution

Array = jax.Array


def sample_and_path_log_prob(q: Any, *, seed: Array) -> tuple[Array, Array]:
    """Draws from `q`, with a log-density that the parameters of `q` reach through the draw alone.

    Args:
        q: a distribution with reparameterized draws.
        seed: a PRNG key.

    Returns:
        `y`, `[*batch_shape, D]`, and `log q(y)` (nats), `[*batch_shape]`.

    References:
        Roeder, Wu & Duvenaud (2017), "Sticking the landing", arXiv:1703.09194.
    """
    y, log_q, score = sample_and_score(q, seed=seed)
    return y, log_q + through_the_draw(score, y, log_q.ndim)


def sample_and_score(q: Any, *, seed: Array) -> tuple[Array, Array, Array]:
    """Draws from `q`, with its log-density and the gradient of that in `y`, both constants.

    For a `FlowDistribution` nothing is inverted: the base point of the draw is known, and the
    gradient of `log q` is carried from it along the layers by linear solves. Another distribution
    differentiates its own `log_prob`. Gradients are stopped at results, not at the parameters of
    `q`: a foreign distribution may hide some where no tree map finds them.

    Args:
        q: a distribution with reparameterized draws.
        seed: a PRNG key.

    Returns:
        `y`, `[*batch_shape, D]`, which the parameters move; `log q(y)` (nats), `[*batch_shape]`,
        and the score, `[*batch_shape, D]`, which they do not.

    References:
        Vaitl, Winkler, Richter & Kessel (2024), arXiv:2403.15881.
    """
    if isinstance(q, FlowDistribution):
        x = q.sample_base(seed=seed)
        y = q.bijector.forward(x)
        fixed, x = jax.lax.stop_gradient((q, x))
        log_p, score = _value_and_score(fixed.base, x)
        _, log_det, score = forward_and_score(fixed.bijector, x, score)
        log_q = log_p - log_det
    else:
        y = q.sample(seed=seed)
        log_q, score = _value_and_score(q, jax.lax.stop_gradient(y))
    return y, *jax.lax.stop_gradient((log_q, score))


def through_the_draw(slope: Array, y: Array, batch_ndim: int) -> Array:
    """Returns zero, with the derivative `slope . dy`.

    Args:
        slope: `[*batch_shape, *event_shape]`, taken as a constant.
        y: a draw, of the same shape.
        batch_ndim: the number of batch dimensions; the others are summed.

    Returns:
        Zeros, `[*batch_shape]`.
    """
    move = jax.lax.stop_gradient(slope) * (y - jax.lax.stop_gradient(y))
    return jnp.sum(move, axis=tuple(range(batch_ndim, y.ndim)))


def _value_and_score(q: Any, y: Array) -> tuple[Array, Array]:
    """Returns `log q(y)` and its gradient in `y`."""
    log_q, pullback = jax.vjp(q.log_prob, y)
    return log_q, pullback(jnp.ones_like(log_q))[0]
