"""Draws whose log-density the parameters reach through the draw alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.score import forward_and_score
from hkflows.distributions import FlowDistribution
from hkflows.elbo.origins import log_prob, origins_of, sample

Array = jax.Array


def sample_and_path_log_prob(q: Any, *, seed: Array | int) -> tuple[Array, Array]:
    """Draws from `q`, with a log-density that the parameters of `q` reach through the draw alone.

    Args:
        q: a distribution with reparameterized draws.
        seed: a PRNG key, typed or not, or an integer.

    Returns:
        `y`, `[*batch_shape, D]`, and `log q(y)` (nats), `[*batch_shape]`.

    References:
        Roeder, Wu & Duvenaud (2017), "Sticking the landing", arXiv:1703.09194.
    """
    keys = checks.prng_key("seed", seed)[None]
    y, log_q = sample_and_path_log_prob_at(q, origins_of(q, keys))
    return y[0], log_q[0]


def sample_and_path_log_prob_at(q: Any, origins: Array) -> tuple[Array, Array]:
    """Returns the draws of given origins, and their log-density as `sample_and_path_log_prob` does.

    Args:
        q: a distribution with reparameterized draws.
        origins: see `elbo.origins`.

    Returns:
        `y`, `[S, *batch_shape, D]`, and `log q(y)` (nats), `[S, *batch_shape]`.
    """
    y, log_q, score = sample_and_score(q, origins)
    return y, log_q + through_the_draw(score, y, log_q.ndim)


def sample_and_score(q: Any, origins: Array) -> tuple[Array, Array, Array]:
    """Draws from `q`, with its log-density and the gradient of that in `y`, both constants.

    For a `FlowDistribution` nothing is inverted: the base point of the draw is known, and the
    gradient of `log q` is carried from it along the layers by linear solves. Another distribution
    differentiates its own `log_prob`. Gradients are stopped at results, not at the parameters of
    `q`: a foreign distribution may hide some where no tree map finds them.

    Args:
        q: a distribution with reparameterized draws.
        origins: see `elbo.origins`.

    Returns:
        `y`, `[S, *batch_shape, D]`, which the parameters move; `log q(y)` (nats),
        `[S, *batch_shape]`, and the score, `[S, *batch_shape, D]`, which they do not.

    References:
        Vaitl, Winkler, Richter & Kessel (2024), arXiv:2403.15881.
    """
    y = sample(q, origins)
    if isinstance(q, FlowDistribution):
        fixed, x = jax.lax.stop_gradient((q, origins))
        log_p, score = _value_and_score(fixed.base.log_prob, x)
        _, log_det, score = forward_and_score(fixed.bijector, x, score)
        log_q = log_p - log_det
    else:
        log_q, score = _value_and_score(lambda y: log_prob(q, y), jax.lax.stop_gradient(y))
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


def _value_and_score(log_density: Callable[[Array], Array], y: Array) -> tuple[Array, Array]:
    """Returns `log q(y)` and its gradient in `y`."""
    log_q, pullback = jax.vjp(log_density, y)
    return log_q, pullback(jnp.ones_like(log_q))[0]
