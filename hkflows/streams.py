"""Results larger than the device's memory: computed and fetched a chunk at a time."""

import itertools
from collections.abc import Callable, Iterator
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
    most: Any = None,
    chunk_size: int | None = None,
) -> Any:
    """Returns `n` draws, or some of them, as NumPy arrays.

    Args:
        draw: maps a key and a number to as many draws, a pytree of arrays `[number, ...]`. It is
            always asked for the same number.
        key: a PRNG key; with the same number it gives the same draws again.
        n: the number of draws, at least one.
        picked: the draws to return, `[m]`, in this order; by default all.
        most: of which arrays only so many draws are returned, the first: the structure of what
            `draw` returns, or the beginning of it, with numbers for leaves.
        chunk_size: the largest number that `draw` is asked for, by default 10,000.
    """
    size = min(n, CHUNK_SIZE if chunk_size is None else chunk_size)
    keys = jax.random.split(key, -(-n // size))
    whole: Any = None
    for chunk_key, (places, rows) in zip(keys, _shares(n, size, picked), strict=True):
        chunk = jax.device_get(draw(chunk_key, size))
        if whole is None:
            whole = _empty(chunk, n if picked is None else len(picked), most)
        _fill(whole, places, jax.tree.map(lambda a, rows=rows: a[rows], chunk))
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
        first = min(start, n - size)
        chunk = jax.device_get(function(*(array[first : first + size] for array in rows)))
        if whole is None:
            whole = _empty(chunk, n)
        _fill(whole, np.arange(first, first + size), chunk)
    return whole


def _shares(
    n: int, size: int, picked: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields, for each chunk, the places of the results that it has, and its rows for these."""
    starts = range(0, n, size)
    if picked is None:
        for start in starts:
            rows = np.arange(min(size, n - start))
            yield start + rows, rows
        return
    sorter = np.argsort(picked)
    bounds = np.searchsorted(picked, [*starts, n], sorter=sorter)
    for start, (low, high) in zip(starts, itertools.pairwise(bounds), strict=True):
        places = sorter[low:high]
        yield places, picked[places] - start


def _empty(chunk: Any, n: int, most: Any = None) -> Any:
    def empty(most: int, part: Any) -> Any:
        return jax.tree.map(lambda a: np.empty((min(n, most), *a.shape[1:]), a.dtype), part)

    return empty(n, chunk) if most is None else jax.tree.map(empty, most, chunk)


def _fill(whole: Any, places: np.ndarray, chunk: Any) -> None:
    for array, part in zip(jax.tree.leaves(whole), jax.tree.leaves(chunk), strict=True):
        fits = places < len(array)
        array[places[fits]] = part[fits]
