"""Every pair of parameters."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.integrations.plotting.canvas import DRAWS, REFERENCE, new_figure
from hkflows.targets.names import scalar_names

MAX_POINTS = 2000  # of a scatter plot


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
    figure = new_figure("plot_pairs", (1.0 + 1.7 * size, 1.0 + 1.7 * size))
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
