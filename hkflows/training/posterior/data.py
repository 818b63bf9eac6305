"""Data of a posterior: what they must be, and the density given all of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from hkflows import checks
from hkflows.compilation import quick_jit
from hkflows.targets import Target
from hkflows.targets.argument import as_argument

Array = jax.Array

ROWS_TO_DOUBLE = 100


def check_data(target: Target, data: Any, batch_size: int | None) -> int:
    """Returns the number of rows of the data, or raises `ValueError`.

    Args:
        target: the posterior.
        data: a pytree of arrays `[N, ...]`, or `None`.
        batch_size: rows a step, or `None`.
    """
    if (data is not None) != target.takes_data:
        raise ValueError(
            "`data` must be given exactly if the target's log density takes a batch of data as its "
            "second argument, after that of all parameters; got "
            f"{'data' if data is not None else 'none'} for a target that "
            f"{'does' if target.takes_data else 'does not'}."
        )
    if data is None:
        if batch_size is not None:
            raise ValueError(f"`batch_size` needs `data`; got {batch_size} and none.")
        return 0
    leaves = jax.tree.leaves(data)
    sizes = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in leaves}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            "`data` must hold arrays with one leading axis of the same size, at least one; got "
            f"shapes {[jnp.shape(leaf) for leaf in leaves]}."
        )
    for leaf in leaves:
        checks.all_finite("data", jnp.asarray(leaf))
    num_rows = sizes.pop()
    if target.num_data not in (None, num_rows):
        raise ValueError(
            f"`data` must have the {target.num_data} rows that `minibatch` was told of; got "
            f"{num_rows}."
        )
    return num_rows


def check_estimate(target: Target, points: Array, data: Any) -> None:
    """Raises `ValueError` where the density given a batch is no estimate of that given all data.

    An estimate does not change if every row of the batch comes twice; a sum over the batch does.

    Args:
        target: the posterior.
        points: where to look, `[n, D]`.
        data: a pytree of arrays `[N, ...]`, or `None` if the target takes none.
    """
    if data is None or target.num_data is not None:
        return
    once = jax.tree.map(lambda a: a[:ROWS_TO_DOUBLE], data)
    twice = jax.tree.map(lambda a: jnp.concatenate([a, a]), once)
    log_density = as_argument(target.log_density)
    values, again = (np.asarray(_values(log_density, points, rows)) for rows in (once, twice))
    finite = np.isfinite(values) & np.isfinite(again)
    off = finite & ~np.isclose(values, again, rtol=1e-3, atol=1e-3)
    if off.any():
        first = int(np.argmax(off))
        raise ValueError(
            "`target.log_density` must estimate from a batch what all data give, as "
            "`hkflows.elbo.minibatch` does; with every row of a batch twice it changes from "
            f"{values[first]:.6g} to {again[first]:.6g}."
        )


@quick_jit
def _values(log_density: Callable[..., Array], points: Array, rows: Any) -> Array:
    return jax.lax.map(lambda z: log_density(z, rows), points)


def given(log_density: Callable[..., Array], data: Any, chunk_size: int) -> Partial:
    """Returns the log density given all data, which are gone through in chunks.

    A density from a batch of B rows is an unbiased estimate of that from all N, as
    `hkflows.elbo.minibatch` makes it; so the mean over disjoint chunks, weighted by `B / N`, is
    that from all. In memory is one chunk at a time, in the backward pass too.

    Args:
        log_density: takes a batch as its second argument.
        data: a pytree of arrays `[N, ...]`.
        chunk_size: rows a chunk.
    """
    N = jax.tree.leaves(data)[0].shape[0]
    size = min(chunk_size, N)
    whole = N // size * size
    chunks = jax.tree.map(lambda a: a[:whole].reshape(-1, size, *a.shape[1:]), data)
    rest = jax.tree.map(lambda a: a[whole:], data)
    return Partial(_given_all, as_argument(log_density), chunks, rest)


def _given_all(log_density: Callable[..., Array], chunks: Any, rest: Any, z: Array) -> Array:
    num_chunks, size = jax.tree.leaves(chunks)[0].shape[:2]
    num_rest = jax.tree.leaves(rest)[0].shape[0]
    N = num_chunks * size + num_rest

    @jax.checkpoint
    def share(z: Array, chunk: Any) -> Array:
        return (jax.tree.leaves(chunk)[0].shape[0] / N) * log_density(z, chunk)

    total = share(z, rest) if num_rest else jnp.zeros((), z.dtype)
    return jax.lax.scan(lambda sum_, chunk: (sum_ + share(z, chunk), None), total, chunks)[0]
