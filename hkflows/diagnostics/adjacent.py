"""Whether a fit ends where the posterior goes on: mass next to the draws.

Importance weights are known only where there are draws. Where a fit ends and the posterior goes on,
the weights of its draws may be as even as any; but there the posterior slopes, and outwards.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.diagnostics.weights import importance_weights
from hkflows.targets.argument import as_argument

Array = jax.Array
Density = Callable[[Array], Array]

MAX_ADJACENT_SIZE = 500  # dimensions: a covariance matrix is needed
FEWEST_DRAWS = 25  # for a standard error to be one
SURE_OF_MANY = 5.0  # standard errors before the largest of many slopes is more than noise
SURE = 3.0  # standard errors before mass is found
STEPS = (0.3, 1.0)  # standard deviations


def adjacent_mass(log_density: Density, draws: np.ndarray, log_weights: np.ndarray) -> float:
    """Returns the share of the posterior's mass that is next to weighted draws, and has none.

    Under a smooth posterior the score `g = grad log p` has mean zero, `E[g] = int grad p dz = 0`
    (Stein's identity), and so has `C g` with `C` the covariance matrix. Of draws that end on a
    slope it has not. If one of its entries surely differs from zero, all draws are moved that way,
    by a part `h u` of a standard deviation, `u = C_i / sqrt(C_ii)`. Where draws lie in a set `S`,

        E[p(z + h u) / p(z)] = p(S + h u) / p(S),

    which is at most one if `S` holds all of the mass, whether or not the density has jumps. What is
    more is mass where there are no draws. In more than 500 dimensions nothing is looked for.

    Args:
        log_density: maps `[D]` to a scalar (nats).
        draws: `[n, D]`, all with a positive density.
        log_weights: their importance weights (nats), `[n]`.

    References:
        Gorham & Mackey (2015), "Measuring sample quality with Stein's method", arXiv:1506.03039.
    """
    n, D = draws.shape
    if D > MAX_ADJACENT_SIZE or n < FEWEST_DRAWS:
        return 0.0
    log_density = as_argument(log_density)
    weights = importance_weights(jnp.asarray(log_weights, draws.dtype))
    found = _slopes(log_density, jnp.asarray(draws), weights)
    log_p, slope, error, directions = (np.asarray(result, np.float64) for result in found)
    with np.errstate(invalid="ignore", divide="ignore"):
        surest = np.nan_to_num(np.abs(slope) / error, nan=0.0, posinf=0.0)
    i = int(np.argmax(surest))
    if surest[i] < SURE_OF_MANY:
        return 0.0
    moves = np.multiply.outer(STEPS, np.sign(slope[i]) * directions[i])  # [H, D]
    moved = (draws + moves[:, None]).astype(draws.dtype)
    log_moved = np.asarray(_values(log_density, moved.reshape(-1, D)), np.float64)
    weights = np.asarray(weights, np.float64)
    weights = weights / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.nan_to_num(np.exp(log_moved.reshape(-1, n) - log_p), nan=0.0)
        excess = ratios @ weights - 1.0
        errors = np.sqrt((ratios - 1.0 - excess[:, None]) ** 2 @ weights**2)
        more = np.where(excess > SURE * errors, excess, 0.0).max()
    return float(more / (1.0 + more))


@quick_jit
def _slopes(
    log_density: Density, draws: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Returns the log densities, `[n]`, the mean of `C g` and its standard error, `[D]`.

    Both in standard deviations; and the directions `C_i / sqrt(C_ii)`, `[D, D]`, in rows. A score
    that is not finite counts as zero.
    """
    log_p, scores = jax.lax.map(jax.value_and_grad(log_density), draws, batch_size=256)
    deviations = draws - weights @ draws
    scales = jnp.sqrt(weights @ deviations**2)
    deviations /= jnp.where(scales > 0.0, scales, 1.0)
    correlations = (weights[:, None] * deviations).T @ deviations
    scores = jnp.where(jnp.all(jnp.isfinite(scores), axis=1)[:, None], scores * scales, 0.0)
    moves = scores @ correlations
    slope = weights @ moves
    error = jnp.sqrt(weights**2 @ (moves - slope) ** 2)
    return log_p, slope, error, correlations * scales


@quick_jit
def _values(log_density: Density, points: Array) -> Array:
    return jax.lax.map(log_density, points, batch_size=256)
