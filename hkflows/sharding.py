"""Several devices: what is spread over them, and what each of them holds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Array = jax.Array


def check_mesh(mesh: Mesh | None, **numbers: int) -> Mesh | None:
    """Returns the mesh with automatic axes: XLA chooses the shardings that are not given.

    Raises:
        ValueError: if it is no mesh, or one of the numbers is not a multiple of its devices'.
    """
    if mesh is None:
        return None
    if not isinstance(mesh, Mesh):
        raise ValueError(
            "`mesh` must be a `jax.sharding.Mesh`, such as `jax.make_mesh((8,), ('devices',))`; "
            f"got {mesh!r}."
        )
    for name, number in numbers.items():
        if number % mesh.size:
            raise ValueError(
                f"`{name}` must be a multiple of the {mesh.size} devices of `mesh`; got {number}."
            )
    return Mesh(mesh.devices, mesh.axis_names)  # `jax.make_mesh` gives explicit axes


def spread(tree: Any, mesh: Mesh | None) -> Any:
    """Returns arrays whose first axis is spread over all devices of a mesh, inside `jit`."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, _over_rows(mesh))


def gathered(tree: Any, mesh: Mesh | None) -> Any:
    """Returns arrays that every device of a mesh holds in full, inside `jit`."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def place(tree: Any, mesh: Mesh | None) -> Any:
    """Puts a copy of every array on every device of a mesh, those of other processes too."""
    return tree if mesh is None else _put(tree, NamedSharding(mesh, PartitionSpec()))


def place_rows(tree: Any, mesh: Mesh | None) -> Any:
    """Spreads rows over the devices of a mesh; if it cannot be evenly, each gets all."""
    if mesh is None:
        return tree
    even = all(jnp.shape(leaf)[0] % mesh.size == 0 for leaf in jax.tree.leaves(tree))
    return _put(tree, _over_rows(mesh)) if even else place(tree, mesh)


def fetch(tree: Any, mesh: Mesh | None) -> Any:
    """Returns arrays that every device of a mesh holds in full, on this process's own."""
    return tree if mesh is None else jax.tree.map(jnp.asarray, jax.device_get(tree))


def _over_rows(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def _put(tree: Any, sharding: NamedSharding) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> Array:
        """Takes this process's share of what all processes hold."""
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, tree)
