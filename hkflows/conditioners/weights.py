"""Fetching weights: scaled to their fan-in, or zero; masked where asked."""

from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Init = Callable[[Sequence[int], jnp.dtype], Array]


def scaled_weight(name: str, shape: tuple[int, int], mask: np.ndarray | None = None) -> Array:
    """Returns a normal weight `[in, out]`, its variance one over the unmasked fan-in."""
    fan_in = shape[0] if mask is None else mask.sum(axis=0)
    spread = 1.0 / np.sqrt(np.maximum(fan_in, 1))

    def init(shape: Sequence[int], dtype: jnp.dtype) -> Array:
        return hk.initializers.TruncatedNormal()(shape, dtype) * jnp.asarray(spread, dtype)

    return _weight(name, shape, mask, init)


def zero_weight(name: str, shape: tuple[int, int], mask: np.ndarray | None = None) -> Array:
    """Returns a weight `[in, out]` that starts at zero."""
    return _weight(name, shape, mask, jnp.zeros)


def zero_bias(name: str, shape: tuple[int, ...]) -> Array:
    """Returns a bias that starts at zero."""
    return bias(name, shape, jnp.zeros)


def bias(name: str, shape: tuple[int, ...], init: Init) -> Array:
    """Returns a bias that starts where `init(shape, dtype)` says."""
    return _weight(name, shape, None, init)


def scattered(spread: float) -> Init:
    """Returns what starts a bias at normal draws of a standard deviation."""
    return hk.initializers.TruncatedNormal(spread)


def _weight(name: str, shape: tuple[int, ...], mask: np.ndarray | None, init: Init) -> Array:
    value = hk.get_parameter(name, shape, dtype=jnp.zeros(()).dtype, init=init)
    return value if mask is None else jnp.where(mask, value, 0)


def check_context(context: Array | None, name: str, module: str) -> None:
    """Raises `ValueError` if the parameters have not been made for this context.

    Args:
        context: `[..., C]` or `None`.
        name: that of the weight for it, `[C, out]`.
        module: that of the module that fetches it.
    """
    weight = hk.get_params().get(module, {}).get(name)
    if context is None:
        if weight is not None:
            raise ValueError(
                "`context` must be given: the parameters have a weight for it, "
                f"`{module}/{name}`; got None."
            )
    elif weight is not None and len(weight) != context.shape[-1]:
        raise ValueError(
            f"`context` must have size {len(weight)}, as the parameters' weight for it, "
            f"`{module}/{name}`; got {context.shape[-1]}."
        )
    elif weight is None and not hk.running_init():
        raise ValueError(
            "`context` must not be given: the parameters have no weight for it, "
            f"`{module}/{name}`; got shape {context.shape}."
        )
