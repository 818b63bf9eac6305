"""The precision of matrix products in other people's code."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function in which products of float32 are to have the digits of float32.

    By default accelerators round the factors to fewer digits (TF32, bfloat16), and in a log density
    of many rows these errors add up. A choice of the user's own stays:
    `jax.config.update("jax_default_matmul_precision", ...)`.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        chosen = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        if chosen is not None:
            return function(*args, **kwargs)
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return call
