"""The scalar map within a block of a block neural autoregressive flow."""

import dataclasses

import jax

from hkflows import checks
from hkflows.kernels import blocks
from hkflows.transformers.base import Transformer

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Block(Transformer):
    """An increasing network of one variable, `y = x + a^T h_L + c`; see `kernels.blocks`.

    Its parameters come from a `conditioners.Blocks`, which sees to it that it increases. The
    inverse is a root, found up to rounding.

    Attributes:
        sizes: the widths of its hidden layers.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", checks.positive_ints("sizes", self.sizes))

    @property
    def num_params(self) -> int:
        """P: the offsets and weights of all layers."""
        return blocks.num_params(self.sizes)

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the network at `x`, and the log of its slope there."""
        return blocks.forward(x, params, self.sizes)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the `x` where the network is `y`, and minus the log of its slope there."""
        return blocks.inverse(y, params, self.sizes)
