"""The triangular sweep: a masked network and a scalar equation solved degree after degree.

Let the units of every layer stand in ascending degree. When the inputs of degree up to `k` are
known, so are all hidden units of degree up to `k`, and with them the outputs for the next input.
The sweep computes each unit once, as soon as it can, so its products are those of about one dense
pass. As in a blocked triangular solve, what finished degrees contribute to the next block of
degrees comes from one matrix product a layer over known units only; inside the block a `scan` goes
degree by degree. Arrays in here carry the batch last, so that a degree is a contiguous slice.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.kernels.products import product

Array = jax.Array
Unit = Callable[[Array, Array | float, Array], tuple[Array, Array]]
Solve = Callable[[Any, Array], tuple[Any, Array]]


class Staircase(NamedTuple):
    """The weights of a masked network, its units in ascending degree.

    Attributes:
        weights: one array a layer, `[units_in, units_out]`.
        ends: for each layer of units, from the inputs to the outputs, the number of units of
            degree at most `k`, for `k` from 0 to D. There are none of degree 0.
    """

    weights: tuple[Array, ...]
    ends: tuple[np.ndarray, ...]

    @property
    def event_size(self) -> int:
        """D, the highest degree."""
        return len(self.ends[0]) - 1

    def backwards(self) -> "Staircase":
        """Returns the transposed network; what had degree `k` has `D + 1 - k`, hidden `D - k`."""
        outer = [_flip(self.ends[-1]), _flip(self.ends[0])]
        # The highest hidden degree is D - 1, so a hidden unit sees the same units as before.
        hidden = [np.append(_flip(ends[:-1]), ends[-1]) for ends in self.ends[-2:0:-1]]
        return Staircase(
            weights=tuple(weight.T[::-1, ::-1] for weight in reversed(self.weights)),
            ends=(outer[0], *hidden, outer[1]),
        )


def _flip(ends: np.ndarray) -> np.ndarray:
    return ends[-1] - ends[::-1]


def num_blocks(event_size: int) -> int:
    """Returns into how many blocks to cut D degrees: about a fifth of D, at most 4.

    More would save a little time a run, and cost as much to compile for each.
    """
    return max(1, min(4, (event_size - 1) // 5))


def sweep(
    stairs: Staircase,
    biases: Sequence[Array],
    gates: Sequence[Array],
    unit: Unit,
    solve: Solve,
    rows: Any,
    *,
    residual: bool,
) -> Any:
    """Goes through the degrees, block by block.

    Args:
        stairs: the weights.
        biases: what each layer adds, one `[units, 1 or B]` a layer.
        gates: what each hidden unit has of its own, one `[units, 1 or B]` a hidden layer.
        unit: maps a unit's `z`, what skips a layer to it, and its gate, to the unit's value and to
            what skips to the next layer.
        solve: maps a degree's row and the outputs for it, `[units, B]`, to the solution and to the
            value of the inputs of that degree, `[units, B]`.
        rows: a pytree of `[D, ...]`.
        residual: whether anything skips.

    Returns:
        The solutions, stacked.
    """
    D = stairs.event_size
    edges = np.linspace(0, D, num_blocks(D) + 1).round().astype(int)
    known: list[Array] = []
    solutions = []
    for low, high in itertools.pairwise(edges):
        block = _Block(stairs, low, high)
        offsets = []
        for index, bias in enumerate(biases):
            offset = bias[block.units(index + 1)]
            if known:
                offset = offset + product(block.from_known(index).T, known[index])
            offsets.append(block.spread(index + 1, offset))
        spread_gates = [
            block.spread(index + 1, gate[block.units(index + 1)])
            for index, gate in enumerate(gates)
        ]
        block_rows = jax.tree.map(lambda row, low=low, high=high: row[low:high], rows)
        solution, values = _diagonal(
            block, offsets, spread_gates, unit, solve, block_rows, residual=residual
        )
        solutions.append(solution)
        known = (
            [jnp.concatenate(parts) for parts in zip(known, values, strict=True)]
            if known
            else values
        )
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *solutions)


class _Block:
    """The degrees above `low` up to `high`: slices of a staircase.

    Inside a block every degree has as many slots in a layer as the fullest degree has units; the
    slots left over hold zeros.
    """

    def __init__(self, stairs: Staircase, low: int, high: int):
        self._stairs = stairs
        self._low, self._high = low, high
        self.size = high - low
        self.widths = [int(np.diff(ends[low : high + 1]).max()) for ends in stairs.ends]

    def units(self, layer: int) -> slice:
        """The units of a layer within the block."""
        ends = self._stairs.ends[layer]
        return slice(int(ends[self._low]), int(ends[self._high]))

    def from_known(self, index: int) -> Array:
        """The weights of a layer from the units below the block to those within it."""
        seen = int(self._stairs.ends[index][self._low])
        return self._stairs.weights[index][:seen, self.units(index + 1)]

    def diagonal(self, index: int) -> Array:
        """The weights of a layer within the block, `[degrees, slots out, degrees * slots in]`."""
        weight = self._stairs.weights[index][self.units(index), self.units(index + 1)]
        weight = self.spread(index, weight).reshape(self.size * self.widths[index], weight.shape[1])
        return self.spread(index + 1, weight.T)

    def spread(self, layer: int, values: Array) -> Array:
        """Turns `[units, ...]` into `[degrees, slots, ...]`."""
        places = self._places(layer)
        width = self.widths[layer]
        if len(places) < self.size * width:
            full = jnp.zeros((self.size * width, *values.shape[1:]), values.dtype)
            values = full.at[places].set(values, unique_indices=True, indices_are_sorted=True)
        return values.reshape(self.size, width, *values.shape[1:])

    def gather(self, layer: int, values: Array) -> Array:
        """Turns `[degrees * slots, ...]` into `[units, ...]`."""
        places = self._places(layer)
        return values if len(places) == len(values) else values[places]

    def _places(self, layer: int) -> np.ndarray:
        """The slot of each unit of a layer."""
        counts = np.diff(self._stairs.ends[layer][self._low : self._high + 1])
        starts = np.arange(self.size) * self.widths[layer]
        return np.concatenate(
            [start + np.arange(count) for start, count in zip(starts, counts, strict=True)]
        ).astype(int)


def _diagonal(
    block: _Block,
    offsets: Sequence[Array],
    gates: Sequence[Array],
    unit: Unit,
    solve: Solve,
    rows: Any,
    *,
    residual: bool,
) -> tuple[Any, list[Array]]:
    """Solves within a block, degree by degree.

    Args:
        block: the block.
        offsets: what each layer gets from outside of the block, one `[degrees, slots, 1 or B]`.
        gates: the gates of the hidden layers, likewise.
        unit: as for `sweep`.
        solve: as for `sweep`.
        rows: as for `sweep`, of the block.
        residual: as for `sweep`.

    Returns:
        The solutions, and the value of each layer's units but the outputs', `[units, B]`.
    """
    num_layers = len(offsets)
    weights = [block.diagonal(index) for index in range(num_layers)]

    def step(values: list[Array], row: Any) -> tuple[list[Array], Any]:
        place, weights, offsets, gates, row = row

        def put(layer: int, new: Array) -> None:
            start = place * block.widths[layer]
            values[layer] = jax.lax.dynamic_update_slice_in_dim(values[layer], new, start, axis=0)

        values = list(values)
        solution, new = solve(row, offsets[-1] + product(weights[-1], values[-1]))
        put(0, new)
        skip: Array | float = 0.0
        for index in range(num_layers - 1):
            z = offsets[index] + product(weights[index], values[index])
            new, skip = unit(z, skip if residual else 0.0, gates[index])
            put(index + 1, new)
        return values, solution

    (batch,) = {leaf.shape[-1] for leaf in jax.tree.leaves(rows)}
    start = [
        jnp.zeros((block.size * width, batch), offsets[0].dtype) for width in block.widths[:-1]
    ]
    values, solutions = jax.lax.scan(
        step, start, (np.arange(block.size), weights, list(offsets), list(gates), rows)
    )
    return solutions, [block.gather(layer, value) for layer, value in enumerate(values)]
