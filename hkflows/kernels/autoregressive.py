"""The two directions of an autoregressive map.

A scalar map `tau` and a network that reads `u` in an order give the triangular map

    v_i = tau(u_i; h_i(u_<i)),   log|det dv/du| = sum_i log tau'(u_i; h_i(u_<i)).

`parallel` goes from `u` to `v` with one evaluation of the network. `sequential` comes back, degree
by degree or by repeated passes. Its derivatives do not pass through that loop: by the implicit
function theorem they need one linearisation of the parallel map at the solution and the solution of
triangular linear systems with its Jacobian `J`, so they are exact in forward mode, in reverse mode
and in their compositions.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from hkflows.kernels import fixed_point, triangular
from hkflows.kernels.masked_mlp import MaskedMLP

Array = jax.Array
Linear = Callable[[Array], Array]


class ScalarMap(Protocol):
    """An increasing scalar map and its inverse, each with its log-derivative."""

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns `tau(x; params)` and `log tau'`, for `params` of shape `x.shape + (P,)`."""

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns `x` with `tau(x; params) = y` and `-log tau'(x; params)`."""


class Network(Protocol):
    """An autoregressive network at fixed weights, a pytree."""

    @property
    def order(self) -> tuple[int, ...]:
        """The order of the dimensions, each after those that it depends on."""

    def __call__(self, u: Array) -> Array:
        """Returns parameters `[..., D, P]`; those of `order[k]` depend on `order[:k]` alone."""


def parallel(tau: ScalarMap, network: Network, u: Array) -> tuple[Array, Array]:
    """Returns `v`, shape `[..., D]`, and `log|det dv/du|`, shape `[...]`, in one network pass."""
    v, log_derivative = tau.forward(u, network(u))
    return v, jnp.sum(log_derivative, axis=-1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def sequential(tau: ScalarMap, network: Network, v: Array) -> tuple[Array, Array]:
    """Returns `u` with `parallel(u) = v`, and `log|det du/dv|`.

    On CPUs a `MaskedMLP` is swept degree by degree; see `kernels.sweep`. Elsewhere, where starting
    many small products would cost more than a few large ones, and for any other network, passes are
    repeated until one changes nothing, D of them at most; see `kernels.fixed_point`.

    Args:
        tau: the scalar map.
        network: the network.
        v: `[..., D]`, with the full batch shape and the dtype of the result.
    """

    def invert_by_passes(network: Network, v: Array) -> tuple[Array, Array]:
        zeros = jnp.zeros_like(v)
        u, log_derivatives = fixed_point.solve(
            lambda u: tau.inverse(v, network(u)), (zeros, zeros), network.order
        )
        return u, jnp.sum(log_derivatives, axis=-1)

    if not isinstance(network, MaskedMLP):
        return invert_by_passes(network, v)
    invert_by_sweep = functools.partial(triangular.invert, tau)
    return _on_cpus(invert_by_sweep, elsewhere=invert_by_passes)(network, v)


@sequential.defjvp
def _sequential_jvp(
    tau: ScalarMap, primals: tuple[Network, Array], tangents: tuple[Any, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Differentiates `g(net, u) = v`, g the parallel map: `J du = dv - (dg/dnet) dnet`."""
    network, v = primals
    network_dot, v_dot = tangents
    u, log_det = sequential(tau, network, v)
    _, (shift, log_det_network) = jax.jvp(
        lambda network: parallel(tau, network, u), (network,), (network_dot,)
    )
    _, pushforward = jax.linearize(functools.partial(parallel, tau, network), u)
    u_dot = solve_jacobian(tau, network, u, v_dot - shift)
    _, log_det_u = pushforward(u_dot)
    return (u, log_det), (u_dot, -(log_det_network + log_det_u))


def forward_and_score(
    tau: ScalarMap, network: Network, u: Array, score: Array
) -> tuple[Array, Array, Array]:
    """Returns `v`, `log|det J|` and `J^{-T} (score - d log|det J| / du)`, J the Jacobian at `u`."""
    (v, log_det), pullback = jax.vjp(functools.partial(parallel, tau, network), u)
    (log_det_gradient,) = pullback((jnp.zeros_like(v), jnp.ones_like(log_det)))
    transposed_solve = jax.linear_transpose(functools.partial(solve_jacobian, tau, network, u), u)
    (score,) = transposed_solve((score - log_det_gradient).astype(u.dtype))
    return v, log_det, score


def solve_jacobian(tau: ScalarMap, network: Network, u: Array, b: Array) -> Array:
    """Returns `J^{-1} b`, J the Jacobian of the parallel map at `u`, as a linear map of `b`.

    With `slope` the diagonal of `J`, `J x = slope * x + below(x)`.
    """
    params, network_dot = jax.linearize(network, u)
    v, pullback = jax.vjp(lambda u, params: tau.forward(u, params)[0], u, params)
    slope, sensitivity = pullback(jnp.ones_like(v))

    def below(x: Array) -> Array:
        return jnp.sum(sensitivity * network_dot(x), axis=-1)

    def solve_by_passes(off_diagonal: Linear, order: Sequence[int], b: Array) -> Array:
        def step(x: Array) -> tuple[Array]:
            return ((b - off_diagonal(x)) / slope,)

        return fixed_point.solve(step, (jnp.zeros_like(b),), order)[0]

    above = jax.linear_transpose(below, u)
    solve: Linear = functools.partial(solve_by_passes, below, network.order)
    transpose_solve: Linear = functools.partial(
        solve_by_passes, lambda x: above(x)[0], network.order[::-1]
    )
    if isinstance(network, MaskedMLP):
        swept = triangular.linearise(network, u, slope, sensitivity)
        solve = _on_cpus(swept.solve, elsewhere=solve)
        transpose_solve = _on_cpus(swept.solve_transposed, elsewhere=transpose_solve)
    return jax.lax.custom_linear_solve(
        lambda x: slope * x + below(x),
        b,
        solve=lambda _, b: solve(b),
        transpose_solve=lambda _, b: transpose_solve(b),
    )


def _on_cpus(function: Callable[..., Any], *, elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    return functools.partial(jax.lax.platform_dependent, cpu=function, default=elsewhere)
