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
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(draws)]
    values = np.concatenate([leaf.reshape(len(weights), -1) for leaf in leaves], axis=1)
    values[:, is_angle] = _about_the_mean_direction(values[:, is_angle])
    sd, corrected_mean = values.std(axis=0), weights @ values
    deviations = (values - corrected_mean) ** 2
    variance = weights @ deviations
    # A parameter that does not vary is neither stretched nor in error.
    positive = np.where(variance > 0.0, variance, 1.0)
    stretch_error = 0.5 * np.sqrt(weights**2 @ (deviations / positive - 1.0) ** 2)
    largest = np.max(weights[:, None] * deviations, axis=0) / positive
    stretch_error[largest > MOST_OF_ONE] = np.inf
    return Parameters(
        names=names,
        mean=values.mean(axis=0),
        sd=sd,
        corrected_mean=corrected_mean,
        corrected_sd=np.sqrt(variance),
        stretch=np.sqrt(variance) / np.where(sd > 0.0, sd, 1.0) - (sd > 0.0),
        stretch_error=stretch_error,
        gap=_distribution_gap(values, weights),
    )


def _about_the_mean_direction(angles: np.ndarray) -> np.ndarray:
    """Returns angles, `[S, A]`, by whole turns no farther than half a turn from their mean."""
    direction = np.angle(np.exp(1j * angles).mean(axis=0))
    return direction + (angles - direction + np.pi) % (2.0 * np.pi) - np.pi


def _distribution_gap(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(values, axis=0)
    in_order = np.take_along_axis(values, order, axis=0)
    gap = np.abs(np.cumsum(weights[order] - 1.0 / len(weights), axis=0))
    # The distribution functions have a point at each value, not at each of several equal draws.
    is_last = np.ones_like(gap, bool)
    is_last[:-1] = in_order[1:] != in_order[:-1]
    return np.max(gap, axis=0, where=is_last, initial=0.0)
