"""A masked multilayer perceptron as a value: its weights and how to evaluate them."""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hkflows.kernels import products

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MaskedMLP:
    """An autoregressive network `u -> params`, `[..., D] -> [..., D, P]`, at fixed weights.

    With `z_1 = u W_0 + b_0` the hidden layers are `z_{l+1} = act(z_l) W_l + b_l`, plus `z_l` itself
    when `residual`. A context has done its work before: it is part of `b_0`, whose leading
    dimensions are then those of the context batch. The parameters of the dimension that comes
    `k`-th in `order` depend on the `k - 1` dimensions before it.

    Attributes:
        weights: one array a layer, `[D, H_1], [H_1, H_2], ..., [H_L, D * P]`, already masked.
        biases: one array a layer, `[..., H_1], [H_2], ..., [D * P]`.
        order: the `k`-th entry is the event dimension that comes `k`-th.
        num_params: P, the number of parameters of each dimension.
        conditional: whether a context is part of the first bias.
        activation: the function between the layers.
        residual: whether each hidden layer after the first adds to its input.
        matmul_dtype: what the factors of the matrix products are rounded to, or `None`.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    order: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    num_params: int = dataclasses.field(metadata={"static": True})
    conditional: bool = dataclasses.field(metadata={"static": True})
    activation: Callable[[Array], Array] = dataclasses.field(metadata={"static": True})
    residual: bool = dataclasses.field(metadata={"static": True})
    matmul_dtype: jnp.dtype | None = dataclasses.field(default=None, metadata={"static": True})

    def __deepcopy__(self, memo: dict[int, Any]) -> "MaskedMLP":
        """Returns an equal network: one with a copy of the activation would not be."""
        return jax.tree.map(functools.partial(copy.deepcopy, memo=memo), self)

    @property
    def event_size(self) -> int:
        """D, the number of event dimensions."""
        return len(self.order)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of the context that the network was built with."""
        return self.biases[0].shape[:-1]

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of the result for an input of no higher precision."""
        return jnp.result_type(*self.weights, *self.biases)

    def astype(self, dtype: jnp.dtype) -> "MaskedMLP":
        """Returns the network with weights of another dtype."""
        return jax.tree.map(lambda array: array.astype(dtype), self)

    def hidden(self, u: Array) -> tuple[Array, ...]:
        """Returns `z_1, ..., z_L`, the hidden layers before their activation, at `u`."""
        layers: tuple[Array, ...] = ()
        for index, (weight, bias) in enumerate(zip(self.weights[:-1], self.biases, strict=False)):
            if index == 0:
                z = self._matmul(u, weight) + bias
            else:
                skip = z if self.residual else 0
                z = skip + self._matmul(self.activation(z), weight) + bias
            layers += (z,)
        return layers

    def readout(self, u: Array, hidden: tuple[Array, ...]) -> Array:
        """Returns the transformer parameters `[..., D, P]`, given the hidden layers at `u`."""
        last = self.activation(hidden[-1]) if hidden else u
        params = self._matmul(last, self.weights[-1]) + self.biases[-1]
        return params.reshape(*params.shape[:-1], self.event_size, self.num_params)

    def __call__(self, u: Array) -> Array:
        """Returns the transformer parameters `[..., D, P]` at `u`, shape `[..., D]`."""
        return self.readout(u, self.hidden(u))

    def rounded(self, factor: Array) -> Array:
        """Returns a factor of a matrix product as it enters there, in its own dtype."""
        return products.rounded(factor, self.matmul_dtype)

    def _matmul(self, x: Array, weight: Array) -> Array:
        return products.matmul(x, weight, self.matmul_dtype)
