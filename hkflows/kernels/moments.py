"""Where data lie, and how far they spread."""

import jax
import jax.numpy as jnp

Array = jax.Array

ROUNDING = 32.0  # spacings of floating-point numbers


def location_and_scale(rows: Array) -> tuple[Array, Array]:
    """Returns the means and the standard deviations of the columns, `[D]` both.

    A column that does not vary by more than rounding has the scale one.

    Args:
        rows: `[N, D]`.
    """
    spread = jnp.std(rows, axis=0)
    noise = ROUNDING * jnp.finfo(rows.dtype).eps * jnp.max(jnp.abs(rows), axis=0)
    return jnp.mean(rows, axis=0), jnp.where(spread > noise, spread, 1.0)
