"""Ready-made flows as values: each knows its name and its arguments."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import haiku as hk
import jax
import numpy as np

P = ParamSpec("P")

MAKERS: dict[str, Callable[..., hk.Transformed]] = {}  # of every preset, by name


class Preset(hk.Transformed):
    """A flow that knows how it was made.

    It is equal to any other that was made in the same way, so that what has been compiled for one
    serves the other, and it can be described and made again.

    Attributes:
        name: that of the function that made it.
        arguments: its arguments by name, hashable.
    """

    name: str
    arguments: dict[str, Any]

    def __new__(cls, flow: hk.Transformed, name: str, arguments: dict[str, Any]) -> "Preset":
        """Makes a preset of a flow."""
        self = super().__new__(cls, *flow)
        self.name = name
        self.arguments = arguments
        return self

    def __repr__(self) -> str:
        shown = {
            name: getattr(value, "__name__", repr(value)) for name, value in self.arguments.items()
        }
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def __copy__(self) -> "Preset":
        """Returns the flow itself, which nothing can change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Preset":
        """Returns the flow itself, which nothing can change."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Preset):
            return False
        return (self.name, self.arguments) == (other.name, other.arguments)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.arguments.items())))


def preset(make: Callable[P, hk.Transformed]) -> Callable[P, hk.Transformed]:
    """Decorates a function that makes a flow: the flow becomes a `Preset`."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> hk.Transformed:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        bound.arguments.update({key: _hashable(value) for key, value in bound.arguments.items()})
        return Preset(make(*bound.args, **bound.kwargs), make.__name__, dict(bound.arguments))

    MAKERS[make.__name__] = made
    return made


def _hashable(value: Any) -> Any:
    """Returns an argument, sequences, iterators and arrays of numbers as tuples."""
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    return tuple(value) if isinstance(value, list | Iterator) else value
