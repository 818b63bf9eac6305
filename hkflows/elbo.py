"""Objectives of variational inference: plain functions of a distribution and a log-density.

All of them draw `y_1..y_S` from `q`, form the log-weights `log w_s = log p(y_s) - log q(y_s)`, and
differ in what they make of these. Everything is in nats.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.score import forward_and_score
from hkflows.distributions import FlowDistribution

Array = jax.Array
LogDensity = Callable[[Array], Array]
Estimator = Literal["total", "path"]
Aux = dict[str, Array]


def negative_elbo(
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    estimator: Estimator = "total",
    chunk_size: int | None = None,
) -> tuple[Array, Aux]:
    """Estimates the negative evidence lower bound, `-E_q[log p(y) - log q(y)]`.

    Args:
        q: a distribution with reparameterized draws, any of distrax's.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`: log p up to a
            constant. It is mapped over the draws by `jax.vmap`, so it must be pure: inside
            `hk.transform`, a decoder that it calls belongs in an `hk.multi_transform` or `hk.lift`.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S, the number of draws for each element of the batch.
        estimator: "total" differentiates through the draws and through `log q`; "path" leaves out
            the score of the parameters, whose expectation is zero ("sticking the landing"). Both
            are unbiased; the variance of "path" vanishes where `q` equals `p`.
        chunk_size: if given, at most so many draws are in memory at a time. The result is the same.

    Returns:
        The loss, a scalar: the mean over the draws and the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Kingma & Welling (2014), arXiv:1312.6114. Roeder, Wu & Duvenaud (2017), arXiv:1703.09194.
    """
    log_weights = _log_weights(q, log_density, seed, num_samples, estimator, chunk_size)
    return -jnp.mean(log_weights), {"log_weights": log_weights}


def importance_weighted_elbo(
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    chunk_size: int | None = None,
) -> tuple[Array, Aux]:
    """Estimates the negative importance-weighted bound, `-E[log (1/S) sum_s w_s]`.

    The bound is tighter than the ELBO, and approaches `log p` as S grows.

    Args:
        q: a distribution with reparameterized draws, any of distrax's.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S, the number of draws inside the logarithm.
        chunk_size: if given, at most so many draws are in memory at a time.

    Returns:
        The loss, a scalar: the mean over the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Burda, Grosse & Salakhutdinov (2016), "Importance weighted autoencoders", equation 8,
        arXiv:1509.00519.
    """
    log_weights = _log_weights(q, log_density, seed, num_samples, "total", chunk_size)
    bound = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(num_samples)
    return -jnp.mean(bound), {"log_weights": log_weights}


def _log_weights(
    q: Any,
    log_density: LogDensity,
    seed: Array | int,
    num_samples: int,
    estimator: Estimator,
    chunk_size: int | None,
) -> Array:
    """Returns `log p(y_s) - log q(y_s)`, `[S, *batch_shape]`; each draw has a key of its own."""
    checks.positive_int("num_samples", num_samples)
    if isinstance(q, type) or not hasattr(q, "sample_and_log_prob"):
        raise ValueError(f"`q` must be a distrax distribution; got {q!r}.")
    if estimator not in ("total", "path"):
        raise ValueError(f'`estimator` must be "total" or "path"; got {estimator!r}.')
    keys = jax.random.split(checks.prng_key("seed", seed), num_samples)

    def log_weight(key: Array) -> Array:
        if estimator == "path":
            y, log_q = sample_and_path_log_prob(q, seed=key)
        else:
            y, log_q = q.sample_and_log_prob(seed=key)
        log_p = log_density(y)
        if jnp.shape(log_p) != log_q.shape:
            raise ValueError(
                f"`log_density` must map draws of shape {y.shape} to shape {log_q.shape}; "
                f"it returned {jnp.shape(log_p)}."
            )
        return log_p - log_q

    if chunk_size is None:
        return jax.vmap(log_weight)(keys)
    checks.positive_int("chunk_size", chunk_size)
    return jax.lax.map(jax.checkpoint(log_weight), keys, batch_size=chunk_size)


def sample_and_path_log_prob(q: Any, *, seed: Array) -> tuple[Array, Array]:
    """Draws from `q`, with a log-density that the parameters of `q` reach through the draw alone.

    For a `FlowDistribution` nothing is inverted: the base point of the draw is known, and the
    gradient of `log q` is carried from it along the layers by linear solves. Another distribution
    differentiates its own `log_prob`. Gradients are stopped at results, not at the parameters of
    `q`: a foreign distribution may hide some where no tree map finds them.

    Args:
        q: a distribution with reparameterized draws.
        seed: a PRNG key.

    Returns:
        `y`, `[*batch_shape, D]`, and `log q(y)` (nats), `[*batch_shape]`.

    References:
        Roeder, Wu & Duvenaud (2017), "Sticking the landing", arXiv:1703.09194.
        Vaitl, Winkler, Richter & Kessel (2024), arXiv:2403.15881.
    """
    if isinstance(q, FlowDistribution):
        x = q.sample_base(seed=seed)
        y = q.bijector.forward(x)
        x = jax.lax.stop_gradient(x)
        log_p, score = _value_and_score(q.base, x)
        _, log_det, score = forward_and_score(q.bijector, x, score)
        log_q = log_p - log_det
    else:
        y = q.sample(seed=seed)
        log_q, score = _value_and_score(q, jax.lax.stop_gradient(y))
    log_q, score = jax.lax.stop_gradient((log_q, score))
    # This adds nothing to the value, and to the derivative the score at y times that of y.
    move = score * (y - jax.lax.stop_gradient(y))
    return y, log_q + jnp.sum(move, axis=tuple(range(log_q.ndim, y.ndim)))


def _value_and_score(q: Any, y: Array) -> tuple[Array, Array]:
    """Returns `log q(y)` and its gradient in `y`."""
    log_q, pullback = jax.vjp(q.log_prob, y)
    return log_q, pullback(jnp.ones_like(log_q))[0]
