"""Fetching weights: scaled to their fan-in, or zero; masked where asked."""

from collections.abc import Callable

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def scaled_weight(name: str, shape: tuple[int, int], mask: np.ndarray | None = None) -> Array:
    """Returns a normal weight `[in, out]`, its variance one over the unmasked fan-in."""
    fan_in = shape[0] if mask is None else mask.sum(axis=0)
    spread = 1.0 / np.sqrt(np.maximum(fan_in, 1))

    def init(shape: list[int], dtype: jnp.dtype) -> Array:
        return hk.initializers.TruncatedNormal()(shape, dtype) * jnp.asarray(spread, dtype)

    return _weight(name, shape, mask, init)


def zero_weight(name: str, shape: tuple[int, int], mask: np.ndarray | None = None) -> Array:
    """Returns a weight `[in, out]` that starts at zero."""
    return _weight(name, shape, mask, jnp.zeros)


def zero_bias(name: str, shape: tuple[int, ...]) -> Array:
    """Returns a bias that starts at zero."""
    return _weight(name, shape, None, jnp.zeros)


def _weight(name: str, shape: tuple[int, ...], mask: np.ndarray | None, init: Callable) -> Array:
    value = hk.get_parameter(name, shape, dtype=jnp.zeros(()).dtype, init=init)
    return value if mask is None else jnp.where(mask, value, 0)


def check_unused(name: str, module: str) -> None:
    """Raises `ValueError` if there is a weight for a context that is not given."""
    if name in hk.get_params().get(module, {}):
        raise ValueError(
            f"`context` must be given: the parameters have a weight for it, `{module}/{name}`; "
            "got None."
        )
