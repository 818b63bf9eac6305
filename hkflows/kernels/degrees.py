"""Degrees and masks: who may see whom in a masked autoregressive network.

Every unit carries a degree. The input that comes `k`-th in the autoregressive order has degree `k`
(from 1 to D), a context has degree 0, a hidden unit any degree from 0 to D - 1. A hidden unit sees
the units of at most its own degree; the outputs for the `k`-th input see the hidden units of lower
degree. So the parameters of the `k`-th scalar map depend on the context and the `k - 1` inputs
before it.

References:
    Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution
    estimation", section 3, arXiv:1502.03509.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Order = Literal["natural", "reverse"] | Sequence[int] | np.ndarray


def resolve_order(event_size: int, order: Order) -> tuple[int, ...]:
    """Returns the order as a tuple: its `k`-th entry is the event dimension that comes `k`-th."""
    if isinstance(order, str):
        if order == "natural":
            return tuple(range(event_size))
        if order == "reverse":
            return tuple(reversed(range(event_size)))
        raise ValueError(
            f'`order` must be "natural", "reverse" or a permutation of 0..{event_size - 1}; '
            f'got "{order}".'
        )
    return permutation("order", order, event_size)


def permutation(
    name: str, indices: Sequence[int] | np.ndarray, size: int | None = None
) -> tuple[int, ...]:
    """Returns `indices` as a tuple of `int` if they permute 0..size-1, or raises `ValueError`."""
    array = np.asarray(indices)
    size = array.size if size is None else size
    integral = np.issubdtype(array.dtype, np.integer)
    if not integral or array.ndim != 1 or sorted(array.tolist()) != list(range(size)) or size == 0:
        raise ValueError(f"`{name}` must be a permutation of 0..{size - 1}; got {indices!r}.")
    return tuple(int(i) for i in array)


def input_degrees(order: Sequence[int]) -> np.ndarray:
    """Returns the degree (1 to D) of each event dimension, shape `[D]`."""
    degrees = np.empty(len(order), dtype=int)
    degrees[np.asarray(order)] = np.arange(1, len(order) + 1)
    return degrees


def hidden_degrees(width: int, event_size: int, conditional: bool) -> np.ndarray:
    """Returns ascending degrees for `width` hidden units, spread evenly, shape `[width]`.

    Degree 0 sees the context alone, so it is given out only when there is a context (or when D = 1,
    where no other hidden degree exists and the units are constants).
    """
    lowest = 0 if conditional or event_size == 1 else 1
    return lowest + np.arange(width) * (event_size - lowest) // width


def mask(degrees_in: np.ndarray, degrees_out: np.ndarray, strict: bool = False) -> np.ndarray:
    """Returns the boolean mask `[in, out]` of the weights that the degrees allow."""
    if strict:
        return degrees_in[:, None] < degrees_out[None, :]
    return degrees_in[:, None] <= degrees_out[None, :]
