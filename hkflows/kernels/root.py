"""Inverses of increasing functions that have none in closed form, to machine precision.

Newton's method within a bracket: a step that would leave the bracket, or that is not at most half
the step before it, is replaced by a bisection. Derivatives do not pass through the loop: by the
implicit function theorem `x` with `f(x; h) = y` has

    dx = (dy - (df/dh) dh) / f'(x; h),

which is exact in forward mode, in reverse mode and in their compositions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Function = Callable[[Array, Any], tuple[Array, Array]]
Bracket = Callable[[Array, Any], tuple[Array, Array]]

MAX_STEPS = 200  # a bisection of any float64 bracket takes fewer, a typical solution about ten


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def solve(function: Function, bracket: Bracket, y: Array, params: Any) -> Array:
    """Returns `x` with `f(x; params) = y`.

    Args:
        function: maps `x`, `[...]`, and `params` to `f(x; params)` and `log f'(x; params)`.
        bracket: maps `y` and `params` to two points, `[...]`, that enclose the solution.
        y: `[...]`, with the shape and the dtype of the result.
        params: a pytree.
    """
    low, high = bracket(y, params)
    low, high = jnp.minimum(low, high), jnp.maximum(low, high)
    tolerance = 100.0 * jnp.finfo(y.dtype).eps

    def newton(x: Array) -> tuple[Array, Array]:
        value, log_slope = function(x, params)
        return value - y, (value - y) * jnp.exp(-log_slope)

    def unfinished(state: _State) -> Array:
        return jnp.any(state.active) & (state.num_steps < MAX_STEPS)

    def improve(state: _State) -> _State:
        x = state.x
        error, step = newton(x)
        low = jnp.where(error <= 0.0, x, state.low)
        high = jnp.where(error >= 0.0, x, state.high)
        trusted = (x - step > low) & (x - step < high) & (2.0 * jnp.abs(step) <= state.last)
        moved = jnp.where(trusted, x - step, low + 0.5 * (high - low))
        # A comparison with NaN is false: what has become NaN is not pursued.
        small = tolerance * (1.0 + jnp.abs(x))
        active = state.active & (jnp.abs(step) > small) & (high - low > small)
        return _State(
            x=jnp.where(active, moved, x),
            low=low,
            high=high,
            last=jnp.abs(moved - x),
            active=active,
            num_steps=state.num_steps + 1,
        )

    start = _State(
        x=low + 0.5 * (high - low),
        low=low,
        high=high,
        last=high - low,
        active=jnp.ones(y.shape, bool),
        num_steps=jnp.zeros((), jnp.int32),
    )
    x = jax.lax.while_loop(unfinished, improve, start).x
    # The step would have been short: two of them bring x as close as rounding lets it come.
    for _ in range(2):
        x = jnp.clip(x - newton(x)[1], low, high)
    return x


class _State(NamedTuple):
    x: Array
    low: Array
    high: Array
    last: Array
    active: Array
    num_steps: Array


@solve.defjvp
def _solve_jvp(
    function: Function,
    bracket: Bracket,
    primals: tuple[Array, Any],
    tangents: tuple[Array, Any],
) -> tuple[Array, Array]:
    y, params = primals
    y_dot, params_dot = tangents
    x = solve(function, bracket, y, params)
    (_, log_slope), (shift, _) = jax.jvp(
        lambda params: function(x, params), (params,), (params_dot,)
    )
    return x, (y_dot - shift) * jnp.exp(-log_slope)
