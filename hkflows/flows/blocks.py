"""Block neural autoregressive flows."""

import functools
from collections.abc import Sequence
from typing import Literal

import distrax
import haiku as hk
import jax

from hkflows import checks
from hkflows.bijectors import BNAF, Chain, Permutation
from hkflows.flows.build import ContextNetwork, stack, take_turns
from hkflows.presets import preset

Array = jax.Array


@preset
def bnaf(
    event_size: int,
    *,
    num_layers: int = 2,
    block_sizes: Sequence[int] = (8, 8),
    fast: Literal["sampling", "scoring"] = "sampling",
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns block neural autoregressive layers of alternating order (De Cao et al. 2019).

    The fast direction costs one pass a layer, the other a few, at most D, with D roots in each.

    Args:
        event_size: D.
        num_layers: the number of layers.
        block_sizes: the hidden units of each dimension in a layer, one number a hidden layer.
        fast: "sampling" for posteriors, where the draws' own density is what is needed; "scoring"
            for data.
        context_network: see `hkflows.flows`.

    References:
        arXiv:1904.04676.
    """
    checks.one_of("fast", fast, ("sampling", "scoring"))
    num_layers = checks.positive_int("num_layers", num_layers)

    def layer(context: Array | None) -> Chain:
        blocks = BNAF(event_size, block_sizes, context=context)
        turned = blocks if fast == "sampling" else distrax.Inverse(blocks)
        return Chain([turned, Permutation.reverse(event_size)])

    return stack(event_size, functools.partial(take_turns, [layer], num_layers), context_network)
