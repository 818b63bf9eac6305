"""Where data lie, and how far they spread."""

from typing import Any

import jax
import numpy as np

Rows = jax.Array | np.ndarray

ROUNDING = 32.0  # spacings of floating-point numbers


def location_and_spread(rows: Rows, weights: Rows | None = None) -> tuple[Any, Any]:
    """Returns the means and the standard deviations of the columns, `[D]` both.

    The standard deviation of a column that does not vary by more than rounding is zero.

    Args:
        rows: `[N, D]`, of JAX or of NumPy.
        weights: `[N]`, of the rows; by default equal ones.
    """
    xp = rows.__array_namespace__()
    mean = xp.average(rows, axis=0, weights=weights)
    spread = xp.sqrt(xp.average((rows - mean) ** 2, axis=0, weights=weights))
    noise = ROUNDING * xp.finfo(rows.dtype).eps * xp.max(xp.abs(rows), axis=0)
    return mean, xp.where(spread > noise, spread, 0.0)


def location_and_scale(rows: Rows, weights: Rows | None = None) -> tuple[Any, Any]:
    """Returns `location_and_spread` with a spread of one for columns that do not vary."""
    mean, spread = location_and_spread(rows, weights)
    return mean, rows.__array_namespace__().where(spread > 0.0, spread, 1.0)
