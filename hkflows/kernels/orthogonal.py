"""Orthogonal maps of vectors: reflections, rotations of pairs of dimensions, Cayley's map."""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def reflect(vectors: Array, x: Array) -> Array:
    """Returns `H_K ... H_1 x` with the reflections `H_k = I - 2 v_k v_k^T / |v_k|^2`.

    A vector of length zero reflects nothing. Costs K products of D.

    Args:
        vectors: `[..., K, D]`, `v_1` first.
        x: `[..., D]`.
    """

    def step(x: Array, v: Array) -> tuple[Array, None]:
        square = jnp.sum(v**2, axis=-1, keepdims=True)
        proper = square > jnp.finfo(square.dtype).tiny
        factor = 2.0 * jnp.sum(v * x, axis=-1, keepdims=True) / jnp.where(proper, square, 1.0)
        return x - jnp.where(proper, factor, 0.0) * v, None

    x = _with_batch(x, vectors.shape[:-2], vectors.dtype)
    return jax.lax.scan(step, x, jnp.moveaxis(vectors, -2, 0))[0]


def rounds(event_size: int) -> np.ndarray:
    """Returns who meets whom in a tournament in which all D dimensions meet each other once.

    Returns:
        `[R, D]`, the partner of each dimension in each round; R is D or D - 1, the odd one. Where D
        is odd, one dimension a round is its own partner.
    """
    count = event_size - 1 + event_size % 2
    # On a circle, round r mirrors all dimensions but the last; one is its own mirror image.
    partners = (np.arange(count)[:, None] - np.arange(count)) % count
    if event_size % 2:
        return partners
    alone = partners == np.arange(count)
    last = np.argmax(alone, axis=1)
    return np.column_stack([np.where(alone, count, partners), last])


def rotate_pairs(angles: Array, partners: Array | np.ndarray, x: Array) -> Array:
    """Rotates disjoint pairs of dimensions in each of R rounds, `R D` products in all.

    In round r, `y_i = cos(a_ri) x_i + sin(a_ri) x_j` with `j` the partner of `i`.

    Args:
        angles: `[..., R, D]`; those of partners are opposite, and zero for a dimension alone.
        partners: `[R, D]`.
        x: `[..., D]`.
    """

    def step(x: Array, turn: tuple[Array, Array, Array]) -> tuple[Array, None]:
        cos, sin, partner = turn
        return cos * x + sin * x[..., partner], None

    x = _with_batch(x, angles.shape[:-2], angles.dtype)
    angles = jnp.moveaxis(angles, -2, 0)
    return jax.lax.scan(step, x, (jnp.cos(angles), jnp.sin(angles), jnp.asarray(partners)))[0]


def cayley(skew: Array) -> Array:
    """Returns the rotations `(I - A/2)^{-1} (I + A/2)` of skew-symmetric matrices.

    Near zero it agrees with the matrix exponential to second order. It is defined for every A, and
    gives every rotation but those that turn a plane by pi, which it approaches.

    Args:
        skew: `[..., D, D]`, A.
    """
    identity = jnp.eye(skew.shape[-1], dtype=skew.dtype)
    return jnp.linalg.solve(identity - 0.5 * skew, identity + 0.5 * skew)


def _with_batch(x: Array, batch: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Returns `x` with the shape and the dtype that a scan over its steps ends with."""
    shape = (*jnp.broadcast_shapes(x.shape[:-1], batch), x.shape[-1])
    return jnp.broadcast_to(x, shape).astype(jnp.promote_types(x.dtype, dtype))
