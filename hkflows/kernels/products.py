"""Matrix products in the precision of their factors, or in one that is asked for.

By default accelerators round the factors of a product in float32 to fewer digits (TF32, bfloat16).
The two directions of a layer would then no longer invert each other.
"""

import functools

import jax
import jax.numpy as jnp

Array = jax.Array


def product(x: Array, weight: Array) -> Array:
    """Returns `x @ weight`."""
    return jnp.matmul(x, weight, precision=jax.lax.Precision.HIGHEST)


def matvec(matrix: Array, x: Array) -> Array:
    """Returns the product of matrices, `[..., M, D]`, and vectors, `[..., D]`."""
    return jnp.einsum("...md,...d->...m", matrix, x, precision=jax.lax.Precision.HIGHEST)


def vecmat(z: Array, matrix: Array) -> Array:
    """Returns the product of vectors, `[..., M]`, and matrices, `[..., M, D]`."""
    return jnp.einsum("...m,...md->...d", z, matrix, precision=jax.lax.Precision.HIGHEST)


def rounded(x: Array, dtype: jnp.dtype | None) -> Array:
    """Returns `x`, in its own dtype, rounded to numbers of another; for `None` as it is.

    The derivative is that of the identity.
    """
    return x if dtype is None else _round(x, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _round(x: Array, dtype: jnp.dtype) -> Array:
    precision = jnp.finfo(dtype)
    # Not two casts, which XLA may leave out.
    return jax.lax.reduce_precision(x, precision.nexp, precision.nmant)


@_round.defjvp
def _round_jvp(
    dtype: jnp.dtype, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    return _round(primals[0], dtype), tangents[0]


def matmul(x: Array, weight: Array, dtype: jnp.dtype | None) -> Array:
    """Returns `x @ weight`: the factors rounded to `dtype`, the sums in their own precision."""
    return product(x, weight) if dtype is None else _low_matmul(x, weight, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _low_matmul(x: Array, weight: Array, dtype: jnp.dtype) -> Array:
    result_type = jnp.result_type(x, weight)
    x, weight = (rounded(factor, dtype).astype(dtype) for factor in (x, weight))
    highest = jax.lax.Precision.HIGHEST  # also where the factors are float32
    return jnp.matmul(x, weight, precision=highest, preferred_element_type=result_type)


@_low_matmul.defjvp
def _low_matmul_jvp(
    dtype: jnp.dtype, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Multiplies the same factors; tangents, and so sums of gradients, are not rounded."""
    x, weight = primals
    tangent = product(tangents[0], rounded(weight, dtype))
    tangent += product(rounded(x, dtype), tangents[1])
    return _low_matmul(x, weight, dtype), tangent
