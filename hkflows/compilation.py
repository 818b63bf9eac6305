"""Compilation for programs that run a few times only."""

import functools
from collections.abc import Callable
from typing import Any

import jax

LIGHT: dict[str, Any] = {"xla_backend_optimization_level": 1}
# From JAX 0.11 on XLA has no other emitters of fusions.
QUICK = {**LIGHT, "xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else LIGHT
INSTANT = {**QUICK, "xla_backend_optimization_level": 0}


def quick_jit(function: Callable, *, options: dict[str, Any] = QUICK, **settings: Any) -> Callable:
    """Returns `jax.jit(function)`, which spends less time on optimising where that pays.

    On a CPU most of the time to compile goes into passes of LLVM, and into fusions, that do little
    for programs that go once over arrays of moderate size. The device is not asked for before the
    first call.

    Args:
        function: a pure function, called by the host and not by another compiled function.
        options: what to ask the compiler for, on a CPU: `QUICK`; or `LIGHT`, which keeps the
            fusions, for programs that loop; or `INSTANT` where little is computed.
        **settings: of `jax.jit`.
    """

    @functools.cache
    def compiled() -> Callable:
        if jax.default_backend() != "cpu":
            return jax.jit(function, **settings)
        return jax.jit(function, compiler_options=options, **settings)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return compiled()(*args, **kwargs)

    return call
