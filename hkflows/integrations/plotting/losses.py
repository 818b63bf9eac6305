"""The loss of a fit with its noise, and the ELBO of its stages."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from hkflows.integrations.plotting.canvas import DRAWS, FAINT, new_figure, vector

MAX_WINDOWS = 400  # of the rolling median


def plot_losses(losses: ArrayLike, stages: Sequence[Any] = ()) -> Any:
    """Draws the loss with its noise, and the ELBO of each stage of the fit.

    The line is the median over a window of steps, a fiftieth of them all; the band holds 80 % of
    the window's losses. Losses that are not finite are left out and counted in the title. The
    ELBOs are shown as nats below the best of them, on an axis that is linear within the noise of
    the best and logarithmic beyond.

    Args:
        losses: the negative ELBO of each step (nats), `[num_steps]`, such as `fit.losses`.
        stages: the stages of the fit in their order, such as `fit.stages`; each has a `name`, an
            `elbo` and its `elbo_standard_error` (nats), and `kept`, false where it
            made nothing better.

    Returns:
        The figure: one panel for the losses if there are any, one for the stages if there are any.

    Raises:
        ImportError: if Matplotlib, the extra `plotting`, is not installed.
        ValueError: if there are neither losses nor stages, or the losses are no vector.
    """
    values = vector("losses", losses)
    if not values.size and not stages:
        raise ValueError("`losses` and `stages` must not both be empty.")
    size = bool(values.size) + bool(stages)
    figure = new_figure("plot_losses", (5.2 * size, 3.6))
    panels = figure.subplots(1, size, squeeze=False)[0]
    if values.size:
        _draw_losses(panels[0], values)
    if stages:
        _draw_stages(panels[-1], stages)
    return figure


def _draw_losses(axes: Any, losses: np.ndarray) -> None:
    steps = np.flatnonzero(np.isfinite(losses))
    if not steps.size:
        raise ValueError(f"`losses` must hold a finite one; none of {losses.size} is.")
    width = -(-steps.size // 50)
    windows = np.lib.stride_tricks.sliding_window_view(losses[steps], width)
    stride = -(-len(windows) // MAX_WINDOWS)
    low, median, high = np.percentile(windows[::stride], [10, 50, 90], axis=1)
    middle = steps[width // 2 :][: len(windows) : stride]
    axes.fill_between(
        middle, low, high, color=DRAWS, alpha=0.3, linewidth=0, label=f"10 to 90 % of {width} steps"
    )
    axes.plot(middle, median, color=DRAWS, label="median")
    bottom, top = low.min(), np.percentile(high, 95)  # without the first steps, often far above
    margin = 0.05 * (top - bottom)
    if margin > 0.0:
        axes.set_ylim(bottom - margin, top + margin)
    left_out = losses.size - steps.size
    axes.set(
        xlabel="step",
        ylabel="negative ELBO (nats)",
        title="Loss" + (f" ({left_out} non-finite left out)" if left_out else ""),
    )
    axes.legend(frameon=False)


def _draw_stages(axes: Any, stages: Sequence[Any]) -> None:
    elbos = np.asarray([stage.elbo for stage in stages], dtype=np.float64)
    errors = 2.0 * np.asarray([stage.elbo_standard_error for stage in stages], dtype=np.float64)
    finite = np.isfinite(elbos) & np.isfinite(errors)
    if finite.any():
        best = np.argmax(np.where(finite, elbos, -np.inf))
        axes.set_yscale("symlog", linthresh=max(errors[best], 1e-3))
        for at, stage in enumerate(stages):
            if not finite[at]:
                continue  # its label says so
            axes.errorbar(
                at,
                elbos[best] - elbos[at],
                yerr=errors[at],
                fmt="o",
                color=DRAWS,
                capsize=4,
                markerfacecolor=DRAWS if stage.kept else "none",
            )
    axes.axhline(0.0, color=FAINT, linestyle=":", linewidth=1)
    axes.invert_yaxis()
    axes.set(
        xlim=(-0.5, len(stages) - 0.5),
        xticks=range(len(stages)),
        xticklabels=[
            f"{stage.name}{'' if stage.kept else ' (not kept)'}\n{elbo:.2f}\n± {error:.2g}"
            for stage, elbo, error in zip(stages, elbos, errors, strict=True)
        ],
        ylabel="ELBO below the best (nats)",
        title="ELBO of each stage, ± 2 standard errors (nats)",
    )
