"""Products and solves with triangular matrices that may come in batches."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.kernels.products import matvec

Array = jax.Array


def unit_product(strict: Array, x: Array) -> Array:
    """Returns `(I + strict) x`.

    Args:
        strict: `[..., D, D]`, a strictly triangular matrix.
        x: `[..., D]`; its leading dimensions broadcast against those of the matrix.
    """
    return x + matvec(strict, x)


def solve_triangular(matrix: Array, b: Array, *, lower: bool, unit: bool = False) -> Array:
    """Returns `x` with `A x = b`.

    Args:
        matrix: `[..., D, D]`, A, a triangular matrix.
        b: `[..., D]`; its leading dimensions broadcast against those of the matrix.
        lower: which triangle it is.
        unit: whether the diagonal of A is one, whatever that of `matrix` is.
    """
    D = b.shape[-1]
    dtype = jnp.promote_types(matrix.dtype, b.dtype)
    batch = jnp.broadcast_shapes(b.shape[:-1], matrix.shape[:-2])
    b = jnp.broadcast_to(b, (*batch, D))
    sizes = (1,) * (len(batch) - matrix.ndim + 2) + matrix.shape[:-2]
    # All events that share a matrix are rows of one solve, x A^T = b.
    own = [axis for axis, size in enumerate(sizes) if size != 1]
    shared = [axis for axis, size in enumerate(sizes) if size == 1]
    order = (*own, *shared, len(batch))
    matrices = matrix.reshape(*(sizes[axis] for axis in own), D, D)
    num_rows = math.prod(batch[axis] for axis in shared)
    rows = b.transpose(order).reshape(*matrices.shape[:-2], num_rows, D)
    x = jax.lax.linalg.triangular_solve(
        matrices.astype(dtype),
        rows.astype(dtype),
        lower=lower,
        transpose_a=True,
        unit_diagonal=unit,
    )
    return x.reshape([b.shape[axis] for axis in order]).transpose(np.argsort(order))
