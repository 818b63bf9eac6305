"""Whether a fit ends on a slope of the posterior: the mean of the score.

Importance weights are known only where there are draws. Where a fit ends and the posterior goes on,
the weights of its draws may be as even as any; but there the posterior slopes, and outwards.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.diagnostics.weights import importance_weights
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.targets.names import listed, names_set_by

Array = jax.Array

SURE_OF_MANY = 5.0  # standard errors before the largest of many moves is more than noise
MOST_UNDEFINED = 0.01  # of the draws, whose score is not finite


class Drift(NamedTuple):
    """The largest move that is more than noise."""

    size: float  # standard deviations; zero if there is none, NaN if it is not known
    of: str = ""  # the names of the parameters that are moved


def find_drift(target: Target, draws: np.ndarray, log_weights: np.ndarray) -> Drift:
    """Returns how far the posterior's slope would move the mean of weighted draws.

    Langevin dynamics, whose drift is the score `g = grad log p`, leave a smooth posterior as it is:
    `E[g] = int grad p dz = 0`. With `C` the covariance matrix of the draws, `C E[g]` is the step
    that takes the mean of a Gaussian to where it belongs.

    Args:
        target: the posterior.
        draws: on the unconstrained side, `[n, D]`, all with a positive density.
        log_weights: their importance weights (nats), `[n]`.

    References:
        Gorham & Mackey (2015), "Measuring sample quality with Stein's method", arXiv:1506.03039.
    """
    weights = importance_weights(jnp.asarray(log_weights, draws.dtype))
    moved = _moves(as_argument(target.log_density), jnp.asarray(draws), weights)
    move, error, undefined = (np.asarray(result, np.float64) for result in moved)
    if undefined > MOST_UNDEFINED:
        return Drift(np.nan)
    size = np.where(np.abs(move) > SURE_OF_MANY * error, np.abs(move), 0.0)
    largest = int(np.argmax(size))
    if size[largest] == 0.0:
        return Drift(0.0)
    names = names_set_by(target.constrain, jnp.asarray(draws[0]), [largest])
    return Drift(float(size[largest]), listed(names))


@quick_jit
def _moves(
    log_density: Callable[[Array], Array], draws: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Returns the moves (standard deviations) and their standard errors, both `[D]`.

    And the share of the draws with a score that is not finite; these are left out.
    """
    scores = jax.lax.map(jax.grad(log_density), draws, batch_size=min(len(draws), 256))
    defined = jnp.all(jnp.isfinite(scores), axis=1)
    scores = jnp.where(defined[:, None], scores, 0.0)
    weights = jnp.where(defined, weights, 0.0)
    weights /= jnp.sum(weights)
    deviations = draws - weights @ draws
    covariance = (weights[:, None] * deviations).T @ deviations
    scales = jnp.sqrt(jnp.diagonal(covariance))
    moves = scores @ covariance / jnp.where(scales > 0.0, scales, 1.0)
    move = weights @ moves
    return move, jnp.sqrt(weights**2 @ (moves - move) ** 2), jnp.mean(~defined)
