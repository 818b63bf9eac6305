"""Checks of a target at given points: that it is finite somewhere, and that all of z matters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.targets.argument import as_argument
from hkflows.targets.log_joint import LogJoint
from hkflows.targets.names import listed, scalar_names

Array = jax.Array
Density = Callable[..., Array]


def check_density(
    log_density: Callable[..., Array], constrain: Callable[[Array], Any], z: Array, *batch: Any
) -> None:
    """Raises `ValueError` where a fit that starts at these points could not succeed.

    Args:
        log_density: that of a target, with the batch of data as second argument if it takes one.
        constrain: that of the target.
        z: points, `[n, D]`.
        *batch: the batch of data, if `log_density` takes one.

    Raises:
        ValueError: if the log density is not finite at any of the points; or an entry of its
            gradient is not finite at any of them; or it is zero at all of them, so that the
            posterior is improper. From the gradient of a `LogJoint` its Jacobian is left out,
            and entries are exempt whose support is bounded, where a flat density is proper.
    """
    # At a single point the gradient may be zero by chance: at the mode, say. One more, off it.
    other = np.asarray(z[:1]) + 0.1 * np.cos(np.arange(z.shape[-1]))
    points = np.concatenate([z, other]).astype(z.dtype)
    joint = log_density if isinstance(log_density, LogJoint) else None
    differentiated = log_density if joint is None else joint.without_log_det
    name = "log_density" if joint is None else "log_joint"

    functions = as_argument(log_density), as_argument(differentiated)
    values, gradients = (np.asarray(result) for result in _evaluate(*functions, points, *batch))
    is_finite = np.isfinite(values)
    if not is_finite[:-1].any():
        raise ValueError(
            f"`{name}` must be finite somewhere; it is not at any of {len(z)} points (the first is "
            f"{values[0]} at z = {z[0]}). "
            + _where_not_finite(constrain, z[0], gradients[0], joint is not None)
        )
    gradients = gradients[is_finite]
    undefined = np.flatnonzero(~np.isfinite(gradients).any(axis=0))
    if undefined.size:
        raise ValueError(
            f"`{name}` must have a finite gradient; that with respect to "
            f"{_described(constrain, z[0], undefined, joint is not None)} is not finite at any of "
            f"{len(gradients)} points. A `log`, `sqrt` or division in a branch that a `where` "
            "throws away would do that."
        )
    unused = ~(gradients != 0.0).any(axis=0)
    if joint is not None and unused.any():
        unused &= ~joint.is_bounded()
    if unused.any():
        raise ValueError(
            f"`{name}` must depend on every unbounded parameter, or the posterior is improper; "
            "its gradient with respect to "
            f"{_described(constrain, z[0], np.flatnonzero(unused), joint is not None)} "
            f"is zero at all of {len(gradients)} points."
        )


@quick_jit
def _evaluate(
    log_density: Density, differentiated: Density, points: Array, *batch: Any
) -> tuple[Array, Array]:
    """Returns the values of one function, `[n]`, and the gradients of another, `[n, D]`."""

    def at(point: Array) -> tuple[Array, Array]:
        gradient = jax.grad(lambda p: differentiated(p, *batch))(point)
        return log_density(point, *batch), gradient

    return jax.lax.map(at, points)  # one at a time: data may be large


def _where_not_finite(
    constrain: Callable[[Array], Any], z: Array, gradient: np.ndarray, by_name: bool
) -> str:
    parameters = constrain(z)
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(parameters)])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        names = scalar_names(parameters)
        return f"There the parameters {listed([names[i] for i in bad])} are not finite."
    undefined = np.flatnonzero(~np.isfinite(gradient))
    if undefined.size:
        described = _described(constrain, z, undefined, by_name)
        return (
            f"There the gradients with respect to {described} are not finite. A NaN in the data "
            "would do that."
        )
    return "The parameters and the gradients are finite there."


def _described(
    constrain: Callable[[Array], Any], z: Array, indices: np.ndarray, by_name: bool
) -> str:
    """Returns the names of the parameters that these entries of `z` set, or the entries too."""
    names = _set_by(constrain, z, indices)
    if by_name and names:
        return listed(names)
    entries = [f"z[{i}]" for i in indices]
    same = names == [f"value[{i}]" for i in indices]
    return listed(entries) + ("" if same or not names else f" (for {listed(names)})")


def _set_by(constrain: Callable[[Array], Any], z: Array, indices: np.ndarray) -> list[str]:
    """Returns the names of the floating parameters whose derivatives in these entries are not 0."""

    def flat(z: Array) -> Array:
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(constrain(z))])

    directions = jnp.zeros((len(indices), z.shape[-1]), z.dtype)
    directions = directions.at[np.arange(len(indices)), indices].set(1.0)
    moves = jax.vmap(lambda d: jax.jvp(flat, (z,), (d,))[1])(directions)
    moved = np.flatnonzero(np.any(np.asarray(moves) != 0.0, axis=0))
    names = scalar_names(constrain(z))
    return [names[i] for i in moved]
