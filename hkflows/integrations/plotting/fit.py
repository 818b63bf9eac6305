"""All pictures of a fit."""

from typing import Any

import jax

from hkflows.integrations.plotting.losses import plot_losses
from hkflows.integrations.plotting.pairs import MAX_POINTS, plot_pairs
from hkflows.integrations.plotting.weight_tail import plot_weight_tail
from hkflows.training import PosteriorFit


def plot_fit(fit: PosteriorFit, *, key: jax.Array | int, reference: Any = None) -> dict[str, Any]:
    """Draws the three pictures of a fit: `losses`, `pairs` of 2,000 draws and `weight_tail`.

    Args:
        fit: what `hkflows.fit_posterior` returned.
        key: a PRNG key, typed or not, or an integer, for the draws.
        reference: draws to compare with, a pytree like the parameters.

    Returns:
        The figures by name.

    Raises:
        ImportError: if Matplotlib or ArviZ, the extras `plotting` and `diagnostics`, is not
            installed.
    """
    return {
        "losses": plot_losses(fit.losses, fit.stages),
        "pairs": plot_pairs(fit.sample(key, MAX_POINTS), reference),
        "weight_tail": plot_weight_tail(fit.diagnostics.log_weights),
    }
