"""The differential equation of a continuous flow and of its log-determinant.

    dx/dt = f(x, t),    d log|det dx_t/dx_0| / dt = tr(df/dx) = E[e^T (df/dx) e],

for any random `e` with `E[e e^T] = I`.

References:
    Chen, Rubanova, Bettencourt & Duvenaud (2018), "Neural ordinary differential equations",
    theorem 1, arXiv:1806.07366.
    Hutchinson (1990), "A stochastic estimator of the trace of the influence matrix".
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
State = tuple[Array, Array]
Field = Callable[[Array, Array], Array]


def random_signs(event_size: int, num_probes: int, key: Array) -> Array:
    """Returns K probes, `[K, D]`: the sum of `e^T J e` over them estimates `tr(J)` without bias.

    The sum over the unit vectors is exact.
    """
    signs = jax.random.rademacher(key, (num_probes, event_size), jnp.zeros(()).dtype)
    return signs / num_probes**0.5


def drift(t: Array, state: State, field: Field, probes: Array) -> State:
    """Returns the derivative of the state in time, by one derivative of the field along each probe.

    Args:
        t: the time.
        state: `x`, `[D]`, and the log-det so far.
        field: `f`, maps `x`, `[D]`, and `t` to `[D]`.
        probes: `[K, D]`, the unit vectors or random ones.
    """
    x, _ = state

    def along(probe: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda x: field(x, t), (x,), (probe,))

    velocity, changes = jax.vmap(along, out_axes=(None, 0))(probes)
    return velocity, jnp.sum(probes * changes)
