"""Rows of data on the host."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks


class Rows(NamedTuple):
    """Rows of data, what they are conditioned on, and how much they count."""

    data: Any  # [N, D]
    context: Any  # [N, C], or None
    weights: Any  # [N]


def rows_of(data: Any, context: Any = None, weights: Any = None) -> Rows:
    """Returns rows as NumPy arrays, memory-mapped ones as they are, or raises `ValueError`."""
    data = matrix("data", data)
    if weights is None:
        weights = np.broadcast_to(np.float32(1.0), len(data))
    rows = Rows(
        data,
        None if context is None else matrix("context", context),
        _floating("weights", weights, 1, "vector, one for each row"),
    )
    for name, array in (("context", rows.context), ("weights", rows.weights)):
        if array is not None and len(array) != len(data):
            raise ValueError(
                f"`{name}` must have a row for each row of `data`; got {len(array)} and "
                f"{len(data)}."
            )
    return rows


def matrix(name: str, value: Any) -> np.ndarray:
    """Returns rows of floating numbers on the host, `[N, D]`, or raises `ValueError`."""
    return _floating(name, value, 2, "matrix of rows")


def take(rows: Rows, index: Any) -> Rows:
    """Returns some of the rows."""
    return jax.tree.map(lambda array: np.asarray(array[index]), rows)


def counted(rows: Rows) -> Rows:
    """Returns the rows whose weight is not zero."""
    return take(rows, np.flatnonzero(rows.weights))


def check_values(rows: Rows) -> Rows:
    """Returns rows that can be fitted, or raises `ValueError`."""
    for name, array in zip(Rows._fields, rows, strict=True):
        if array is not None:
            checks.all_finite(name, array)
    if (rows.weights < 0.0).any() or (len(rows.weights) and not rows.weights.any()):
        raise ValueError("`weights` must not be negative, nor all of them zero.")
    return rows


def check_alike(name: str, parts: list[Rows]) -> None:
    """Raises `ValueError` if some rows have other sizes, or another kind of context."""
    sizes = {
        (part.data.shape[1], None if part.context is None else part.context.shape[1])
        for part in parts
    }
    if len(sizes) > 1:
        raise ValueError(
            f"`{name}` must have rows and contexts of the sizes of the others; got (rows, contexts)"
            f" of {' and '.join(map(str, sizes))} columns."
        )


def _floating(name: str, value: Any, ndim: int, expected: str) -> np.ndarray:
    """Returns an array of a floating dtype on the host, or raises `ValueError`."""
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"`{name}` must have no masked entries: leave out their rows; got a mask.")
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError as error:  # such as rows of different lengths
        raise ValueError(f"`{name}` must be an array of numbers; {error}.") from error
    if array.dtype == object:
        raise ValueError(f"`{name}` must be an array of numbers; got {type(value).__name__}.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"`{name}` must be floating; got {array.dtype}.")
    if array.dtype.itemsize > 8:
        raise ValueError(f"`{name}` must be float64 at most; got {array.dtype}.")
    if not array.dtype.isnative:
        if isinstance(array, np.memmap):
            raise ValueError(
                f"`{name}` must have this machine's byte order to stay on disk; got "
                f"{array.dtype.str!r}."
            )
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 1 and ndim == 2:
        expected += f", of one column if it is `{name}[:, None]`"
    if array.ndim != ndim or 0 in array.shape[1:]:
        raise ValueError(f"`{name}` must be a {expected}; got shape {array.shape}.")
    return array
