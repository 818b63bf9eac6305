"""The second stage of a posterior fit: a Gaussian with all correlations, by matching scores."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.compilation import quick_jit
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.gaussians import gaussian
from hkflows.training.posterior.fresh import finite_moments, fresh_log_weights

Array = jax.Array
Density = Callable[[Array], Array]
_Affine = tuple[Array, Array]  # mean [D] and factor [D, D]

ROUNDS_PER_SEGMENT = 40
MAX_SEGMENTS = 12
MIN_DRAWS, MAX_DRAWS = 64, 512  # a round; four for each dimension in between
CONVERGED = 0.01  # standard deviation of the log weights (nats) that leaves nothing to gain


class _Batch(NamedTuple):
    """Draws from a Gaussian, in units in which it is standard, and what the target says there."""

    noise: Array  # [B, D]
    scores: Array  # [B, D]; zero where not finite
    usable: Array  # [B], whether value and score are finite
    elbo: Array  # minus infinity if less than half are usable
    standard_error: Array


@full_precision
def fit_gaussian(target: Target, start: FlowDistribution, *, key: Array | int) -> FlowDistribution:
    """Fits a Gaussian with a full covariance matrix by batch and match.

    A round draws `x_b` from the Gaussian at hand, in units in which that is standard normal, and
    takes the scores `g_b` of the posterior there. The next Gaussian `N(mu, S)` is the one whose own
    scores `-S^{-1} (x_b - mu)` match these, up to a penalty `2/lambda` on the divergence from the
    current one. With means `x`, `g` and covariances `C`, `G` of the batch, and `r = lambda /
    (1 + lambda)`, it has the closed form

        S U S + S = V,    U = lambda G + r g g^T,    V = I + lambda C + r x x^T,
        mu = r (S g + x).

    No step size, and the same course in any linear coordinates: a posterior that is Gaussian is
    found in a few rounds, whatever its scales and correlations. `lambda` is set by what it does: a
    round that makes the ELBO worse by more than its noise is undone and repeated with less, one
    that makes it better is followed by more, and while it stays level `lambda` decays as one over
    the number of rounds, which averages the noise away. Rounds come in segments that begin with a
    large `lambda` anew, until a segment brings no better ELBO; the best is kept.

    Args:
        target: the posterior.
        start: a Gaussian whose bijector is affine, such as `find_start` gives.
        key: a PRNG key, typed or not, or an integer.

    Returns:
        The Gaussian, with a lower-triangular matrix. A round costs up to 512 gradients of the log
        density and some products and factorisations of D^3.

    References:
        Cai, Modi, Pillaud-Vivien, Margossian, Gower, Blei & Saul (2024), "Batch and match:
        black-box variational inference with a score-based divergence", arXiv:2402.14758.
    """
    D = target.event_size
    num_draws = min(max(4 * D, MIN_DRAWS), MAX_DRAWS)
    judge_key, segment_key = jax.random.split(checks.prng_key("key", key))
    log_density = as_argument(target.log_density)

    def log_weights(q: FlowDistribution) -> np.ndarray:
        return np.asarray(fresh_log_weights(log_density, q, judge_key), np.float64)

    best, best_weights, affine = start, log_weights(start), _mean_and_factor(start)
    best_elbo, *_ = finite_moments(best_weights)
    for index in range(MAX_SEGMENTS):
        affine, proposal = _segment(log_density, affine, segment_key, index, num_draws)
        weights = log_weights(proposal)
        elbo, spread, _ = finite_moments(weights)
        if not elbo > best_elbo:
            break
        with np.errstate(invalid="ignore"):  # two of minus infinity
            gain = weights - best_weights  # of the same noise, draw by draw
        gain = gain[np.isfinite(gain)]
        best, best_weights, best_elbo = proposal, weights, elbo
        level = gain.size > 0 and gain.mean() < 2.0 * gain.std() / gain.size**0.5
        if level or spread < CONVERGED:
            break
    return best


@quick_jit
def _mean_and_factor(start: FlowDistribution) -> _Affine:
    origin = jnp.zeros(start.event_shape)
    return start.bijector.forward(origin), jax.jacfwd(start.bijector.forward)(origin)


@functools.partial(quick_jit, static_argnames="num_draws")
def _segment(
    log_density: Density, affine: _Affine, key: Array, index: Array | int, num_draws: int
) -> tuple[_Affine, FlowDistribution]:
    """Returns the mean and the triangular factor after a segment's rounds, and their Gaussian."""
    mean, factor = affine
    largest = float(num_draws * mean.shape[0])  # the lambda that Cai et al. start from

    def draw(mean: Array, factor: Array, key: Array) -> _Batch:
        noise = jax.random.normal(key, (num_draws, mean.shape[0]), mean.dtype)
        values, gradients = jax.vmap(jax.value_and_grad(log_density))(mean + noise @ factor.T)
        scores = gradients @ factor
        usable = jnp.isfinite(values) & jnp.all(jnp.isfinite(scores), axis=1)
        weights = jnp.where(usable, values + 0.5 * jnp.sum(noise**2, axis=1), jnp.nan)
        elbo, spread, _ = finite_moments(weights)
        elbo += jnp.sum(jnp.log(jnp.abs(jnp.diagonal(factor))))
        standard_error = spread / num_draws**0.5
        return _Batch(noise, jnp.where(usable[:, None], scores, 0.0), usable, elbo, standard_error)

    def one_round(carry: tuple, key: Array) -> tuple[tuple, None]:
        mean, factor, batch, lambda_, num_level = carry
        step, step_factor = _match(batch, lambda_)
        new_mean, new_factor = mean + factor @ step, _triangular(factor @ step_factor)
        new = draw(new_mean, new_factor, key)
        # By the smaller of the errors: one with a large error of its own would never be refused.
        noise = 2**0.5 * jnp.minimum(batch.standard_error, new.standard_error)
        noise = jnp.where(jnp.isfinite(noise), noise, 0.0)
        gain = jnp.where(jnp.isfinite(batch.elbo), new.elbo - batch.elbo, jnp.inf)
        accept = jnp.isfinite(new.elbo) & (gain > -3.0 * noise)
        better = accept & (gain > 2.0 * noise)
        num_level += accept & ~better
        lambda_ = jnp.where(
            accept,
            jnp.where(better, 4.0 * lambda_, jnp.minimum(lambda_, largest / (1.0 + num_level))),
            lambda_ / 8.0,
        )
        kept = jax.tree.map(
            lambda new, old: jnp.where(accept, new, old),
            (new_mean, new_factor, new),
            (mean, factor, batch),
        )
        return (*kept, jnp.clip(lambda_, 1e-6, 1e9), num_level), None

    keys = jax.random.split(jax.random.fold_in(key, index), ROUNDS_PER_SEGMENT + 1)
    start = (mean, factor, draw(mean, factor, keys[0]), jnp.asarray(largest), jnp.asarray(0))
    (mean, factor, *_rest), _ = jax.lax.scan(one_round, start, keys[1:])
    return (mean, factor), gaussian(mean, factor)


def _match(batch: _Batch, lambda_: Array) -> tuple[Array, Array]:
    """Returns the mean and a factor `F`, `S = F F^T`, of the Gaussian that matches the scores.

    With `V = R R^T` and `R^T U R = Q diag(w) Q^T`, `S = F F^T` with `F = R Q diag(2 / (1 +
    sqrt(1 + 4 w)))^(1/2)` solves `S U S + S = V`.
    """
    weights = batch.usable / jnp.sum(batch.usable)
    x, g = weights @ batch.noise, weights @ batch.scores
    spread = jnp.sqrt(lambda_ * weights)[:, None]
    r = lambda_ / (1.0 + lambda_)
    # The rows of these have V - I and U for their sums of squares.
    rows_v = jnp.concatenate([spread * (batch.noise - x), jnp.sqrt(r) * x[None]])
    rows_u = jnp.concatenate([spread * (batch.scores - g), jnp.sqrt(r) * g[None]])
    R = jnp.linalg.cholesky(jnp.eye(x.shape[0]) + rows_v.T @ rows_v)
    mixed = rows_u @ R
    w, Q = jnp.linalg.eigh(mixed.T @ mixed)
    F = R @ (Q * jnp.sqrt(2.0 / (1.0 + jnp.sqrt(1.0 + 4.0 * jnp.maximum(w, 0.0)))))
    return r * (F @ (F.T @ g) + x), F


def _triangular(factor: Array) -> Array:
    """Returns the lower-triangular factor of the same covariance, its diagonal positive."""
    lower = jnp.linalg.qr(factor.T, mode="r").T
    return lower * jnp.sign(jnp.diagonal(lower))
