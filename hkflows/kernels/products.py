"""Matrix products whose factors may be rounded to a lower precision."""

import functools

import jax
import jax.numpy as jnp

Array = jax.Array


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
    return x @ weight if dtype is None else _low_matmul(x, weight, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _low_matmul(x: Array, weight: Array, dtype: jnp.dtype) -> Array:
    result_type = jnp.result_type(x, weight)
    x, weight = (rounded(factor, dtype).astype(dtype) for factor in (x, weight))
    return jnp.matmul(x, weight, preferred_element_type=result_type)


@_low_matmul.defjvp
def _low_matmul_jvp(
    dtype: jnp.dtype, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Multiplies the same factors; tangents, and so sums of gradients, are not rounded."""
    x, weight = primals
    tangent = tangents[0] @ rounded(weight, dtype) + rounded(x, dtype) @ tangents[1]
    return _low_matmul(x, weight, dtype), tangent
