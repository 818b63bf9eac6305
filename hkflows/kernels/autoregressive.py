"""The two directions of an autoregressive map.

A scalar map `tau` and a network that reads `u` in an order give the triangular map

    v_i = tau(u_i; h_i(u_<i)),   log|det dv/du| = sum_i log tau'(u_i; h_i(u_<i)).

`parallel` goes from `u` to `v` with one evaluation of the network. `sequential` comes back, one
dimension after the other. Its derivatives do not pass through that loop: by the implicit function
theorem they need one linearisation of the parallel map at the solution and the solution of
triangular linear systems with its Jacobian `J`, so they are exact in forward mode, in reverse mode
and in their compositions.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from hkflows.kernels import triangular
from hkflows.kernels.masked_mlp import MaskedMLP

Array = jax.Array


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

    A `MaskedMLP` is swept degree by degree, at the cost of a few passes; any other network is
    evaluated D times.

    Args:
        tau: the scalar map.
        network: the network.
        v: `[..., D]`, with the full batch shape and the dtype of the result.
    """
    if isinstance(network, MaskedMLP):
        return triangular.invert(tau, network, v)

    def visit(u: Array, dimension: Array) -> tuple[Array, Array]:
        params = jnp.take(network(u), dimension, axis=-2)
        solved, log_derivative = tau.inverse(jnp.take(v, dimension, axis=-1), params)
        return u.at[..., dimension].set(solved), log_derivative

    u, log_derivatives = jax.lax.scan(visit, jnp.zeros_like(v), jnp.asarray(network.order))
    return u, jnp.sum(log_derivatives, axis=0)


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
    """Returns `J^{-1} b`, J the Jacobian of the parallel map at `u`, as a linear map of `b`."""
    _, pushforward = jax.linearize(lambda u: parallel(tau, network, u)[0], u)
    if isinstance(network, MaskedMLP):
        linearised = triangular.linearise(tau, network, u)
        return jax.lax.custom_linear_solve(
            pushforward,
            b,
            solve=lambda _, b: linearised.solve(b),
            transpose_solve=lambda _, b: linearised.solve_transposed(b),
        )

    order = jnp.asarray(network.order)
    _, log_diagonal = tau.forward(u, network(u))

    def substitute(order: Array, matvec: Callable[[Array], Array], b: Array) -> Array:
        def visit(x: Array, dimension: Array) -> tuple[Array, None]:
            return _replace(x, dimension, (b - matvec(x)) * jnp.exp(-log_diagonal)), None

        return jax.lax.scan(visit, jnp.zeros_like(b), order)[0]

    return jax.lax.custom_linear_solve(
        pushforward,
        b,
        solve=functools.partial(substitute, order),
        transpose_solve=functools.partial(substitute, order[::-1]),
    )


def _replace(u: Array, dimension: Array, candidate: Array) -> Array:
    """Returns `u` with one dimension taken from `candidate`; what that holds elsewhere is void."""
    return jnp.where(jnp.arange(u.shape[-1]) == dimension, candidate, u)
