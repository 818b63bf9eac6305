"""The posterior in the units of a flow's base distribution."""

from collections.abc import Callable
from typing import Any

import jax

from hkflows.compilation import quick_jit

Array = jax.Array


@quick_jit
def pulled_back(
    log_density: Callable[[Array], Array],
    constrain: Callable[[Array], Any],
    q: Any,
    x: Array,
) -> tuple[Array, Array, Any]:
    """Returns what base points become, and the posterior's log density among them.

    By the base distribution, or by any other that drew `x`, that density is an importance weight.

    Args:
        log_density: maps `[D]` to a scalar (nats).
        constrain: maps `[D]` to the user's parameters.
        q: a `FlowDistribution` without a batch; its bijector is `f`.
        x: base points, `[n, D]`.

    Returns:
        The points `f(x)`, `[n, D]`; `log p(f(x)) + log|det df/dx|` (nats), `[n]`; and the
        parameters at `f(x)`, a pytree of arrays `[n, ...]`.
    """
    z, log_det = q.bijector.forward_and_log_det(x)
    return z, jax.vmap(log_density)(z) + log_det, jax.vmap(constrain)(z)
