"""Importance resampling: draws of a fit are picked so that they are draws of the posterior."""

import jax
import numpy as np
from jax.typing import ArrayLike

Array = jax.Array

PROPOSALS_PER_DRAW = 5  # and at the least:
FEWEST_PROPOSALS = 10_000


def num_proposals(n: int) -> int:
    """Returns how many draws of a fit to pick `n` from."""
    return max(PROPOSALS_PER_DRAW * n, FEWEST_PROPOSALS)


def resample(log_weights: ArrayLike, key: Array, n: int) -> np.ndarray:
    """Picks draws, with replacement, with probabilities in proportion to their weights.

    Args:
        log_weights: `[S]`; those that are not finite are weights of zero.
        key: a PRNG key.
        n: how many to pick.

    Returns:
        Their indices, `[n]`.

    Raises:
        ValueError: if no weight is finite.

    References:
        Rubin (1987), "The SIR algorithm", comment on Tanner & Wong, JASA 82.
    """
    log_weights = np.asarray(log_weights, np.float64)
    finite = np.isfinite(log_weights)
    if not finite.any():
        raise ValueError(
            "`importance_resample` needs draws with a finite importance weight; of "
            f"{log_weights.size} none has one."
        )
    weights = np.exp(np.where(finite, log_weights, -np.inf) - log_weights[finite].max())
    generator = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    return generator.choice(log_weights.size, n, p=weights / weights.sum())
