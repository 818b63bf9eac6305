"""The uniform distribution on a box."""

import distrax
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from hkflows import checks

Array = jax.Array


def uniform(low: ArrayLike, high: ArrayLike) -> distrax.Distribution:
    """Returns the uniform distribution on a box, without trainable parameters.

    Layers that keep the box go well with it, such as splines with `bound` on the box
    `(-bound, bound)`. A posterior that reaches beyond the image of the box has a KL divergence of
    infinity.

    Args:
        low: `[D]`.
        high: `[D]`, greater than `low`.

    Raises:
        ValueError: if they are not.
    """
    low, high = checks.box(low, high)
    if low.ndim != 1:
        raise ValueError(f"`low` and `high` must be vectors; got shape {low.shape}.")
    ends = low.astype(jnp.result_type(float)), high.astype(jnp.result_type(float))
    checks.box(*ends)  # rounded, they may be equal
    return distrax.Independent(_Uniform(*map(jnp.asarray, ends)), 1)


class _Uniform(distrax.Uniform):
    """That of distrax, with a density of NaN where the value is NaN, and not the same as inside."""

    def log_prob(self, value: Array) -> Array:
        return jnp.where(jnp.isnan(value), jnp.nan, super().log_prob(value))
