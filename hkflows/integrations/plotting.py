"""Pictures of a fit: its loss, its draws, the tail of its weights.

Each function returns a `matplotlib.figure.Figure` of its own, which notebooks show and
`figure.savefig(path)` saves; pyplot and its settings are left alone.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hkflows import checks
from hkflows.diagnostics.weights import EQUAL_WEIGHTS, pareto_smooth
from hkflows.integrations.extras import load
from hkflows.targets.names import scalar_names
from hkflows.training import PosteriorFit

MAX_POINTS = 2000  # of a scatter plot
MAX_WINDOWS = 400  # of the rolling median
MIN_WEIGHTS = 25

DRAWS, REFERENCE, FAINT = "C0", "C1", "0.6"


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
    values = _vector("losses", losses)
    if not values.size and not stages:
        raise ValueError("`losses` and `stages` must not both be empty.")
    size = bool(values.size) + bool(stages)
    figure = _figure("plot_losses", (5.2 * size, 3.6))
    panels = figure.subplots(1, size, squeeze=False)[0]
    if values.size:
        _draw_losses(panels[0], values)
    if stages:
        _draw_stages(panels[-1], stages)
    return figure


def plot_pairs(
    draws: Any,
    reference: Any = None,
    names: Sequence[str] | None = None,
    max_parameters: int = 6,
) -> Any:
    """Draws every pair of parameters as a scatter plot, and each of them as a histogram.

    The axes leave out the outermost half per cent of the draws on either side, so that a heavy tail
    does not hide the rest.

    Args:
        draws: draws of the parameters, a pytree of `[num_draws, ...]` arrays, such as
            `fit.sample(key, 2000)`.
        reference: draws to compare with, likewise; their number may differ.
        names: a name for each scalar parameter, in the order of the pytree's leaves; by default as
            one indexes them: `scale`, `x[0]`.
        max_parameters: only so many of the scalar parameters are shown, the first.

    Returns:
        The figure.

    Raises:
        ImportError: if Matplotlib, the extra `plotting`, is not installed.
        ValueError: if an argument is off, or a draw is not finite.
    """
    checks.positive_int("max_parameters", max_parameters)
    table, labels = _columns("draws", draws)
    tables = [(table, DRAWS, "draws")]
    if reference is not None:
        reference, _ = _columns("reference", reference)
        if reference.shape[1] != table.shape[1]:
            raise ValueError(
                f"`reference` must have {table.shape[1]} scalar parameters, as `draws`; "
                f"got {reference.shape[1]}."
            )
        tables.insert(0, (reference, REFERENCE, "reference"))
    if names is not None:
        if len(names) != len(labels):
            raise ValueError(
                f"`names` must name each of the {len(labels)} scalar parameters; got {len(names)}."
            )
        labels = tuple(names)

    size = min(len(labels), max_parameters)
    figure = _figure("plot_pairs", (1.0 + 1.7 * size, 1.0 + 1.7 * size))
    grid = figure.subplots(size, size, squeeze=False, sharex="col")
    limits = [_limits(np.concatenate([table[:, i] for table, *_ in tables])) for i in range(size)]
    for row, column in np.ndindex(size, size):
        axes = grid[row, column]
        if column > row:
            axes.set_axis_off()
            continue
        for table, color, label in tables:
            if row == column:
                axes.hist(
                    table[:, row],
                    bins=np.linspace(*limits[row], 41),
                    density=True,
                    histtype="step",
                    color=color,
                    label=label,
                )
            else:
                some = table[:: -(-len(table) // MAX_POINTS)]
                axes.scatter(
                    some[:, column], some[:, row], s=4, alpha=0.3, linewidths=0, color=color
                )
        axes.set_xlim(limits[column])
        if row == column:
            axes.set(yticks=[], ylabel="density" if row == 0 else "")
        else:
            axes.set_ylim(limits[row])
            axes.set_ylabel(labels[row] if column == 0 else "")
            axes.tick_params(labelleft=column == 0)
        axes.set_xlabel(labels[column] if row == size - 1 else "")
    if reference is not None:
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="upper right", frameon=False)
    if size < len(labels):
        figure.suptitle(f"The first {size} of {len(labels)} parameters")
    return figure


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
    values = _vector("log_weights", log_weights)
    valid = values[np.isfinite(values) | (values == -np.inf)]
    positive = np.sort(valid[np.isfinite(valid)])
    if positive.size < MIN_WEIGHTS:
        raise ValueError(
            f"`log_weights` must have at least {MIN_WEIGHTS} finite entries for a tail; "
            f"got {positive.size}."
        )
    figure = _figure("plot_weight_tail", (5.2, 3.6))
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


def _figure(caller: str, size: tuple[float, float]) -> Any:
    module = load("matplotlib.figure", extra="plotting", caller=caller)
    return module.Figure(figsize=size, layout="constrained")


def _vector(name: str, value: ArrayLike) -> np.ndarray:
    vector = np.asarray(value, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"`{name}` must be a vector; got shape {vector.shape}.")
    return vector


def _columns(name: str, draws: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the draws of all scalars, `[num_draws, num_scalars]`, and the scalars' names."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(draws)]
    lengths = {leaf.shape[:1] for leaf in leaves}
    if len(lengths) != 1 or () in lengths or (0,) in lengths:
        raise ValueError(
            f"`{name}` must be a pytree of arrays with one leading axis of draws; got shapes "
            f"{[leaf.shape for leaf in leaves]}."
        )
    table = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    checks.all_finite(name, table)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf)[1:], jnp.float32), draws)
    return table, scalar_names(one)


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [0.5, 99.5])
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
