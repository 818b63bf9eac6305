"""Pytrees as arrays with names, to write them down."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def raw(tree: Any) -> Any:
    """Returns a pytree with the data of random keys in their place."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def named(tree: Any) -> dict[str, np.ndarray]:
    """Returns the leaves of a pytree without random keys by their paths; empty ones are left out.

    Leaves on a device are fetched all at once.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    kept = {jax.tree_util.keystr(path): leaf for path, leaf in leaves if np.size(leaf)}
    return {name: np.asarray(leaf) for name, leaf in jax.device_get(kept).items()}


def from_named(arrays: Mapping[str, np.ndarray], template: Any) -> Any:
    """Returns the pytree whose leaves `named` gave.

    Args:
        arrays: the leaves by their paths.
        template: a pytree of arrays, or of their shapes and dtypes, that may have random keys.

    Raises:
        ValueError: if names, shapes or dtypes are not those of the template.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(template)
    expected = {jax.tree_util.keystr(path): leaf for path, leaf in paths}
    surplus = sorted(set(arrays) - set(expected))
    if surplus:
        raise ValueError(f"There is no place for {', '.join(surplus)}.")
    leaves = [_as(leaf, name, arrays) for name, leaf in expected.items()]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _as(template: Any, name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    is_key = _is_key(template)
    expected = jax.eval_shape(jax.random.key_data, template) if is_key else template
    if not np.size(expected):
        return np.zeros(expected.shape, expected.dtype)
    if name not in arrays:
        raise ValueError(f"There is no {name}.")
    array = arrays[name]
    if (array.shape, array.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"{name} must be {expected.dtype} of shape {expected.shape}; got {array.dtype} of "
            f"shape {array.shape}."
        )
    if is_key:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(template))
    return array


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)
