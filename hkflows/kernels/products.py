"""Matrix products whose factors may be rounded to a lower precision."""

import jax
import jax.numpy as jnp

Array = jax.Array


def rounded(x: Array, dtype: jnp.dtype | None) -> Array:
    """Returns `x`, in its own dtype, rounded to numbers of another; for `None` as it is."""
    if dtype is None:
        return x
    precision = jnp.finfo(dtype)
    # Not two casts, which XLA may leave out.
    return jax.lax.reduce_precision(x, precision.nexp, precision.nmant)


def matmul(x: Array, weight: Array, dtype: jnp.dtype | None) -> Array:
    """Returns `x @ weight`: the factors rounded to `dtype`, the sums in their own precision."""
    if dtype is None:
        return x @ weight
    result_type = jnp.result_type(x, weight)
    x, weight = (rounded(factor, dtype).astype(dtype) for factor in (x, weight))
    return jnp.matmul(x, weight, preferred_element_type=result_type)
