"""Networks that start at zero: any Haiku callable gives features, a linear layer the rest."""

import dataclasses
from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from hkflows import checks
from hkflows.conditioners import weights
from hkflows.conditioners.traced import Traced, VectorFunction, trace
from hkflows.kernels.products import matmul

Array = jax.Array


class MLP(hk.Module):
    """A multilayer perceptron that gives features to a `Coupling`, `[..., D_in] -> [..., H]`.

    Args:
        hidden_sizes: the widths of its layers; each is followed by the activation.
        activation: the function after each layer.
        matmul_dtype: as for `MADE`; it holds for the last layer of a `Coupling` too if that is
            handed this very module.
        name: the Haiku name of the module.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int],
        *,
        activation: Callable[[Array], Array] = jax.nn.relu,
        matmul_dtype: DTypeLike | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.hidden_sizes = checks.positive_ints("hidden_sizes", hidden_sizes)
        checks.function("activation", activation)
        self.activation = activation
        self.matmul_dtype = checks.matmul_dtype(matmul_dtype)

    def __call__(self, z: Array) -> Array:
        """Returns the features, `[..., H]`, of `z`, `[..., D_in]`."""
        for index, width in enumerate(self.hidden_sizes):
            weight = weights.scaled_weight(f"w_{index}", (z.shape[-1], width))
            z = matmul(z, weight, self.matmul_dtype)
            z = self.activation(z + weights.zero_bias(f"b_{index}", (width,)))
        return z


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReadoutNetwork:
    """A network at fixed weights, `z -> params`, `[..., D_in] -> [..., D_out, P]`.

    Attributes:
        features: the Haiku callable, `[..., D_in] -> [..., H]`.
        weight: the last layer's weight, `[H, D_out, P]`.
        bias: the last layer's bias, `[D_out, P]`.
        matmul_dtype: what the factors of the last layer's product are rounded to, or `None`.
    """

    features: Traced
    weight: Array
    bias: Array
    matmul_dtype: jnp.dtype | None = dataclasses.field(metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of its context."""
        return self.features.batch_shape

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of its last weights."""
        return jnp.result_type(self.weight)

    def __call__(self, z: Array) -> Array:
        """Returns the transformer parameters `[..., D_out, P]` at `z`, shape `[..., D_in]`."""
        size, *shape = self.weight.shape
        params = matmul(self.features(z), self.weight.reshape(size, -1), self.matmul_dtype)
        return params.reshape(*params.shape[:-1], *shape) + self.bias


class _Readout(hk.Module):
    """The last layer: linear, starting at zero."""

    def __call__(self, in_size: int, out_shape: tuple[int, int]) -> tuple[Array, Array]:
        weight = weights.zero_weight("w", (in_size, out_shape[0] * out_shape[1]))
        return weight.reshape(in_size, *out_shape), weights.zero_bias("b", out_shape)


def readout_network(
    name: str,
    conditioner: VectorFunction,
    in_size: int,
    out_shape: tuple[int, int],
    context: Array | None,
) -> ReadoutNetwork:
    """Visits a Haiku callable once, and adds a last layer that starts at zero.

    Args:
        name: the Haiku name of the last layer.
        conditioner: maps a vector `[D_in + C]` to features `[H]`; see `traced.trace`.
        in_size: D_in, the number of dimensions that it sees.
        out_shape: `(D_out, P)`.
        context: `[..., C]` or `None`.

    Raises:
        ValueError: if `conditioner` does not return a feature vector, or cannot be replayed.
    """
    features = trace(conditioner, in_size, checks.context(context))
    if len(features.out_shape) != 1:
        raise ValueError(
            f"`conditioner` must map a vector to features [H]; it returned {features.out_shape}."
        )
    weight, bias = _Readout(name=name)(features.out_shape[0], out_shape)
    matmul_dtype = conditioner.matmul_dtype if isinstance(conditioner, MLP) else None
    return ReadoutNetwork(features, weight, bias, matmul_dtype)
