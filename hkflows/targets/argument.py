"""Functions as arguments of compiled ones."""

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial


def as_argument(function: Callable[..., Any]) -> Partial:
    """Returns the function as something that `jit` takes for an argument.

    One that is a `Partial` stays as it is: the arrays that it holds are traced, so that what was
    compiled for them serves others of their shapes. Any other is told by its equality.
    """
    return function if isinstance(function, Partial) else Partial(function)
