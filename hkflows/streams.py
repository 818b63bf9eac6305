"""Results larger than the device's memory: computed and fetched a chunk at a time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Array = jax.Array

CHUNK_SIZE = 10_000


def stream_draws(
    draw: Callable[[Array, int], Any],
    key: Array,
    n: int,
    *,
    picked: np.ndarray | None = None,
    chunk_size: int | None = None,
) -> Any:
    """Returns `n` draws, or some of them, as NumPy arrays.

    Args:
        draw: maps a key and a number to as many draws, a pytree of arrays `[number, ...]`. It is
            always asked for the same number.
        key: a PRNG key; with the same number it gives the same draws again.
        n: the number of draws, at least one.
        picked: the draws to return, `[m]`, in this order; by default all.
        chunk_size: the largest number that `draw` is asked for, by default 10,000.
    """
    size = min(n, CHUNK_SIZE if chunk_size is None else chunk_size)
    starts = range(0, n, size)
    picked = np.arange(n) if picked is None else picked
    whole: Any = None
    for start, chunk_key in zip(starts, jax.random.split(key, len(starts)), strict=True):
        chunk = jax.device_get(draw(chunk_key, size))
        if whole is None:
            whole = _empty(chunk, len(picked))
        places = np.flatnonzero((start <= picked) & (picked < start + size))
        _fill(whole, places, jax.tree.map(lambda a, rows=picked[places] - start: a[rows], chunk))
    return whole


def stream_rows(function: Callable[..., Any], *rows: Any, chunk_size: int | None = None) -> Any:
    """Returns `function(*rows)` as NumPy arrays, for a function that maps row to row.

    Args:
        function: maps arrays `[number, ...]` to a pytree of arrays `[number, ...]`.
        *rows: arrays `[n, ...]`; memory-mapped ones are read a chunk at a time.
        chunk_size: the largest number that the function is asked for, by default 10,000.
    """
    n = len(rows[0])
    size = min(n, CHUNK_SIZE if chunk_size is None else chunk_size)
    whole: Any = None
    for start in range(0, max(n, 1), max(size, 1)):
        # The last chunk begins early, so that it is as long as the others and compiles nothing.
        places = slice(min(start, n - size), min(start, n - size) + size)
        chunk = jax.device_get(function(*(array[places] for array in rows)))
        if whole is None:
            whole = _empty(chunk, n)
        _fill(whole, places, chunk)
    return whole


def _empty(chunk: Any, n: int) -> Any:
    return jax.tree.map(lambda a: np.empty((n, *a.shape[1:]), a.dtype), chunk)


def _fill(whole: Any, places: Any, chunk: Any) -> None:
    for array, part in zip(jax.tree.leaves(whole), jax.tree.leaves(chunk), strict=True):
        array[places] = part
