"""Compilation for programs that run a few times only."""

from collections.abc import Callable
from typing import Any

import jax


def quick_jit(function: Callable, **settings: Any) -> Callable:
    """Returns `jax.jit(function)`, which spends less time on optimising where that pays.

    On a CPU half of the time to compile goes into passes of LLVM that do little for programs whose
    work is in array operations.

    Args:
        function: a pure function, called by the host and not by another compiled function.
        **settings: of `jax.jit`.
    """
    if jax.default_backend() != "cpu":
        return jax.jit(function, **settings)
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 1}, **settings)
