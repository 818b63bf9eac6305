"""The triangular sweep: a masked network and a scalar map solved together, degree after degree.

Let the units of every layer stand in ascending degree. When the inputs of degree up to `k` are
known, so are all hidden units of degree up to `k`, and with them the outputs for the next input.
The sweep computes each unit once, as soon as it can, so it costs about one dense pass. As in a
blocked triangular solve, what finished degrees contribute to the next block of degrees comes from
one matrix product a layer over known units only; inside the block a `scan` goes degree by degree.

One routine, `_sweep`, serves three problems: the nonlinear inverse of an autoregressive map, and
the two linear systems with its Jacobian, `J x = b` and, going through the degrees backwards,
`J^T x = b`. Arrays in here carry the batch last, so that a degree is a contiguous slice.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.kernels.degrees import hidden_degrees
from hkflows.kernels.masked_mlp import MaskedMLP

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
    """Returns into how many blocks to cut D degrees: about the square root of D, at most 8."""
    return max(1, min(8, round(math.sqrt(event_size))))


def invert(tau: Any, network: MaskedMLP, v: Array) -> tuple[Array, Array]:
    """Returns `u` with `v_i = tau(u_i; h_i(u_<i))`, and `log|det du/dv|`.

    Args:
        tau: the scalar map; see `kernels.autoregressive.ScalarMap`.
        network: gives `h`.
        v: `[..., D]`, with the full batch shape.
    """
    stairs, biases = _without_constants(network, v.shape[:-1])

    def unit(z: Array, skip: Array | float, _: Array) -> tuple[Array, Array]:
        z = z + skip
        return network.activation(z), z

    def solve(v: Array, params: Array) -> tuple[tuple[Array, Array], Array]:
        u, log_slope = tau.inverse(v, params.T)
        return (u, log_slope), u[None]

    gates = [jnp.zeros((len(bias), 1)) for bias in biases[:-1]]
    rows = _degrees_first(network, v)
    u, log_slope = _sweep(stairs, biases, gates, unit, solve, rows, residual=network.residual)
    return _batch_first(network, u, v.shape), jnp.sum(log_slope, axis=0).reshape(v.shape[:-1])


class Linearised(NamedTuple):
    """The derivative of an autoregressive map at a point, ready for triangular solves.

    Attributes:
        stairs: the weights.
        gates: the slopes of the activations, one `[units, B]` a hidden layer.
        slope: `dv_i / du_i`, `[D, B]`.
        sensitivity: `dv_i / dh_i`, `[D, P, B]`.
        network: the network, for its static settings.
    """

    stairs: Staircase
    gates: tuple[Array, ...]
    slope: Array
    sensitivity: Array
    network: MaskedMLP

    def solve(self, b: Array) -> Array:
        """Returns `x`, `[..., D]`, with `J x = b`."""

        def unit(z: Array, skip: Array | float, gate: Array) -> tuple[Array, Array]:
            z = z + skip
            return gate * z, z

        def solve(row: tuple[Array, Array, Array], params: Array) -> tuple[Array, Array]:
            b, slope, sensitivity = row
            x = (b - jnp.sum(sensitivity * params, axis=0)) / slope
            return x, x[None]

        rows = (_degrees_first(self.network, b), self.slope, self.sensitivity)
        x = self._sweep(self.stairs, self.gates, unit, solve, rows)
        return _batch_first(self.network, x, b.shape)

    def solve_transposed(self, b: Array) -> Array:
        """Returns `x`, `[..., D]`, with `J^T x = b`."""

        def unit(z: Array, skip: Array | float, gate: Array) -> tuple[Array, Array]:
            z = gate * z + skip
            return z, z

        def solve(row: tuple[Array, Array, Array], through: Array) -> tuple[Array, Array]:
            b, slope, sensitivity = row
            x = (b - through[0]) / slope
            return x, (sensitivity * x)[::-1]  # the order of the flipped weights

        rows = (_degrees_first(self.network, b), self.slope, self.sensitivity)
        x = self._sweep(
            self.stairs.backwards(),
            [gate[::-1] for gate in reversed(self.gates)],
            unit,
            solve,
            jax.tree.map(lambda array: array[::-1], rows),
        )
        return _batch_first(self.network, x[::-1], b.shape)

    def _sweep(
        self, stairs: Staircase, gates: Sequence[Array], unit: Unit, solve: Solve, rows: Any
    ) -> Array:
        biases = [jnp.zeros((weight.shape[1], 1), weight.dtype) for weight in stairs.weights]
        return _sweep(stairs, biases, gates, unit, solve, rows, residual=self.network.residual)


def linearise(tau: Any, network: MaskedMLP, u: Array) -> Linearised:
    """Linearises `v_i = tau(u_i; h_i(u_<i))` at `u`, shape `[..., D]`."""
    stairs, _ = _without_constants(network, u.shape[:-1])
    hidden = network.hidden(u)
    params = network.readout(u, hidden)
    v, pullback = jax.vjp(lambda u, params: tau.forward(u, params)[0], u, params)
    slope, sensitivity = pullback(jnp.ones_like(v))
    order = np.asarray(network.order)
    batch = math.prod(u.shape[:-1])
    return Linearised(
        stairs=stairs,
        gates=tuple(
            _slope(network.activation, z[..., z.shape[-1] - ends[-1] :]).reshape(batch, ends[-1]).T
            for z, ends in zip(hidden, stairs.ends[1:-1], strict=True)
        ),
        slope=_degrees_first(network, slope),
        sensitivity=jnp.moveaxis(sensitivity.reshape(batch, *params.shape[-2:])[:, order], 0, -1),
        network=network,
    )


def _slope(activation: Callable[[Array], Array], z: Array) -> Array:
    return jax.jvp(activation, (z,), (jnp.ones_like(z),))[1]


def _degrees_first(network: MaskedMLP, value: Array) -> Array:
    """Turns `[..., D]` into `[D, B]`, in the order of the network."""
    return value.reshape(-1, network.event_size)[:, np.asarray(network.order)].T


def _batch_first(network: MaskedMLP, value: Array, shape: tuple[int, ...]) -> Array:
    """Turns `[D, B]`, in the order of the network, into `[..., D]`."""
    return value.T[:, np.argsort(network.order)].reshape(shape)


def _without_constants(
    network: MaskedMLP, batch_shape: tuple[int, ...]
) -> tuple[Staircase, list[Array]]:
    """Sorts the network by degree, and lets its units of degree 0 do their work in the biases.

    They see no input, so they are constants, or functions of the context alone.

    Returns:
        The weights between all other units; and the biases, each `[units, 1]` or `[units, B]`.
    """
    D, P = network.event_size, network.num_params
    order = np.asarray(network.order)
    *inner, last = network.weights
    columns = last.reshape(-1, D, P)[:, order].reshape(-1, D * P)
    weights = [*inner, columns]
    weights[0] = weights[0][order]
    biases = [_batch_last(bias, batch_shape) for bias in network.biases]
    biases[-1] = biases[-1].reshape(D, P, -1)[order].reshape(D * P, -1)

    skip: Array | float = 0.0
    constants = jnp.zeros((0, 1), biases[0].dtype)  # the values of the last layer's units
    ends = [np.arange(D + 1)]
    for index in range(len(weights)):
        biases[index] = biases[index] + weights[index][: len(constants)].T @ constants
        weights[index] = weights[index][len(constants) :]
        if index < len(weights) - 1:
            degrees = hidden_degrees(len(biases[index]), D, network.conditional)
            count = int(np.sum(degrees == 0))
            skip = biases[index][:count] + (skip if network.residual else 0.0)
            constants = network.activation(skip)
            biases[index], weights[index] = biases[index][count:], weights[index][:, count:]
            ends.append(np.searchsorted(degrees[count:], ends[0], side="right"))
    return Staircase(tuple(weights), (*ends, P * ends[0])), biases


def _batch_last(bias: Array, batch_shape: tuple[int, ...]) -> Array:
    """Turns a bias `[units]` into `[units, 1]`, and one with a context batch into `[units, B]`."""
    if bias.ndim == 1:
        return bias[:, None]
    return jnp.broadcast_to(bias, (*batch_shape, bias.shape[-1])).reshape(-1, bias.shape[-1]).T


def _sweep(
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
                offset = offset + block.from_known(index).T @ known[index]
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
        unit: as for `_sweep`.
        solve: as for `_sweep`.
        rows: as for `_sweep`, of the block.
        residual: as for `_sweep`.

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
        solution, new = solve(row, offsets[-1] + weights[-1] @ values[-1])
        put(0, new)
        skip: Array | float = 0.0
        for index in range(num_layers - 1):
            z = offsets[index] + weights[index] @ values[index]
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
