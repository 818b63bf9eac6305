"""Fitting a flow to data."""

import dataclasses
import functools
import os
import time
from collections.abc import Iterator
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from hkflows import checks
from hkflows.precision import full_precision
from hkflows.sharding import check_mesh, place, place_rows
from hkflows.training.density.averaging import Averaged, averaging
from hkflows.training.density.fit import DensityFit
from hkflows.training.density.negative_log_likelihood import Fixed, NegativeLogLikelihood
from hkflows.training.density.plan import plan
from hkflows.training.density.sources import (
    InMemory,
    MemoryMapped,
    Pieces,
    source_of,
    validation_rows,
)
from hkflows.training.density.standard import Standard, standard_of
from hkflows.training.loop.checkpoints import checkpoint_folder
from hkflows.training.loop.minimise import minimise
from hkflows.training.loop.snapshot import Callback, Snapshot
from hkflows.training.optimizers import adam, check_optimizer
from hkflows.training.rows import Rows, take
from hkflows.training.transformed import check_flow, initial_params

Array = jax.Array

LEARNING_RATE = 2e-3
AVERAGED_STEPS = 100.0
CHUNK_STEPS = 10  # at the least, between two looks at held-out rows
TRAINED_FOR_EACH = 8  # rows, for each row that is looked at
PATIENCE = 50  # steps without a better score, and a quarter of those to the best: two looks or more
NUM_SAMPLE = 1000  # rows to report on if none are held out


@full_precision
def fit_density(
    flow: hk.Transformed,
    data: ArrayLike | Iterator,
    *,
    key: Array | int,
    context: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    validation_data: Any = None,
    validation_fraction: float = 0.1,
    standardise: bool = True,
    batch_size: int | None = None,
    num_steps: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    progress: bool = True,
    callback: Callback | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> DensityFit:
    """Fits a flow to data by maximum likelihood.

    The flow is trained in units in which the training rows have mean zero, variances of one and no
    correlations, and is followed by the map to the units of the data, which is not trained. What is
    kept is an average of the parameters over about 100 steps, with the best likelihood of held-out
    rows; the fit stops when that no longer gets better. Because the average starts at the flow's
    initial parameters, fits to few rows stay close to the Gaussian of their mean and covariance.

    Data may be larger than memory. Of a memory-mapped array (`numpy.memmap`, as
    `numpy.load(path, mmap_mode="r")` gives) each batch is drawn at random. An iterator gives rows
    in pieces of any number, which are cut into batches and used once, in their order: shuffled
    already, and again for every epoch. Both are read a chunk of steps ahead. Whether they are
    finite is seen for the first 10,000 rows of an iterator, and for a sample of those on disk;
    later on, a step on rows that are not is skipped and counted.

    Args:
        flow: the flow, as `hk.Transformed`.
        data: `[N, D]`, finite; or an iterator of such arrays, or of tuples `(data, context)` or
            `(data, context, weights)`.
        key: a PRNG key, typed or not, or an integer.
        context: `[N, C]`, or `None`. It is standardised too, without regard to correlations.
        weights: `[N]`, how much each row counts, not negative; by default all the same.
        validation_data: rows to score the fit by, instead of a fraction of `data`: `[M, D]`, or a
            tuple as above.
        validation_fraction: the fraction of the rows to hold out, at most 10,000 of them; of an
            iterator, that of its first 10,000 rows. With 0, or too few rows to hold one out, the
            fit has fewer steps, does not stop early, and keeps the best likelihood of the training
            rows.
        standardise: whether to train in standard units. Set it to false for a flow that knows the
            units of the data, such as one that ends in `hkflows.box` or `hkflows.standardise`.
        batch_size: rows a step, by default an eighth of them, between 32 and 256; if there are
            fewer to train on, all of them.
        num_steps: the most optimiser steps; by default 100 epochs (10 without held-out rows), but
            from 2,000 to 10,000 steps (no fewer than 10 without held-out rows).
        optimizer: an optax gradient transformation; by default Adam with a cosine schedule from
            2e-3 to zero, gradients clipped to norm 10.
        progress: whether to show a progress bar.
        callback: called with a `training.Snapshot` after every chunk of steps.
        checkpoint_dir: if given, a folder for checkpoints, new or empty; they need the extra
            `checkpoint`. They are written in the background, one every few chunks, and on SIGTERM.
        resume: whether to go on from the last checkpoint in `checkpoint_dir`, if there is one: to
            the same result, bit for bit, as without a break. An iterator must give the same rows
            again; those that have been used are left out.
        mesh: if given, rows are spread over its devices, whose number divides the batch size, and
            what is trained is on each; the result is the same. The devices may be of several
            processes, all of which make the same call.

    Returns:
        The fit, also when it ended early: `stop_reason` says why. Ctrl-C ends the training and
        gives the best so far; a second one raises `KeyboardInterrupt`.

    Raises:
        ValueError: if an argument is off, the data are not finite or a column of them does not
            vary; or if `checkpoint_dir` holds another fit or what is damaged, in which case nothing
            in it is changed.
    """
    start = time.perf_counter()
    check_flow(flow)
    if callback is not None:
        checks.function("callback", callback)
    checks.boolean("standardise", standardise)
    folder = checkpoint_folder(checkpoint_dir, resume)
    key = checks.prng_key("key", key)
    init_key, train_key, split_key = jax.random.split(key, 3)
    if not 0.0 <= checks.finite_float("validation_fraction", validation_fraction) < 1.0:
        raise ValueError(f"`validation_fraction` must be in [0, 1); got {validation_fraction}.")
    source = source_of(
        data,
        context,
        weights,
        fraction=validation_fraction if validation_data is None else 0.0,
        rng=np.random.default_rng(np.asarray(jax.random.key_data(split_key))),
    )
    held_out = source.held_out
    if validation_data is not None:
        held_out = validation_rows(validation_data, source.sample)
    num_held_out = len(held_out.data)
    size, num_steps = plan(source.num_train, num_held_out, batch_size, num_steps)
    mesh = check_mesh(mesh, batch_size=size)
    standard = standard_of(source.sample, mean_weight=source.mean_weight, standardise=standardise)

    sample = take(source.sample, slice(num_held_out or NUM_SAMPLE))
    train, feed = None, None
    if isinstance(source, InMemory):
        train = place_rows(standard.rows(source.train), mesh)
    else:
        feed = functools.partial(_batches, source, standard, size)
    fixed = Fixed(
        train=train,
        sample=place(standard.rows(sample), mesh),
        held_out=place(standard.rows(held_out), mesh) if num_held_out else None,
        log_det=place(jnp.asarray(standard.data.log_det, standard.dtype), mesh),
    )

    one = take(fixed.sample, slice(1))
    contexts = () if one.context is None else (one.context,)
    params = initial_params(flow, one.data.shape[1:], init_key, *contexts)
    if optimizer is None:
        optimizer = adam(LEARNING_RATE, num_steps)
    num_scored = num_held_out + len(sample.data)
    chunk_steps = min(max(CHUNK_STEPS, -(-TRAINED_FOR_EACH * num_scored // size)), num_steps)
    result = minimise(
        NegativeLogLikelihood(flow, size, mesh),
        Averaged(params, params),
        fixed,
        key=train_key,
        optimizer=averaging(
            check_optimizer(optimizer), min(AVERAGED_STEPS, max(num_steps / 10, 1))
        ),
        num_steps=num_steps,
        chunk_steps=chunk_steps,
        feed=feed,
        stop=functools.partial(_no_better, chunk_steps) if num_held_out else None,
        progress=progress,
        callback=callback and functools.partial(_of_mean, callback),
        checkpoint_dir=folder,
        resume=resume,
        mesh=mesh,
    )
    return DensityFit(
        flow=standard.around(flow),
        params=result.params.mean,
        losses=result.losses,
        validation_losses=result.scores if num_held_out else np.empty(0),
        train_log_likelihood=np.nan if result.report is None else -float(result.report),
        context_size=None if sample.context is None else sample.context.shape[1],
        num_skipped=result.num_skipped,
        stop_reason=result.stop_reason,
        seconds=time.perf_counter() - start,
    )


def _batches(
    source: MemoryMapped | Pieces, standard: Standard, size: int, done: int, steps: int
) -> Rows:
    """Returns the batches of some steps, `[steps, size, ...]`, or of fewer at the end."""
    rows = source.read(done * size, steps * size)
    whole = len(rows.data) // size
    if done == whole == 0:
        raise ValueError(
            f"`data` must hold at least one batch, of {size} rows; got {len(rows.data)}."
        )
    rows = standard.rows(take(rows, slice(whole * size)))
    return jax.tree.map(lambda array: array.reshape(whole, size, *array.shape[1:]), rows)


def _no_better(chunk_steps: int, done: int, scores: np.ndarray, report: Any) -> str | None:
    """Stops when there has been no better score for long, or none at all."""
    if not np.isfinite(scores).any():
        if done < PATIENCE:
            return None
        return (
            f"the likelihood of the held-out rows was not finite in {done} steps: some may lie "
            "where the flow has no density"
        )
    best = chunk_steps * int(np.argmin(scores))
    if done - best < max(PATIENCE + best / 4, 2 * chunk_steps):
        return None
    return f"no better likelihood of the held-out rows since step {best}, of {done}"


def _of_mean(callback: Callback, snapshot: Snapshot) -> None:
    callback(dataclasses.replace(snapshot, params=snapshot.params.mean))
