"""The masked autoregressive network."""

from collections.abc import Callable, Sequence

import haiku as hk
import jax
import numpy as np
from jax.typing import DTypeLike

from hkflows import checks
from hkflows.conditioners import weights
from hkflows.kernels import degrees
from hkflows.kernels.masked_mlp import MaskedMLP
from hkflows.kernels.products import product

Array = jax.Array


class MADE(hk.Module):
    """A masked autoencoder: the conditioner of `IAF` and `MAF`.

    The parameters that it computes for the dimension that comes `k`-th in `order` depend on the
    context and on the `k - 1` dimensions before it, and on nothing else. Its last layer starts at
    zero, so a fresh flow is the identity.

    Args:
        event_size: D.
        hidden_sizes: widths of the hidden layers; none gives a linear network. Layers narrower than
            D leave some dimensions unseen by some others.
        order: "natural", "reverse", or a permutation of 0..D-1 whose `k`-th entry is the dimension
            that comes `k`-th: `order[0]` sees the context alone, `order[1]` sees `order[0]` too.
        activation: the element-wise function between the layers. A module-level function, not a
            fresh lambda: it is compared between builds.
        residual: whether each hidden layer after the first adds to its input; all hidden widths
            must then be equal.
        matmul_dtype: to what the factors of its layers' matrix products are rounded, such as
            `jax.numpy.bfloat16`, for speed on accelerators; sums, activations, derivatives and the
            product with the context are not. `None` rounds nothing.
        name: the Haiku name of the module.

    References:
        Germain, Gregor, Murray & Larochelle (2015), arXiv:1502.03509.
        Nash & Durkan (2019), "Autoregressive energy machines", section 4 (residual),
        arXiv:1904.05626.
    """

    def __init__(
        self,
        event_size: int,
        hidden_sizes: Sequence[int],
        *,
        order: degrees.Order = "natural",
        activation: Callable[[Array], Array] = jax.nn.relu,
        residual: bool = False,
        matmul_dtype: DTypeLike | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.event_size = checks.positive_int("event_size", event_size)
        self.hidden_sizes = checks.positive_ints("hidden_sizes", hidden_sizes)
        if not isinstance(order, str):
            order = checks.concrete("order", order)
        self.order = degrees.resolve_order(event_size, order)
        checks.function("activation", activation)
        self.activation = activation
        self.residual = residual
        self.matmul_dtype = checks.matmul_dtype(matmul_dtype)
        if residual and len(set(self.hidden_sizes)) > 1:
            raise ValueError(
                "`hidden_sizes` must all be equal when `residual` is true; "
                f"got {self.hidden_sizes}."
            )

    @hk.name_like("__call__")
    def network(self, num_params: int, context: Array | None = None) -> MaskedMLP:
        """Fetches the weights.

        Args:
            num_params: P, the number of parameters that each dimension needs.
            context: `[..., C]` or `None`. Its work is done here: what it adds to the first layer
                becomes a bias.

        Returns:
            The network at these weights, `[..., D] -> [..., D, P]`.

        Raises:
            ValueError: if `context` has no dimension.
        """
        context = checks.context(context)
        weights.check_context(context, "w_context", self.module_name)
        conditional = context is not None
        inputs = degrees.input_degrees(self.order)
        hidden = [
            degrees.hidden_degrees(width, self.event_size, conditional)
            for width in self.hidden_sizes
        ]
        outputs = np.repeat(inputs, num_params)

        layers = []
        seen = inputs
        for index, own in enumerate(hidden):
            mask = degrees.mask(seen, own)
            weight = weights.scaled_weight(f"w_{index}", mask.shape, mask)
            layers.append((weight, weights.zero_bias(f"b_{index}", own.shape)))
            seen = own
        mask = degrees.mask(seen, outputs, strict=True)
        weight = weights.zero_weight("w_out", mask.shape, mask)
        layers.append((weight, weights.zero_bias("b_out", outputs.shape)))

        if context is not None:
            weight, bias = layers[0]
            # Every unit may see the context: its degree, 0, is the lowest.
            fetch = weights.scaled_weight if hidden else weights.zero_weight
            slope = fetch("w_context", (context.shape[-1], bias.shape[-1]))
            layers[0] = weight, bias + product(context, slope)

        return MaskedMLP(
            weights=tuple(weight for weight, _ in layers),
            biases=tuple(bias for _, bias in layers),
            order=self.order,
            num_params=num_params,
            conditional=conditional,
            activation=self.activation,
            residual=self.residual,
            matmul_dtype=self.matmul_dtype,
        )
