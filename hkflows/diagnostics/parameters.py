"""Means and standard deviations of the parameters, plain and corrected by importance weights."""

import dataclasses
from typing import Any

import jax
import numpy as np

MOST_OF_ONE = 0.1  # share of a variance that a single draw may have


@dataclasses.dataclass(frozen=True, eq=False)
class Parameters:
    """The marginal distributions of K scalar parameters, by two estimates from the same draws.

    Those of an angle are taken on the circle cut opposite of the mean direction of its draws.

    Attributes:
        names: K names.
        mean: of the draws, `[K]`.
        sd: standard deviation of the draws, `[K]`.
        corrected_mean: of the weighted draws, `[K]`.
        corrected_sd: standard deviation of the weighted draws, `[K]`.
        stretch: the corrected standard deviation over the plain one, less one, `[K]`.
        stretch_error: standard error of that, from the fourth moment, `[K]`; infinite where a
            single draw makes up a tenth of the variance, which then need not exist.
        gap: the largest difference between the distribution functions of the draws and of the
            weighted draws, `[K]`, between 0 and 1. Unlike that of moments it is the same in any
            unit, and small noise in a heavy tail leaves it small.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    corrected_mean: np.ndarray
    corrected_sd: np.ndarray
    stretch: np.ndarray
    stretch_error: np.ndarray
    gap: np.ndarray


def compare(
    names: tuple[str, ...], draws: Any, weights: np.ndarray, is_angle: np.ndarray
) -> Parameters:
    """Returns both estimates for every scalar parameter.

    Args:
        names: of the scalars, in the order of the leaves, row by row, K of them.
        draws: a pytree of arrays `[S, ...]`.
        weights: `[S]`, summing to one.
        is_angle: which of the scalars are angles, `[K]`.
    """
    columns = (
        column
        for leaf in jax.tree.leaves(draws)
        for column in np.reshape(leaf, (len(weights), -1)).T
    )
    with np.errstate(over="ignore", invalid="ignore"):  # of an improper posterior
        marginals = [
            _marginal(_about_the_mean_direction(column) if angle else column, weights)
            for column, angle in zip(columns, is_angle, strict=True)
        ]
    fields = jax.tree.map(lambda *numbers: np.stack(numbers), *marginals)
    return Parameters(names=names, **fields)


def unknown_parameters(names: tuple[str, ...]) -> Parameters:
    """Returns parameters of which there is no estimate: all of it is NaN."""
    unknown = np.full(len(names), np.nan)
    numbers = [field.name for field in dataclasses.fields(Parameters) if field.name != "names"]
    return Parameters(names=names, **dict.fromkeys(numbers, unknown))


def _marginal(values: np.ndarray, weights: np.ndarray) -> dict[str, np.floating]:
    """Returns the fields of `Parameters` for one of them, from its values, `[S]`."""
    rounding = 10.0 * np.finfo(np.result_type(values, np.float32)).eps * np.abs(values).max()
    values = np.asarray(values, np.float64)
    if values.std() < rounding:  # a constant that was computed, such as the sum of a simplex
        values = np.full_like(values, values[0])
    sd, corrected_mean = values.std(), weights @ values
    deviations = (values - corrected_mean) ** 2
    variance = weights @ deviations
    # A parameter that does not vary is neither stretched nor in error.
    positive = variance if variance > 0.0 else 1.0
    stretch_error = 0.5 * np.sqrt(weights**2 @ (deviations / positive - 1.0) ** 2)
    if np.max(weights * deviations) / positive > MOST_OF_ONE:
        stretch_error = np.float64(np.inf)
    return {
        "mean": values.mean(),
        "sd": sd,
        "corrected_mean": corrected_mean,
        "corrected_sd": np.sqrt(variance),
        "stretch": np.sqrt(variance) / (sd if sd > 0.0 else 1.0) - (sd > 0.0),
        "stretch_error": stretch_error,
        "gap": _distribution_gap(values, weights),
    }


def _about_the_mean_direction(angles: np.ndarray) -> np.ndarray:
    """Returns angles, `[S]`, by whole turns no farther than half a turn from their mean."""
    direction = np.angle(np.exp(1j * angles).mean())
    return direction + (angles - direction + np.pi) % (2.0 * np.pi) - np.pi


def _distribution_gap(values: np.ndarray, weights: np.ndarray) -> np.floating:
    order = np.argsort(values)
    in_order = values[order]
    gap = np.abs(np.cumsum(weights[order] - 1.0 / len(weights)))
    # The distribution functions have a point at each value, not at each of several equal draws.
    is_last = np.append(in_order[1:] != in_order[:-1], True)
    return np.max(gap[is_last])
