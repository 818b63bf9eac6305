"""The tail of the importance weights."""

from typing import Any

import numpy as np
from jax.typing import ArrayLike

from hkflows.diagnostics.weights import EQUAL_WEIGHTS, pareto_smooth
from hkflows.integrations.plotting.canvas import DRAWS, FAINT, REFERENCE, new_figure, vector

MIN_WEIGHTS = 25


def plot_weight_tail(log_weights: ArrayLike) -> Any:
    """Draws the largest importance weights against the Pareto tail that k-hat was fitted with.

    Both axes are logarithmic: the horizontal one counts nats above the mean weight, the vertical
    one is the fraction of the draws with a larger weight. There a Pareto tail ends as a straight
    line of slope `-1 / k`. Points beyond the line say that the weights' mean, and with it the
    estimates, may hang on draws that have not come yet.

    Args:
        log_weights: `[S]`, `log p(y_s) - log q(y_s)` (nats), such as
            `fit.diagnostics.log_weights`; minus infinity is a weight of zero. NaN
            and infinity are left out and counted in the title.

    Returns:
        The figure.

    Raises:
        ImportError: if Matplotlib or ArviZ, the extras `plotting` and `diagnostics`, is not
            installed.
        ValueError: if fewer than 25 weights are positive and finite.

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance sampling",
        arXiv:1507.02646.
    """
    values = vector("log_weights", log_weights)
    valid = values[np.isfinite(values) | (values == -np.inf)]
    positive = np.sort(valid[np.isfinite(valid)])
    if positive.size < MIN_WEIGHTS:
        raise ValueError(
            f"`log_weights` must have at least {MIN_WEIGHTS} finite entries for a tail; "
            f"got {positive.size}."
        )
    figure = new_figure("plot_weight_tail", (5.2, 3.6))
    axes = figure.subplots()
    smoothed, khat = pareto_smooth(positive)
    log_mean = np.logaddexp.reduce(positive) - np.log(valid.size)
    # The tail is the part of the weights that PSIS smooths (Vehtari et al. 2024, section 3).
    tail_size = int(np.ceil(min(positive.size / 5, 3 * positive.size**0.5)))
    fraction = (np.arange(positive.size, 0, -1) - 0.5) / valid.size
    shown = slice(-2 * tail_size, None)
    axes.plot(
        positive[shown] - log_mean, fraction[shown], ".", markersize=4, color=DRAWS, label="weights"
    )
    if np.ptp(positive) >= EQUAL_WEIGHTS and np.isfinite(khat):
        fitted = smoothed + (positive[0] - smoothed[0])  # smoothing leaves the smallest as it is
        truncated = fitted > positive[-1] - EQUAL_WEIGHTS
        inside = (positive > positive[-tail_size - 1]) & ~truncated
        axes.plot(fitted[inside] - log_mean, fraction[inside], color=REFERENCE, label="fitted tail")
    axes.axvline(positive[-tail_size - 1] - log_mean, color=FAINT, linestyle=":", linewidth=1)
    left_out = values.size - valid.size
    axes.set(
        yscale="log",
        xlabel="log weight above the mean weight (nats)",
        ylabel="fraction of draws above",
        title=rf"Pareto $\hat k$ = {khat:.2f} (reliable below 0.7)"
        + (f"\n{left_out} non-finite left out" if left_out else ""),
    )
    axes.legend(frameon=False)
    return figure
