"""Densities raised to a power."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial

from hkflows.targets.argument import as_argument

Array = jax.Array


def powered(log_density: Callable[..., Array], power: Array | float) -> Partial:
    """Returns `power` times a log density, as something that `jit` takes for an argument."""
    return Partial(_product, power, as_argument(log_density))


def _product(factor: Array | float, function: Callable[..., Array], *args: Any) -> Array:
    return factor * function(*args)
