"""The block neural autoregressive flow."""

from collections.abc import Sequence

import jax

from hkflows import checks
from hkflows.bijectors.autoregressive import IAF
from hkflows.conditioners import Blocks
from hkflows.transformers import Block

Array = jax.Array


class BNAF(IAF):
    """Block neural autoregressive flow: one network whose outputs are the events themselves.

    Each dimension has a block of hidden units, which increase in it and depend on the dimensions
    before it in any way; `y_i` is `x_i` plus a sum of the units of its block, plus any function of
    the dimensions before. Far out the slope is one, so the map is onto.

    Forward, with the log-det, costs one pass through a network of D times `block_sizes` units.

    Inverse: passes are repeated until nothing changes, at most D, each with a root of one variable
    for every dimension, found up to rounding; its derivatives are exact and pass through no loop.

    To score data in one pass, turn it around: `distrax.Inverse(BNAF(...))`.

    Args:
        event_size: D.
        block_sizes: the hidden units of each dimension, one number a layer.
        context: `[..., C]`, what the whole map is conditioned on; its leading dimensions are the
            batch of the bijector.

    References:
        De Cao, Titov & Aziz (2019), "Block neural autoregressive flow", section 3,
        arXiv:1904.04676. There a gate mixes the network with the identity; here the network is
        added to it.
    """

    def __init__(
        self, event_size: int, block_sizes: Sequence[int], *, context: Array | None = None
    ):
        sizes = checks.positive_ints("block_sizes", block_sizes)
        super().__init__(Blocks(event_size, sizes), Block(sizes), context=context)
