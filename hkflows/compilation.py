"""Compilation for programs that run a few times only."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def quick_jit(function: Callable, **settings: Any) -> Callable:
    """Returns `jax.jit(function)`, which spends less time on optimising where that pays.

    On a CPU half of the time to compile goes into passes of LLVM that do little for programs whose
    work is in array operations. The device is not asked for before the first call.

    Args:
        function: a pure function, called by the host and not by another compiled function.
        **settings: of `jax.jit`.
    """

    @functools.cache
    def compiled() -> Callable:
        if jax.default_backend() != "cpu":
            return jax.jit(function, **settings)
        options = {"xla_backend_optimization_level": 1}
        return jax.jit(function, compiler_options=options, **settings)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return compiled()(*args, **kwargs)

    return call
