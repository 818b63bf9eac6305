"""Mixtures of K normal distributions with independent dimensions, and derivatives of their draws.

Throughout, `logits` is `[..., K]`, `loc` and `scale` are `[..., K, D]`, and `x` is `[..., D]`.
"""

import math

import jax
import jax.numpy as jnp

from hkflows.kernels.linear import solve_triangular

Array = jax.Array


def log_densities(loc: Array, scale: Array, x: Array) -> Array:
    """Returns the log-density (nats) of each component in each dimension, `[..., K, D]`."""
    z = (x[..., None, :] - loc) / scale
    return -0.5 * z**2 - jnp.log(scale) - 0.5 * math.log(2.0 * math.pi)


@jax.custom_jvp
def reparameterize(logits: Array, loc: Array, scale: Array, x: Array) -> Array:
    """Returns the draw `x`, with its derivatives in the parameters.

    They are implicit: `F(x)`, which is uniform, stays where it is, so
    `dx = -(dF/dx)^{-1} (dF/d parameters)`. What is known of `x` otherwise is forgotten.
    """
    return x


@reparameterize.defjvp
def _reparameterize_jvp(
    primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Array, Array]:
    logits, loc, scale, x = primals
    x = reparameterize(logits, loc, scale, x)  # for the derivatives of the derivatives
    _, move = jax.jvp(
        lambda logits, loc, scale: _transform(logits, loc, scale, x), primals[:3], tangents[:3]
    )

    def column(unit: Array) -> Array:
        tangent = jnp.broadcast_to(unit, x.shape)
        return jax.jvp(lambda x: _transform(logits, loc, scale, x), (x,), (tangent,))[1]

    # F_i depends on x_1..x_i: a lower triangular Jacobian, whose diagonal are densities.
    jacobian = jax.vmap(column, out_axes=-1)(jnp.eye(x.shape[-1], dtype=x.dtype))
    density = jnp.diagonal(jacobian, axis1=-2, axis2=-1)
    strict = jnp.tril(jacobian / density[..., None], -1)
    return x, -solve_triangular(strict, move / density, lower=True, unit=True)


def _transform(logits: Array, loc: Array, scale: Array, x: Array) -> Array:
    """Returns `F_i(x)`, `[..., D]`: the probability of less than `x_i` given those before it.

    Above the median it is minus the probability of more, which has the same derivatives and no
    cancellation in the tail.
    """
    each = log_densities(loc, scale, x)
    before = jnp.concatenate(
        [jnp.zeros_like(each[..., :1]), jnp.cumsum(each[..., :-1], axis=-1)], axis=-1
    )
    weights = jax.nn.softmax(logits[..., None] + before, axis=-2)
    z = (x[..., None, :] - loc) / scale
    less = jnp.sum(weights * jax.scipy.special.ndtr(z), axis=-2, keepdims=True)
    sign = jnp.where(less > 0.5, -1.0, 1.0)
    return jnp.sum(weights * sign * jax.scipy.special.ndtr(sign * z), axis=-2)
