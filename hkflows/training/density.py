"""Fitting a flow to data."""

import dataclasses
import os
import time
from typing import Any, NamedTuple

import haiku as hk
import jax
import numpy as np
import optax
from jax.sharding import Mesh

from hkflows import checks
from hkflows.distributions import FlowDistribution
from hkflows.likelihood import negative_log_likelihood
from hkflows.sharding import check_mesh, place, place_rows, spread
from hkflows.training.checkpoints import checkpoint_folder
from hkflows.training.codec import describable
from hkflows.training.data import batches
from hkflows.training.loop import minimise, patience
from hkflows.training.optimizers import adam_in_rounds
from hkflows.training.saving import save
from hkflows.training.snapshot import Callback
from hkflows.training.tables import table
from hkflows.training.transformed import check_flow, initial_params

Array = jax.Array

NUM_STEPS = 5000
BATCH_SIZE = 256
LEARNING_RATE = 5e-3
CHUNK_STEPS = 50  # at least so many steps, in whole epochs, between two looks at held-out data
PATIENCE = 20  # looks at held-out data without a better one


@describable
@dataclasses.dataclass(frozen=True)
class DensityFit:
    """A flow fitted to data.

    Attributes:
        flow: the flow, as `hk.Transformed`.
        params: its parameters, those with the best held-out likelihood.
        losses: the mean negative log-likelihood of every step's batch (nats), `[num_steps]`.
        validation_losses: that of the held-out rows at every evaluation (nats); empty when none
            were held out.
        conditional: whether the fit has a context.
        num_skipped: steps whose gradient was not finite; they changed nothing.
        stop_reason: why the fit ended.
        seconds: how long it took, compilation included.
    """

    flow: hk.Transformed
    params: Any
    losses: np.ndarray
    validation_losses: np.ndarray
    conditional: bool
    num_skipped: int
    stop_reason: str
    seconds: float

    @property
    def distribution(self) -> FlowDistribution:
        """The fitted distribution; for a conditional fit see `condition`."""
        if self.conditional:
            raise ValueError("The fit has a `context`; use `fit.condition(context)`.")
        return self.flow.apply(self.params)

    def condition(self, context: Array) -> FlowDistribution:
        """Returns the fitted distribution given a context, `[..., C]`."""
        if not self.conditional or context is None:
            raise ValueError(
                f"`context` must be given if and only if the fit has one (conditional: "
                f"{self.conditional}); got {context!r}."
            )
        return self.flow.apply(self.params, context)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fit to a new or empty folder, from which `hkflows.load_fit` reads it.

        A flow of `hkflows.flows` is described there. One of your own is not, and has to be given
        to `load_fit`.
        """
        save(self, path)

    def summary(self) -> str:
        """Returns how the fit went as a table."""
        rows = {"training loss": f"{self.losses[-100:].mean():.4f} nats a row, last 100 steps"}
        if self.validation_losses.size:
            rows["validation loss"] = f"{self.validation_losses.min():.4f} nats a row, best"
        return table(
            {
                **rows,
                "skipped steps": f"{self.num_skipped} of {self.losses.size}",
                "ended because": self.stop_reason,
                "seconds": f"{self.seconds:.1f}",
            }
        )


class _Fixed(NamedTuple):
    """The data, and the context where there is one: rows to train on and rows held out."""

    train: tuple[Array, ...]
    held_out: tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class _NegativeLogLikelihood:
    """The mean negative log-likelihood of rows (nats); scored by the held-out ones."""

    flow: hk.Transformed
    batch_size: int
    mesh: Mesh | None

    def inputs(self, fixed: _Fixed, key: Array, steps: Array) -> Array:
        return batches(key, len(fixed.train[0]), self.batch_size, len(steps))

    def loss(self, params: Any, fixed: _Fixed, indices: Array) -> Array:
        rows = [spread(array[indices], self.mesh) for array in fixed.train]
        return self._of_rows(params, *rows)

    def score(self, params: Any, fixed: _Fixed, mean_loss: Array) -> tuple[Array, None]:
        held_out = fixed.held_out
        return (self._of_rows(params, *held_out) if len(held_out[0]) else mean_loss), None

    def _of_rows(self, params: Any, y: Array, *context: Array) -> Array:
        return negative_log_likelihood(self.flow.apply(params, *context), y)


def fit_density(
    flow: hk.Transformed,
    data: Array,
    *,
    key: Array | int,
    context: Array | None = None,
    batch_size: int | None = None,
    num_steps: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    validation_fraction: float = 0.1,
    progress: bool = True,
    callback: Callback | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> DensityFit:
    """Fits a flow to data by maximum likelihood.

    The rows are shuffled on the device, every epoch anew. A fraction of them is held out; the fit
    keeps the parameters that score them best, and stops when they no longer get better.

    Args:
        flow: the flow, as `hk.Transformed`.
        data: `[N, D]`, finite.
        key: a PRNG key, typed or not, or an integer.
        context: `[N, C]`, or `None`.
        batch_size: rows a step, by default 256 or as many as there are.
        num_steps: the most optimiser steps, by default 5,000.
        optimizer: an optax gradient transformation; by default Adam with a cosine schedule from
            5e-3 to zero, gradients clipped to norm 10.
        validation_fraction: the fraction of the rows to hold out; with 0 the fit does not stop
            early, and keeps the parameters with the best training loss.
        progress: whether to show a progress bar.
        callback: called with a `training.Snapshot` after every chunk of steps.
        checkpoint_dir: if given, a folder for checkpoints, new or empty; they need the extra
            `checkpoint`. They are written in the background, one every few chunks, and on SIGTERM.
        resume: whether to go on from the last checkpoint in `checkpoint_dir`, if there is one: to
            the same result, bit for bit, as without a break.
        mesh: if given, rows are spread over its devices, whose number divides the batch size, and
            what is trained is on each; the result is the same. The devices may be of several
            processes, all of which make the same call.

    Returns:
        The fit, also when it ended early: `stop_reason` says why. Ctrl-C ends the training and
        gives the best so far; a second one raises `KeyboardInterrupt`.

    Raises:
        ValueError: if an argument is off, or the data are not finite; or if `checkpoint_dir` holds
            another fit or what is damaged, in which case nothing in it is changed.
    """
    start = time.perf_counter()
    check_flow(flow)
    folder = checkpoint_folder(checkpoint_dir, resume)
    rows = _check_data(data, context)
    num_rows = len(rows[0])
    if not 0.0 <= validation_fraction < 1.0:
        raise ValueError(f"`validation_fraction` must be in [0, 1); got {validation_fraction}.")
    num_steps = NUM_STEPS if num_steps is None else checks.positive_int("num_steps", num_steps)
    num_held_out = round(validation_fraction * num_rows)
    num_train = num_rows - num_held_out
    if num_train < 1:
        raise ValueError(f"`data` must leave rows to train on; got {num_rows} rows in all.")
    size = BATCH_SIZE if batch_size is None else checks.positive_int("batch_size", batch_size)
    size = min(size, num_train)
    mesh = check_mesh(mesh, batch_size=size)
    steps_per_epoch = num_train // size
    if optimizer is None:
        optimizer = adam_in_rounds((LEARNING_RATE,), (num_steps,))

    split_key, init_key, train_key = jax.random.split(checks.prng_key("key", key), 3)
    shuffled = jax.random.permutation(split_key, num_rows)
    train = tuple(array[shuffled[num_held_out:]] for array in rows)
    held_out = tuple(array[shuffled[:num_held_out]] for array in rows)
    result = minimise(
        _NegativeLogLikelihood(flow, size, mesh),
        initial_params(flow, rows[0].shape[1:], init_key, *(array[:1] for array in train[1:])),
        _Fixed(place_rows(train, mesh), place(held_out, mesh)),
        key=train_key,
        optimizer=optimizer,
        num_steps=num_steps,
        chunk_steps=-(-CHUNK_STEPS // steps_per_epoch) * steps_per_epoch,
        stop=patience(PATIENCE) if num_held_out else None,
        progress=progress,
        callback=callback,
        checkpoint_dir=folder,
        resume=resume,
        mesh=mesh,
    )
    return DensityFit(
        flow=flow,
        params=result.params,
        losses=result.losses,
        validation_losses=result.scores if num_held_out else np.empty(0),
        conditional=context is not None,
        num_skipped=result.num_skipped,
        stop_reason=result.stop_reason,
        seconds=time.perf_counter() - start,
    )


def _check_data(data: Array, context: Array | None) -> tuple[Array, ...]:
    """Returns the data, and the context where there is one, as finite floating matrices."""
    rows: tuple[Array, ...] = ()
    for name, value in (("data", data), ("context", context)):
        if value is None and name == "context":
            continue
        array = checks.floating(name, value)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"`{name}` must be a matrix of rows; got shape {array.shape}.")
        checks.all_finite(name, array)
        rows += (array,)
    if len({len(array) for array in rows}) > 1:
        raise ValueError(
            f"`context` must have a row for each row of `data`; got {len(rows[1])} "
            f"and {len(rows[0])}."
        )
    return rows
