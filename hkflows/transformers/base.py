"""What a transformer is, and how to turn one around."""

import abc
import dataclasses
from typing import Any

import jax

Array = jax.Array


class Transformer(abc.ABC):
    """A description of an increasing scalar map `y = tau(x; params)`.

    A subclass is a frozen dataclass of static settings, so that equal descriptions compare equal
    and need no tracing. It holds no parameters: they come from a conditioner. All-zero parameters
    give the identity.
    """

    @property
    @abc.abstractmethod
    def num_params(self) -> int:
        """P, the number of unconstrained parameters of one scalar map."""

    @abc.abstractmethod
    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Maps `x` to `y`.

        Args:
            x: `[...]`.
            params: `[..., P]`, broadcast against `x`.

        Returns:
            `y = tau(x; params)` and `log dy/dx` (nats), each `[...]`.
        """

    @abc.abstractmethod
    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Maps `y` back to `x`.

        Args:
            y: `[...]`.
            params: `[..., P]`, broadcast against `y`.

        Returns:
            `x` with `tau(x; params) = y` and `log dx/dy` (nats), each `[...]`.
        """


def check_transformer(value: Any) -> None:
    """Raises `ValueError` unless `value` is a transformer."""
    if not isinstance(value, Transformer):
        raise ValueError(
            f"`transformer` must be a transformer such as `hkflows.Affine()`; got {value!r}."
        )
    if type(value).__eq__ is object.__eq__:
        raise ValueError(
            "`transformer` must compare by value, or each build of the flow is compiled anew; "
            f"make {type(value).__name__} a frozen dataclass."
        )


@dataclasses.dataclass(frozen=True)
class Inverted(Transformer):
    """The transformer whose forward map is the inverse of another's."""

    transformer: Transformer

    @property
    def num_params(self) -> int:
        """P, as of the transformer that is turned around."""
        return self.transformer.num_params

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """See `Transformer.inverse` of the transformer that is turned around."""
        return self.transformer.inverse(x, params)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """See `Transformer.forward` of the transformer that is turned around."""
        return self.transformer.forward(y, params)
