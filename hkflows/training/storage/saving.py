"""Finished fits on disk: a folder with a description and arrays, without pickle."""

import itertools
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from hkflows.targets import Target
from hkflows.targets.fitted import check_fitted
from hkflows.training.signals import has_come
from hkflows.training.storage import folders
from hkflows.training.storage.arrays import from_named, named
from hkflows.training.storage.codec import describe, left_open, recover
from hkflows.training.transformed import check_flow


def save(fit: Any, path: str | os.PathLike[str]) -> None:
    """Writes a fit to a new or empty folder; see `PosteriorFit.save` and `DensityFit.save`."""
    folder = pathlib.Path(path)
    folders.check_free("path", folder)
    arrays: dict[str, np.ndarray] = {}
    description = describe(fit, arrays, "fit")
    folders.write(folder, description, arrays)


def load_fit(
    path: str | os.PathLike[str],
    *,
    flow: hk.Transformed | None = None,
    target: Target | None = None,
) -> Any:
    """Reads a fit that `fit.save` wrote: its draws are the same, for the same key.

    Args:
        path: the folder.
        flow: the flow, if it was one of your own; those of `hkflows.flows` and the default one are
            described in the folder.
        target: for a fit to a posterior, its target; if that took data, with these bound to it.

    Returns:
        The `PosteriorFit` or `DensityFit`.

    Raises:
        ValueError: if there is no fit or a damaged one, if what could not be saved is not given, or
            if what is given does not fit.
    """
    folder = pathlib.Path(path)
    description, arrays = folders.read("path", folder)
    kind = description.get("object", "") if isinstance(description, dict) else ""
    if not kind.endswith("Fit"):
        raise ValueError(f"`path` must hold a fit; {folder} holds something else.")
    needed = left_open(description)
    if flow is None and "flow" in needed:
        raise ValueError(
            f"`flow` must be given: that of the fit in {folder} is none of `hkflows.flows`, and "
            "was not saved."
        )
    if target is None and "target" in needed:
        raise ValueError(
            f"`target` must be given: the fit in {folder} is one to a posterior, whose functions "
            "were not saved."
        )
    for name, value in (("flow", flow), ("target", target)):
        if value is not None and name not in needed:
            raise ValueError(f"`{name}` must not be given: the fit in {folder} needs none.")
    fit = recover(description, arrays, {"flow": flow, "target": target})
    if flow is not None:
        _check_params(flow, fit, folder)
    if target is not None:
        check_fitted(target, fit.distribution, "fit")
        _check_names(target, fit, folder)
    return fit


def remembered(folder: pathlib.Path, compute: Callable[[], Any]) -> Any:
    """Returns what a function computes, or what is in a folder from an earlier call.

    Args:
        folder: where to keep it, unless Ctrl-C has cut the computation short.
        compute: returns what can be described.
    """
    if folders.is_written(folder):
        return recover(*folders.read("checkpoint_dir", folder), {})
    value = compute()
    if has_come(signal.SIGINT):
        return value
    arrays: dict[str, np.ndarray] = {}
    description = describe(value, arrays, "value")
    folders.write(folder, description, arrays)
    return recover(description, arrays, {})  # as it will be read


def _check_names(target: Target, fit: Any, folder: pathlib.Path) -> None:
    """Raises `ValueError` where a target has other parameters than what was fitted."""
    expected, names = fit.diagnostics.parameters.names, target.names()
    for old, new in itertools.zip_longest(expected, names):
        if old != new:
            raise ValueError(
                f"`target` must have the parameters of the fit in {folder}; the first that differs "
                f"is `{old}` there and `{new}` here."
            )


def _check_params(flow: hk.Transformed, fit: Any, folder: pathlib.Path) -> None:
    """Raises `ValueError` where a flow is not the one that the parameters belong to."""
    check_flow(flow)
    context_size = getattr(fit, "context_size", None)
    context = () if context_size is None else (jnp.zeros((1, context_size)),)
    try:
        from_named(named(fit.params), jax.eval_shape(flow.init, jax.random.key(0), *context))
    except ValueError as error:
        raise ValueError(f"`flow` must be that of the fit in {folder}. {error}") from error
