"""Three triangular problems of a masked autoregressive map, each solved by one sweep.

The map `v_i = tau(u_i; h_i(u_<i))` is inverted; and with its Jacobian `J` at a point, the systems
`J x = b` and, going through the degrees backwards, `J^T x = b` are solved.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.kernels.degrees import hidden_degrees
from hkflows.kernels.masked_mlp import MaskedMLP
from hkflows.kernels.products import product
from hkflows.kernels.sweep import Solve, Staircase, Unit, sweep

Array = jax.Array


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
        return network.rounded(network.activation(z)), z

    def solve(v: Array, params: Array) -> tuple[tuple[Array, Array], Array]:
        u, log_slope = tau.inverse(v, params.T)
        return (u, log_slope), network.rounded(u)[None]

    gates = [jnp.zeros((len(bias), 1), v.dtype) for bias in biases[:-1]]
    rows = _degrees_first(network, v)
    u, log_slope = sweep(stairs, biases, gates, unit, solve, rows, residual=network.residual)
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
        return sweep(stairs, biases, gates, unit, solve, rows, residual=self.network.residual)


def linearise(network: MaskedMLP, u: Array, slope: Array, sensitivity: Array) -> Linearised:
    """Linearises `v_i = tau(u_i; h_i(u_<i))` at a point.

    Args:
        network: gives `h`.
        u: the point, `[..., D]`.
        slope: `dv_i / du_i`, `[..., D]`.
        sensitivity: `dv_i / dh_i`, `[..., D, P]`.
    """
    stairs, _ = _without_constants(network, u.shape[:-1])
    order = np.asarray(network.order)
    sensitivity = sensitivity.reshape(math.prod(u.shape[:-1]), *sensitivity.shape[-2:])
    return Linearised(
        stairs=stairs,
        gates=tuple(
            _gate(network.activation, z, int(ends[-1]))
            for z, ends in zip(network.hidden(u), stairs.ends[1:-1], strict=True)
        ),
        slope=_degrees_first(network, slope),
        sensitivity=jnp.moveaxis(sensitivity[:, order], 0, -1),
        network=network,
    )


def _gate(activation: Callable[[Array], Array], z: Array, count: int) -> Array:
    """Returns the slope of the activation at the last `count` units of `z`, `[count, B]`."""
    z = z.reshape(math.prod(z.shape[:-1]), z.shape[-1])[:, z.shape[-1] - count :]
    return jax.jvp(activation, (z,), (jnp.ones_like(z),))[1].T


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
    *inner, last = map(network.rounded, network.weights)
    columns = last.reshape(-1, D, P)[:, order].reshape(-1, D * P)
    weights = [*inner, columns]
    weights[0] = weights[0][order]
    biases = [_batch_last(bias, batch_shape) for bias in network.biases]
    biases[-1] = biases[-1].reshape(D, P, -1)[order].reshape(D * P, -1)

    skip: Array | float = 0.0
    constants = jnp.zeros((0, 1), biases[0].dtype)  # the values of the last layer's units
    ends = [np.arange(D + 1)]
    for index in range(len(weights)):
        biases[index] = biases[index] + product(weights[index][: len(constants)].T, constants)
        weights[index] = weights[index][len(constants) :]
        if index < len(weights) - 1:
            degrees = hidden_degrees(len(biases[index]), D, network.conditional)
            count = int(np.sum(degrees == 0))
            skip = biases[index][:count] + (skip if network.residual else 0.0)
            constants = network.rounded(network.activation(skip))
            biases[index], weights[index] = biases[index][count:], weights[index][:, count:]
            ends.append(np.searchsorted(degrees[count:], ends[0], side="right"))
    return Staircase(tuple(weights), (*ends, P * ends[0])), biases


def _batch_last(bias: Array, batch_shape: tuple[int, ...]) -> Array:
    """Turns a bias `[units]` into `[units, 1]`, and one with a context batch into `[units, B]`."""
    if bias.ndim == 1:
        return bias[:, None]
    return jnp.broadcast_to(bias, (*batch_shape, bias.shape[-1])).reshape(-1, bias.shape[-1]).T
