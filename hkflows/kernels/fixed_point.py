"""Triangular equations solved by repeated parallel passes.

Where `u_i` depends on `u_<i` alone, a pass that computes all `u_i` from the `u` of the pass before
gets one more of them right, whatever the others were: after D passes all are. As a rule the others
were nearly right, and far fewer passes do. They end when one changes nothing, so the result is that
of D passes to the last bit, and no tolerance is involved.

References:
    Song, Meng, Liao & Ermon (2021), "Accelerating feedforward computation via parallel nonlinear
    equation solving", section 3, arXiv:2002.03629.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def solve(
    step: Callable[[Array], tuple[Array, ...]], start: tuple[Array, ...], order: Sequence[int]
) -> tuple[Array, ...]:
    """Returns `step(u)` for the `u` that is its first array.

    What comes after an entry that is not finite, or above the largest number to the power of 3/4
    (3e28 in float32), is NaN.

    Args:
        step: maps `u`, `[..., D]`, to a new one, and to what else is wanted of the same shape; each
            entry depends only on entries of `u` that come before it in the order.
        start: arrays as the step returns them.
        order: the `k`-th entry is the dimension that comes `k`-th.
    """
    # Passes on the way may get anything from what is not right yet. Bounded, it stays finite inside
    # of a network, which has room for a factor of 4e9 in float32, and there a weight of zero takes
    # it out; an infinity would come through as NaN.
    limit = jnp.finfo(start[0].dtype).max ** 0.75

    def unfinished(state: _State) -> Array:
        return state.changed & (state.num_passes < len(order))

    def go(state: _State) -> _State:
        old = state.solution[0]
        solution = step(jnp.clip(jnp.nan_to_num(old), -limit, limit))
        same = (solution[0] == old) | (jnp.isnan(solution[0]) & jnp.isnan(old))
        return _State(solution, ~jnp.all(same), state.num_passes + 1)

    state = _State(start, changed=jnp.array(True), num_passes=jnp.array(0))
    solution = jax.lax.while_loop(unfinished, go, state).solution
    beyond = (~(jnp.abs(solution[0]) <= limit)[..., np.asarray(order)]).astype(int)
    before = jnp.cumsum(beyond, axis=-1) - beyond
    void = before[..., np.argsort(order)] > 0
    return tuple(jnp.where(void, jnp.nan, array) for array in solution)


class _State(NamedTuple):
    solution: tuple[Array, ...]
    changed: Array
    num_passes: Array
