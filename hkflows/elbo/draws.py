"""Log-weights of many draws at once, as a whole or in chunks."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hkflows import checks
from hkflows.elbo.origins import origins_of, sample_and_log_prob
from hkflows.elbo.path import sample_and_path_log_prob_at, sample_and_score, through_the_draw
from hkflows.sharding import check_mesh, spread

Array = jax.Array
LogDensity = Callable[[Array], Array]
Aux = dict[str, Array]
T = TypeVar("T")


def over_draws(
    of_draws: Callable[[Any, LogDensity, Array], T],
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    chunk_size: int | None,
    mesh: Mesh | None = None,
) -> T:
    """Evaluates `of_draws(q, log_density, origins)` for S draws, each with a key of its own.

    Args:
        of_draws: what to make of draws; one of the functions below, or alike.
        q: a distribution.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S.
        chunk_size: if given, at most so many draws are in memory at a time, those of the backward
            pass included, which computes them again. The numbers stay the same.
        mesh: if given, the draws are spread over its devices.

    Returns:
        The results, with a leading axis of size S.

    Raises:
        ValueError: if an argument is off.
    """
    num_samples = checks.positive_int("num_samples", num_samples)
    checks.function("log_density", log_density)
    checks.distribution("q", q, "sample_and_log_prob")
    mesh = check_mesh(mesh, num_samples=num_samples)
    keys = spread(jax.random.split(checks.prng_key("seed", seed), num_samples), mesh)

    def of_keys(keys: Array) -> T:
        return of_draws(q, log_density, origins_of(q, keys))

    if chunk_size is None:
        return of_keys(keys)
    if mesh is not None:
        raise ValueError("`chunk_size` must not be given with a `mesh`, which takes all at once.")
    chunk_size = min(checks.positive_int("chunk_size", chunk_size), num_samples)
    return _in_chunks(jax.checkpoint(of_keys), keys, chunk_size)


def total_log_weight(q: Any, log_density: LogDensity, origins: Array) -> Array:
    """Returns `log w(y)` of draws, `[S, *batch_shape]`, with all of its derivative."""
    return log_weight(log_density, *sample_and_log_prob(q, origins))


def path_log_weight(q: Any, log_density: LogDensity, origins: Array) -> Array:
    """Returns `log w(y)`, `[S, *batch_shape]`, without the score of the parameters of q."""
    return log_weight(log_density, *sample_and_path_log_prob_at(q, origins))


def split_log_weight(q: Any, log_density: LogDensity, origins: Array) -> tuple[Array, Array]:
    """Returns the log-weights of draws with their derivative in two parts.

    With `phi` the parameters of `q` and `theta` those that `log_density` closes over, the
    derivative of `path_log_weight` is

        d log p_theta(y)/d theta   +   (d log w/dy) (dy/d phi),

    and an objective may weigh the two differently.

    Returns:
        `log w(y)`, `[S, *batch_shape]`, with the first part for its derivative; and zero,
        `[S, *batch_shape]`, with the second for its.
    """
    y, log_q, score = sample_and_score(q, origins)
    log_w, pullback = jax.vjp(lambda y: log_weight(log_density, y, log_q), jax.lax.stop_gradient(y))
    (slope,) = pullback(jnp.ones_like(log_w))
    return log_w, through_the_draw(slope - score, y, log_w.ndim)


def log_weight(log_density: LogDensity, y: Array, log_q: Array) -> Array:
    """Returns `log p(y) - log q(y)`, `[S, *batch_shape]`, or raises `ValueError`."""
    log_p = jax.vmap(log_density)(y)
    if not isinstance(log_p, jax.Array):
        raise ValueError(f"`log_density` must return one array; got {type(log_p).__name__}.")
    if log_p.shape != log_q.shape:
        raise ValueError(
            f"`log_density` must map draws of shape {y.shape[1:]} to shape {log_q.shape[1:]}; "
            f"it returned {log_p.shape[1:]}."
        )
    if not jnp.issubdtype(log_p.dtype, jnp.floating):
        raise ValueError(f"`log_density` must return real floating numbers; got {log_p.dtype}.")
    return log_p - log_q


def _in_chunks(function: Callable[[Array], T], keys: Array, size: int) -> T:
    """Evaluates a function of keys, `[S]`, on so many at a time, and on what is left."""
    whole = keys.shape[0] // size * size
    chunks = keys[:whole].reshape(-1, size, *keys.shape[1:])
    results = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), jax.lax.map(function, chunks))
    if whole == keys.shape[0]:
        return results
    rest = function(keys[whole:])
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), results, rest)
