"""Importance resampling: draws of a fit are picked so that they are draws of the posterior."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from hkflows.streams import stream_draws

Array = jax.Array
Draw = Callable[[Array, int], Any]

PROPOSALS_PER_DRAW = 5  # and at the least:
FEWEST_PROPOSALS = 10_000
MOST_OF_ONE = 0.05  # share of the weights that one may have without a warning
BATCH_SIZE = 1000  # draws at a time whose log density is asked for


def weighed_draws(
    log_density: Callable[[Array], Array], q: Any, key: Array, n: int
) -> tuple[Array, Array, Array]:
    """Returns draws of `q`, `[n, D]`, their log densities and their log weights (nats), `[n]`."""
    z, log_q = q.sample_and_log_prob(seed=key, sample_shape=(n,))
    log_p = jax.lax.map(log_density, z, batch_size=BATCH_SIZE)
    return z, log_p, log_p - log_q


def resampled_draws(draw: Draw, weigh: Draw, key: Array, n: int) -> Any:
    """Draws five times as many as asked for, or 10,000 if that is more, and picks from these.

    Args:
        draw: returns a pytree of arrays `[m, ...]`, for a key and m.
        weigh: returns the log weights of the same draws, `[m]`.
        key: a PRNG key.
        n: how many to pick.

    Returns:
        The pytree of those picked, on the host, `[n, ...]`. Of the others only the weights are
        ever in memory together.
    """
    num_proposals = max(PROPOSALS_PER_DRAW * n, FEWEST_PROPOSALS)
    draw_key, pick_key = jax.random.split(key)
    log_weights = stream_draws(weigh, draw_key, num_proposals)
    return stream_draws(draw, draw_key, num_proposals, picked=resample(log_weights, pick_key, n))


def resample(log_weights: ArrayLike, key: Array, n: int) -> np.ndarray:
    """Picks draws, with replacement, with probabilities in proportion to their weights.

    Weights are truncated at the square root of S times their mean, or a single one could be most of
    what is picked; a warning says so where one would have been more than a twentieth.

    Args:
        log_weights: `[S]`; those that are not finite are weights of zero.
        key: a PRNG key.
        n: how many to pick.

    Returns:
        Their indices, `[n]`.

    Raises:
        ValueError: if no weight is finite.

    References:
        Rubin (1987), "The SIR algorithm", comment on Tanner & Wong, JASA 82. Ionides (2008),
        "Truncated importance sampling", JCGS 17.
    """
    log_weights = np.asarray(log_weights, np.float64)
    finite = np.isfinite(log_weights)
    if not finite.any():
        raise ValueError(
            "`importance_resample` needs draws with a finite importance weight; of "
            f"{log_weights.size} none has one."
        )
    weights = np.exp(np.where(finite, log_weights, -np.inf) - log_weights[finite].max())
    share = 1.0 / weights.sum()  # the largest weight is one
    if share > MOST_OF_ONE and log_weights.size > 1.0 / MOST_OF_ONE:
        warnings.warn(
            f"Of {log_weights.size} importance weights one makes up {100.0 * share:.0f} %: the fit "
            "misses mass there, and draws corrected by such weights cannot be trusted.",
            stacklevel=4,
        )
    weights = np.minimum(weights, weights.mean() * log_weights.size**0.5)
    generator = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    return generator.choice(log_weights.size, n, p=weights / weights.sum())
