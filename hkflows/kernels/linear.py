"""Products and solves with unit triangular matrices that may come in batches."""

import math

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def unit_product(strict: Array, x: Array) -> Array:
    """Returns `(I + strict) x`.

    Args:
        strict: `[..., D, D]`, a strictly triangular matrix.
        x: `[..., D]`; its leading dimensions broadcast against those of the matrix.
    """
    return x + jnp.einsum("...ij,...j->...i", strict, x)


def solve_unit_triangular(strict: Array, b: Array, *, lower: bool) -> Array:
    """Returns `x` with `(I + strict) x = b`.

    Args:
        strict: `[..., D, D]`, a strictly triangular matrix.
        b: `[..., D]`; its leading dimensions broadcast against those of the matrix.
        lower: which triangle `strict` is.
    """
    D = b.shape[-1]
    batch = jnp.broadcast_shapes(b.shape[:-1], strict.shape[:-2])
    b = jnp.broadcast_to(b, (*batch, D))
    sizes = (1,) * (len(batch) - strict.ndim + 2) + strict.shape[:-2]
    # All events that share a matrix are rows of one solve, x (I + strict)^T = b.
    own = [axis for axis, size in enumerate(sizes) if size != 1]
    shared = [axis for axis, size in enumerate(sizes) if size == 1]
    order = (*own, *shared, len(batch))
    matrices = strict.reshape(*(sizes[axis] for axis in own), D, D)
    num_rows = math.prod(batch[axis] for axis in shared)
    rows = b.transpose(order).reshape(*matrices.shape[:-2], num_rows, D)
    x = jax.lax.linalg.triangular_solve(
        matrices.astype(b.dtype), rows, lower=lower, transpose_a=True, unit_diagonal=True
    )
    return x.reshape([b.shape[axis] for axis in order]).transpose(np.argsort(order))
