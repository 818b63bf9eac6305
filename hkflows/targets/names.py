"""Readable names of the scalars in a pytree of parameters."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROOT = "value"


def leaf_names(tree: Any) -> tuple[str, ...]:
    """Returns a name for each leaf, as one would index it: `scale`, `group.tau`, `value[0]`."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return tuple(_path_name(path) for path, _ in paths)


def scalar_names(tree: Any) -> tuple[str, ...]:
    """Returns a name for each scalar of each leaf, in the order of the leaves, row by row.

    Args:
        tree: a pytree of arrays, or of anything with a shape.

    Example:
        >>> import jax.numpy as jnp
        >>> scalar_names({"scale": 1.0, "x": jnp.zeros(2)})
        ('scale', 'x[0]', 'x[1]')
    """
    names = []
    for name, leaf in zip(leaf_names(tree), jax.tree.leaves(tree), strict=True):
        for index in np.ndindex(*jnp.shape(leaf)):
            names.append(f"{name}[{','.join(map(str, index))}]" if index else name)
    return tuple(names)


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Returns the names between backticks with commas, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _path_name(path: Sequence[Any]) -> str:
    name = ""
    for entry in path:
        key = getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", entry)))
        if isinstance(key, str):
            name += f".{key}" if name else key
        else:
            name += f"{'' if name else ROOT}[{key}]"
    return name or ROOT
