"""Checks at the public boundary: each names the argument, what was expected and what came."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def positive_int(name: str, value: Any) -> int:
    """Returns `value` as an `int` of at least one, or raises `ValueError`."""
    if not _is_positive_int(value):
        raise ValueError(f"`{name}` must be a positive integer; got {value!r}.")
    return int(value)


def positive_ints(name: str, values: Any) -> tuple[int, ...]:
    """Returns `values` as a tuple of positive `int`, or raises `ValueError`."""
    if hasattr(values, "__iter__"):
        values = tuple(values)
        if all(map(_is_positive_int, values)):
            return tuple(map(int, values))
    raise ValueError(f"`{name}` must be a sequence of positive integers; got {values!r}.")


def _is_positive_int(value: Any) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__") and int(value) >= 1


def concrete(name: str, value: Any) -> np.ndarray:
    """Returns `value` as a NumPy array, or raises `ValueError` if it is traced."""
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError as error:
        raise ValueError(
            f"`{name}` must be known when the flow is built, also under `jit`; got a traced array. "
            "Make it with NumPy instead of jax.numpy."
        ) from error


def positive_float(name: str, value: Any) -> float:
    """Returns `value` as a finite `float` above zero, or raises `ValueError`."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not 0.0 < value < float("inf"):
        raise ValueError(f"`{name}` must be a positive finite number; got {value!r}.")
    return float(value)


def finite_float(name: str, value: Any) -> float:
    """Returns `value` as a finite `float`, or raises `ValueError`."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not np.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number; got {value!r}.")
    return float(value)


def matmul_dtype(value: Any) -> jnp.dtype | None:
    """Returns a dtype to round to, or `None` for none; anything else raises `ValueError`."""
    if value is None:
        return None
    names = ("bfloat16", "float32")  # the range of float16 ends at 65,504
    try:
        dtype = jnp.dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in names:
        raise ValueError(f"`matmul_dtype` must be one of {names} or None; got {value!r}.")
    return dtype


def box(low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of a box as finite arrays of one shape, or raises `ValueError`."""
    ends = [np.asarray(concrete(*end), np.float64) for end in (("low", low), ("high", high))]
    low, high = np.broadcast_arrays(*ends)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(f"`low` must be less than `high`, both finite; got {low} and {high}.")
    return low, high


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises `ValueError` if `value` is none of the `choices`."""
    if value not in choices:
        expected = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"`{name}` must be {expected}; got {value!r}.")


def function(name: str, value: Any) -> None:
    """Raises `ValueError` if `value` cannot be called."""
    if not callable(value):
        raise ValueError(f"`{name}` must be a function; got {value!r}.")


def distribution(name: str, value: Any, method: str) -> None:
    """Raises `ValueError` unless `value` is a distribution, an instance with that method."""
    if isinstance(value, type) or not hasattr(value, method):
        raise ValueError(f"`{name}` must be a distrax distribution; got {value!r}.")


def boolean(name: str, value: Any) -> None:
    """Raises `ValueError` if `value` is neither true nor false."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{name}` must be true or false; got {value!r}.")


def floating(name: str, value: Any) -> Array:
    """Returns `value` as an array of a floating dtype, or raises `ValueError`."""
    try:
        value = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array of numbers; got {value!r}.") from error
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"`{name}` must be floating; got {value.dtype}.")
    return value


def event(name: str, value: Any, event_size: int) -> Array:
    """Returns `value` as a floating array `[..., event_size]`, or raises `ValueError`."""
    value = floating(name, value)
    if value.ndim < 1 or value.shape[-1] != event_size:
        raise ValueError(
            f"`{name}` must hold event vectors, shape [..., {event_size}]; got {value.shape}."
        )
    return value


def broadcasts(name: str, rows: tuple[int, ...], batch_shape: tuple[int, ...]) -> None:
    """Raises `ValueError` if `rows`, leading dimensions, do not broadcast against a batch."""
    try:
        np.broadcast_shapes(rows, batch_shape)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must have leading dimensions that broadcast against those of the contexts, "
            f"{batch_shape}; got {rows}."
        ) from error


def context(value: Any) -> Array | None:
    """Returns `value` as a floating array `[..., C]` or `None`, or raises `ValueError`."""
    if value is None:
        return None
    value = floating("context", value)
    if value.ndim < 1 or value.shape[-1] < 1:
        raise ValueError(
            f"`context` must hold context vectors, shape [..., C] with C >= 1; got {value.shape}. "
            "For a scalar context pass `context[..., None]`."
        )
    return value


def prng_key(name: str, value: Any) -> Array:
    """Returns a PRNG key, from one of either kind or from an integer, or raises `ValueError`."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"`{name}` must be an integer of at most 64 bits; got {value}.")
        return jax.random.key(int(value))
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None:
        if jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ():
            return value
        raw = jax.eval_shape(jax.random.PRNGKey, 0)
        if (dtype, shape) == (raw.dtype, raw.shape):
            return value
    raise ValueError(f"`{name}` must be a PRNG key or an integer; got {value!r}.")


def all_finite(name: str, value: Any) -> None:
    """Raises `ValueError` if the concrete array `value` holds a NaN or an infinity."""
    on_host = isinstance(value, np.ndarray)  # jax.numpy would trace it where something is traced
    bad = int((~(np if on_host else jnp).isfinite(value)).sum())
    if bad:
        raise ValueError(
            f"`{name}` must be finite; got {bad} non-finite entries in shape {value.shape}."
        )
