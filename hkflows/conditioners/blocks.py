"""The network of a block neural autoregressive flow."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.conditioners import weights
from hkflows.kernels import bounds, degrees
from hkflows.kernels.blocks import BlockNetwork
from hkflows.kernels.products import product

Array = jax.Array

MAX_LOG_SCALE = 5.0


class Blocks(hk.Module):
    """A network in blocks, one per dimension: the conditioner of a `Block` transformer.

    A positive block is a scale per unit times weights that sum to one, so that with scales of one
    no unit is steeper than one. What is trained in place of the last layer's `a`, with M units, is
    `r` with `a_m = m(M r_m) / M`, where `m(s) > -1` is `s` unless that is negative: so the slope
    stays above zero. `r` starts at zero, as do the other weights of the last layer: the identity.

    Args:
        event_size: D.
        sizes: the hidden units of each dimension, one number a layer.
        name: the Haiku name of the module.
    """

    def __init__(self, event_size: int, sizes: Sequence[int], *, name: str | None = None):
        super().__init__(name=name)
        self.event_size = checks.positive_int("event_size", event_size)
        self.sizes = checks.positive_ints("block_sizes", sizes)
        if not self.sizes:
            raise ValueError("`block_sizes` must hold at least one size; got none.")

    @hk.name_like("__call__")
    def network(self, num_params: int, context: Array | None = None) -> BlockNetwork:
        """Fetches the weights.

        Args:
            num_params: P, that of a `Block` of the same sizes.
            context: `[..., C]` or `None`. It is added, linearly, to the biases of the first layer
                and of the last.

        Returns:
            The network at these weights, `[..., D] -> [..., D, P]`.

        Raises:
            ValueError: if `context` has no dimension.
        """
        del num_params
        context = checks.context(context)
        weights.check_context(context, "w_context", self.module_name)
        D = self.event_size

        across, biases, within = [], [], []
        scale = jnp.ones((D, 1))  # that of the units before: the next layer takes it back
        for index, (before, width) in enumerate(zip((1, *self.sizes), self.sizes, strict=False)):
            across.append(weights.scaled_weight(f"w_{index}", *self._earlier(before, width)))
            biases.append(weights.bias(f"b_{index}", (D * width,), weights.scattered(1.0)))
            share = weights.bias(f"share_{index}", (D, width, before), weights.scattered(1.0))
            log_scale = weights.bias(f"log_scale_{index}", (D, width), weights.scattered(0.5))
            following = jnp.exp(bounds.within(log_scale, MAX_LOG_SCALE))
            share = jax.nn.softmax(share, axis=-1)
            within.append(following[..., None] * share / scale[:, None, :])
            scale = following
        last = self.sizes[-1]
        step = bounds.above_minus_one(last * weights.zero_bias("step", (D, last))) / last
        within.append((step / scale)[:, None, :])
        across.append(weights.zero_weight("w_out", *self._earlier(last, 1)))
        biases.append(weights.zero_bias("b_out", (D,)))
        skip = weights.zero_weight("w_skip", *self._earlier(1, 1))

        if context is not None:
            size = context.shape[-1]
            slope = weights.scaled_weight("w_context", (size, biases[0].size))
            biases[0] = biases[0] + product(context, slope)
            out_slope = weights.zero_weight("w_context_out", (size, D))
            biases[-1] = biases[-1] + product(context, out_slope)
        return BlockNetwork(tuple(across), skip, tuple(biases), tuple(within))

    def _earlier(self, before: int, after: int) -> tuple[tuple[int, int], np.ndarray]:
        """Returns the shape and mask of weights into each block from the blocks before it."""
        block = np.arange(self.event_size)
        mask = degrees.mask(np.repeat(block, before), np.repeat(block, after), strict=True)
        return mask.shape, mask
