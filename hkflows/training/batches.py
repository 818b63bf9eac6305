"""Batches of rows."""

import jax

Array = jax.Array


def batches(key: Array, num_rows: int, batch_size: int, num_steps: int) -> Array:
    """Returns the row numbers of each step, `[num_steps or more, batch_size]`.

    Every epoch is a new permutation of the rows, cut into whole batches.
    """
    steps_per_epoch = num_rows // batch_size
    keys = jax.random.split(key, -(-num_steps // steps_per_epoch))
    orders = jax.vmap(lambda key: jax.random.permutation(key, num_rows))(keys)
    return orders[:, : steps_per_epoch * batch_size].reshape(-1, batch_size)
