"""Whether a fit misses another mode: importance sampling where the fit does not go.

The weights of a fit's own draws cannot tell of a place where it never draws. Climbs that start far
from the draws can.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hkflows.compilation import quick_jit
from hkflows.diagnostics.weights import mean_of_exponentials
from hkflows.kernels.along import gradient_along
from hkflows.targets.argument import as_argument

Array = jax.Array
Density = Callable[[Array], Array]
Units = tuple[Array, Array]  # a mean, [D], and a triangular factor, [D, D]

NUM_STARTS = 16  # of climbs, of each kind
NUM_ASTRAY = 32  # starts chosen from `NUM_CANDIDATES`
NUM_CANDIDATES = 4096
CLIMB_STEPS = 300
# Standard deviations a step, which fall to the last: a climb can cross hundreds of them, but one
# from a place that has been chosen is to stay in the basin there.
FIRST_RATE, FIRST_RATE_ASTRAY, LAST_RATE = 10.0, 0.2, 0.01
UNEXPECTED = 10.0  # nats of density above what the fit has there
MAX_MODES = 4
MAX_FAR_SIZE = 500  # a search that needs the curvature: not in more dimensions
NUM_MODE_DRAWS = 500  # for each
NEGLIGIBLE = 0.01  # of the posterior's mass: less around all modes is not looked into
STEP = 0.1  # standard deviations, where second derivatives are differences


def far_evidence(
    q: Any, log_density: Density, log_z: float, draws: Array, key: Array
) -> tuple[float, float]:
    """Returns the log evidence (nats) around modes that `q` misses, and its standard error.

    From points up to 20 standard deviations away, half of them where the way up does not lead to
    the draws, and from others near the origin, Adam climbs the log density. From all but that half
    its steps are large at first, and cross hundreds of standard deviations. Where it ends and `q`
    has far less density than the posterior, a Gaussian with the curvature there is the proposal of
    importance sampling, which counts what `q` misses by a factor of ten or more. In more than 500
    dimensions nothing is searched, and less than a hundredth of the mass counts as none.

    Args:
        q: a distribution with `log_prob`.
        log_density: maps `[D]` to a scalar (nats).
        log_z: the log evidence that `q` finds.
        draws: from `q`, `[S, D]`.
        key: a PRNG key.
    """
    D = draws.shape[1]
    if D > MAX_FAR_SIZE:
        return -np.inf, 0.0
    log_density = as_argument(log_density)
    start_key, draw_key = jax.random.split(key)
    units, *found = _climbs(log_density, draws, start_key)
    ends, heights = (np.asarray(result, np.float64) for result in found)
    expected = log_z - 0.5 * np.sum(ends**2, axis=1) - 0.5 * D * np.log(2.0 * np.pi)
    modes = _distinct(ends, heights, expected + UNEXPECTED)
    if not len(modes):
        return -np.inf, 0.0
    modes = np.resize(modes, (MAX_MODES, D))  # again and again: one program for any number
    x, *around = _around(log_density, units, jnp.asarray(modes, draws.dtype), draw_key)
    log_p, log_r = (np.asarray(result, np.float64) for result in around)
    most, _ = mean_of_exponentials(log_p - log_r)
    if most - log_z < np.log(NEGLIGIBLE):
        return -np.inf, 0.0
    log_q = np.asarray(_log_prob(q, units, x), np.float64)
    missed = log_p > log_q + log_z + np.log(10.0)
    return mean_of_exponentials(np.where(missed, log_p - log_r, -np.inf))


def _standard(log_density: Density, units: Units) -> Density:
    """Returns the log density in units in which the draws have mean zero and unit covariance."""
    mean, factor = units
    return lambda x: log_density(mean + factor @ x) + jnp.sum(jnp.log(jnp.diagonal(factor)))


@quick_jit
def _climbs(log_density: Density, draws: Array, key: Array) -> tuple[Units, Array, Array]:
    """Returns the units, and in these where climbs end, `[C, D]`, and how high, `[C]`."""
    covariance = jnp.atleast_2d(jnp.cov(draws.T))
    factor = jnp.linalg.cholesky(covariance)
    # Of no more draws than dimensions, or all but collinear ones, only the scales are known.
    scales = jnp.diag(jnp.sqrt(jnp.diagonal(covariance)))
    factor = jnp.where(jnp.all(jnp.isfinite(factor)), factor, scales)
    units = jnp.mean(draws, axis=0), factor
    log_p = _standard(log_density, units)
    far_key, near_key, astray_key = jax.random.split(key, 3)
    D = draws.shape[1]
    anywhere = jnp.concatenate([_far(far_key, D), _near_origin(near_key, *units)])
    starts = jnp.concatenate([anywhere, _astray(log_p, astray_key, D)])
    rates = jnp.full(len(starts), FIRST_RATE_ASTRAY).at[: len(anywhere)].set(FIRST_RATE)
    ends = jax.vmap(lambda x, rate: _ascend(log_p, x, rate))(starts, rates)
    return units, ends, jax.vmap(log_p)(ends)


@quick_jit
def _around(
    log_density: Density, units: Units, modes: Array, key: Array
) -> tuple[Array, Array, Array]:
    """Returns draws around modes, `[n, D]`, and their log densities, the posterior's and their own.

    All in the units of the draws.
    """
    D = modes.shape[1]
    log_p = _standard(log_density, units)
    factors = jax.vmap(lambda x: _curvature_factor(log_p, x))(modes)
    noise = jax.random.normal(key, (len(modes), NUM_MODE_DRAWS, D))
    x = (modes[:, None] + jnp.einsum("mij,msj->msi", factors, noise)).reshape(-1, D)
    log_of_each = jax.vmap(_gaussian_log_prob, (0, 0, None))(modes, factors, x)
    log_r = jax.nn.logsumexp(log_of_each, axis=0) - jnp.log(len(modes))
    return x, jax.lax.map(log_p, x, batch_size=256), log_r


@quick_jit
def _log_prob(q: Any, units: Units, x: Array) -> Array:
    """Returns the log density of the fit in these units (nats), `[n]`."""
    mean, factor = units
    return q.log_prob(mean + x @ factor.T) + jnp.sum(jnp.log(jnp.diagonal(factor)))


def _far(key: Array, D: int) -> Array:
    """Returns points 5 and 20 standard deviations away, `[NUM_STARTS, D]`."""
    wide = jnp.repeat(jnp.asarray([5.0, 20.0]), NUM_STARTS // 2)[:, None]
    return wide * jax.random.normal(key, (NUM_STARTS, D)) / jnp.sqrt(D)


def _near_origin(key: Array, mean: Array, factor: Array) -> Array:
    """Returns points within [-2, 2], in the units of the draws, `[NUM_STARTS, D]`."""
    box = jax.random.uniform(key, (NUM_STARTS, len(mean)), minval=-2.0, maxval=2.0)
    return jax.scipy.linalg.solve_triangular(factor, (box - mean).T, lower=True).T


def _astray(log_density: Density, key: Array, D: int) -> Array:
    """Returns points 3 to 20 standard deviations away, `[NUM_ASTRAY, D]`.

    Of many they are those where the gradient points least to the middle of the draws: a narrow mode
    has a small basin, in which few points that are chosen at random lie.
    """
    direction_key, radius_key = jax.random.split(key)
    direction = jax.random.normal(direction_key, (NUM_CANDIDATES, D))
    direction /= jnp.linalg.norm(direction, axis=1, keepdims=True)
    x = direction * jax.random.uniform(radius_key, (NUM_CANDIDATES, 1), minval=3.0, maxval=20.0)
    gradient = jax.lax.map(jax.grad(log_density), x, batch_size=256)
    inwards = -jnp.sum(gradient * direction, axis=1) / jnp.linalg.norm(gradient, axis=1)
    return x[jnp.argsort(inwards)[:NUM_ASTRAY]]  # NaN comes last


def _ascend(log_density: Density, x: Array, first_rate: Array) -> Array:
    """Returns where Adam ends; a gradient that is not finite counts as zero."""
    ratio = LAST_RATE / first_rate
    optimizer = optax.adam(lambda step: first_rate * ratio ** (step / CLIMB_STEPS))

    def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], None]:
        x, state = carry
        gradient = jax.grad(log_density)(x)
        gradient = jnp.where(jnp.all(jnp.isfinite(gradient)), gradient, 0.0)
        updates, state = optimizer.update(-gradient, state)
        return (optax.apply_updates(x, updates), state), None

    return jax.lax.scan(step, (x, optimizer.init(x)), None, length=CLIMB_STEPS)[0][0]


def _distinct(ends: np.ndarray, heights: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Returns the highest ends above what is asked of them, no two close, `[<= MAX_MODES, D]`."""
    kept: list[np.ndarray] = []
    for index in np.argsort(-heights):
        high = np.isfinite(heights[index]) and heights[index] > least[index]
        if high and all(np.linalg.norm(ends[index] - other) > 0.5 for other in kept):
            kept.append(ends[index])
        if len(kept) == MAX_MODES:
            break
    return np.reshape(kept, (len(kept), ends.shape[1]))


def _curvature_factor(log_density: Density, x: Array) -> Array:
    """Returns `F` with `F F^T` the inverse of the absolute Hessian, `[D, D]`."""
    units = jnp.eye(len(x), dtype=x.dtype)
    hessian = jax.vmap(lambda unit: gradient_along(log_density, x, unit, STEP))(units)
    w, Q = jnp.linalg.eigh(-0.5 * (hessian + hessian.T))
    return Q / jnp.sqrt(jnp.maximum(jnp.abs(w), 1e-4))


def _gaussian_log_prob(mean: Array, factor: Array, x: Array) -> Array:
    """Returns the log density (nats) of `N(mean, F F^T)` at the rows of `x`, `F` square."""
    u = jnp.linalg.solve(factor, (x - mean).T)
    log_det = jnp.linalg.slogdet(factor)[1]
    return -0.5 * jnp.sum(u**2, axis=0) - log_det - 0.5 * mean.shape[0] * jnp.log(2.0 * jnp.pi)
