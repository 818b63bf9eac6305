"""Where rows of data come from: memory, a disk, or an iterator."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from hkflows.training.rows import Rows, check_alike, check_values, counted, rows_of, take

MAX_HELD_OUT = 10_000  # rows
MAX_SAMPLE = 100_000  # rows


def source_of(
    data: Any, context: Any, weights: Any, *, fraction: float, rng: np.random.Generator
) -> "InMemory | MemoryMapped | Pieces":
    """Returns where rows come from, a fraction of them held out; see `fit_density`."""
    if hasattr(data, "__next__"):
        if context is not None or weights is not None:
            raise ValueError(
                "`context` and `weights` must not be given beside an iterator; let it give tuples "
                "`(data, context, weights)`."
            )
        return Pieces(data, fraction)
    rows = rows_of(data, context, weights)
    on_disk = any(isinstance(array, np.memmap) for array in rows)
    return (MemoryMapped if on_disk else InMemory)(rows, fraction, rng)


def validation_rows(value: Any, sample: Rows) -> Rows:
    """Returns rows to validate with, or raises `ValueError` if they are not like a sample."""
    rows = rows_of(*_as_tuple(value))
    check_alike("validation_data", [sample, rows])
    if not len(rows.data):
        raise ValueError(
            "`validation_data` must have rows; got none. To hold out none leave it out, and set "
            "`validation_fraction` to zero."
        )
    return check_values(take(rows, slice(None)))


class InMemory:
    """Rows that are all in memory.

    Args:
        rows: all of them.
        fraction: how many of them to hold out.
        rng: decides which, and in which order the others are. Those of weight zero are left out.
    """

    def __init__(self, rows: Rows, fraction: float, rng: np.random.Generator):
        order = rng.permutation(np.flatnonzero(check_values(rows).weights))
        num_held_out = _num_held_out(fraction, len(order))
        self.num_train = len(order) - num_held_out
        self.held_out = take(rows, order[:num_held_out])
        self.train = take(rows, order[num_held_out:])
        self.sample = take(self.train, slice(MAX_SAMPLE))
        self.mean_weight = _mean_weight(self.sample)


class MemoryMapped:
    """Rows on disk: each batch is drawn from all of those that are not held out.

    Rows of weight zero are left out of those held out, and of the sample.

    Args:
        rows: all of them.
        fraction: how many of them to hold out.
        rng: decides which.
    """

    def __init__(self, rows: Rows, fraction: float, rng: np.random.Generator):
        self._rows = rows
        self._seed = int(rng.integers(2**32))
        N = len(rows.data)
        self._held_out = np.sort(rng.choice(N, _num_held_out(fraction, N), replace=False))
        self.num_train = N - len(self._held_out)
        self.held_out = check_values(counted(take(rows, self._held_out)))
        sample = check_values(self.read(0, min(self.num_train, MAX_SAMPLE)))
        self.mean_weight = _mean_weight(sample)  # batches have rows of weight zero
        self.sample = counted(sample)

    def read(self, start: int, count: int) -> Rows:
        """Returns so many random rows, the same for the same arguments."""
        rng = np.random.default_rng([self._seed, start])
        # The n-th row that is not held out: as many further on as held-out ones come before it.
        before = self._held_out - np.arange(len(self._held_out))
        numbers = np.sort(rng.integers(self.num_train, size=count))  # faster to read in order
        numbers += np.searchsorted(before, numbers, side="right")
        return take(take(self._rows, numbers), rng.permutation(count))


class Pieces:
    """Rows that an iterator gives, each once, in its order.

    The first 10,000 are read at once: a fraction of them is held out, the others are the first to
    train on. Rows of weight zero are left out of those held out, and of the sample.

    Args:
        pieces: gives `data`, or tuples `(data, context, weights)` without what there is not.
        fraction: how many of the first rows to hold out.
    """

    def __init__(self, pieces: Iterator, fraction: float):
        self._pieces = (rows_of(*_as_tuple(piece)) for piece in pieces)
        first = next(self._pieces, None)
        if first is None:
            raise ValueError("`data` must give rows; the iterator is at its end.")
        self._waiting, self._position = first, 0
        first = self._next(MAX_HELD_OUT)
        num_held_out = _num_held_out(fraction, len(first.data))
        self.held_out = check_values(counted(take(first, slice(num_held_out))))
        train = check_values(take(first, slice(num_held_out, None)))
        self.num_train = len(train.data) if len(first.data) < MAX_HELD_OUT else None
        self.mean_weight = _mean_weight(train)  # batches have rows of weight zero
        self.sample = counted(train)
        self._waiting = _together([train, self._waiting])
        self._position = 0  # of the next row among those to train on

    def read(self, start: int, count: int) -> Rows:
        """Returns so many rows, fewer at the end, after leaving out those before `start`."""
        while self._position < start and len(self._next(min(start - self._position, count)).data):
            pass
        return self._next(count)

    def _next(self, count: int) -> Rows:
        parts = [self._waiting]
        while sum(len(part.data) for part in parts) < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
        rows = _together(parts)
        self._waiting = take(rows, slice(count, None))
        rows = take(rows, slice(count))
        self._position += len(rows.data)
        return rows


def _mean_weight(rows: Rows) -> float:
    return float(np.mean(rows.weights, dtype=np.float64))


def _num_held_out(fraction: float, num_rows: int) -> int:
    num_held_out = min(round(fraction * num_rows), MAX_HELD_OUT)
    if num_held_out >= num_rows:
        raise ValueError(f"`data` must leave rows to train on; got {num_rows} rows in all.")
    return num_held_out


def _together(parts: list[Rows]) -> Rows:
    """Returns rows one after the other, without a copy where only one part has any."""
    check_alike("data", parts)
    parts = [part for part in parts if len(part.data)] or parts[:1]
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: np.concatenate(a), *parts)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
