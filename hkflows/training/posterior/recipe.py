"""Fitting a flow to a posterior, in stages."""

import dataclasses
import functools
import os
import pathlib
import signal
import time
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hkflows import checks, elbo
from hkflows.compilation import quick_jit
from hkflows.diagnostics import diagnose
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.targets import Target
from hkflows.training.around import around, unmoved
from hkflows.training.loop.checkpoints import checkpoint_folder
from hkflows.training.loop.minimise import Result
from hkflows.training.loop.snapshot import Callback
from hkflows.training.posterior.data import check_data, check_estimate, given
from hkflows.training.posterior.default_flow import default_flow
from hkflows.training.posterior.first_stages import Keys, first_stages
from hkflows.training.posterior.fit import PosteriorFit
from hkflows.training.posterior.flow import SETTLED, check_settings, fit_flow
from hkflows.training.posterior.negative_elbo import CHUNK_ROWS
from hkflows.training.posterior.powers import powered
from hkflows.training.posterior.stage_log import StageLog
from hkflows.training.signals import has_come, held_back
from hkflows.training.transformed import check_flow, initial_params

Array = jax.Array

NUM_DIAGNOSTIC_DRAWS = 10_000
NUM_DIAGNOSTIC_DRAWS_WITH_DATA = 1000


@held_back(signal.SIGINT)
@full_precision
def fit_posterior(
    target: Target,
    *,
    key: Array | int,
    flow: hk.Transformed | None = None,
    start: Any = None,
    num_steps: int | None = None,
    num_samples: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    estimator: elbo.Estimator | None = None,
    annealing: float | None = None,
    data: Any = None,
    batch_size: int | None = None,
    progress: bool = True,
    callback: Callback | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> PosteriorFit:
    """Fits a flow to a posterior by maximising the ELBO, and says whether it can be trusted.

    The default goes in stages: `find_start` climbs to where the posterior's mass is, `fit_gaussian`
    finds a Gaussian with all correlations, and `fit_flow` trains inverse autoregressive layers in
    units in which that Gaussian is standard normal. A stage that does not help is dropped, and a
    flow that has nothing to gain is not trained. A flow of your own is trained as it is.

    Args:
        target: the posterior.
        key: a PRNG key, typed or not, or an integer.
        flow: the flow, as `hk.Transformed`, to train on the unconstrained vector without the other
            stages; by default the stages, with a flow that suits them.
        start: parameters to begin the climb from, such as `target.constrain` gives; by default it
            is looked for, see `find_start`. A flow of your own starts where it starts.
        num_steps: the number of optimiser steps of the flow; by default as many as it takes.
        num_samples: draws a step, see `fit_flow`.
        optimizer: an optax gradient transformation, see `fit_flow`.
        estimator: "total" or "path", see `fit_flow`.
        annealing: if given, the inverse temperature, between 0 and 1, to start from: the earlier
            stages fit the posterior raised to this power, and the flow goes from there to the
            posterior. It helps to find several modes.
        data: if the target takes data, a pytree of arrays `[N, ...]`. The flow sees a batch a step,
            the other stages and the diagnostics go through all of them. The log density given a
            batch has to be an estimate of that given all, as `hkflows.elbo.minibatch` makes it.
        batch_size: rows a step, by default 256; if there are fewer, all of them.
        progress: whether to show a progress bar.
        callback: called with a `training.Snapshot` after every chunk of the flow's steps.
        checkpoint_dir: if given, a folder for checkpoints, new or empty; they need the extra
            `checkpoint`. It keeps the Gaussian of the earlier stages, and of the flow's training
            checkpoints that are written in the background, one every few chunks, and on SIGTERM.
        resume: whether to go on from the last checkpoint in `checkpoint_dir`, if there is one: to
            the same result, bit for bit, as without a break.
        mesh: the devices to train the flow on, see `fit_flow`.

    Returns:
        The fit, also when it ended early: `stop_reason` says why. Ctrl-C ends the training and
        gives the best so far; a second one raises `KeyboardInterrupt`.

    Raises:
        ValueError: if an argument is off, if the log density is not finite anywhere that it was
            tried, or if it does not depend on a parameter; or if `checkpoint_dir` holds another fit
            or what is damaged, in which case nothing in it is changed.
    """
    clock = time.perf_counter()
    if not isinstance(target, Target):
        raise ValueError(
            "`target` must be a `hkflows.Target`, such as `hkflows.Target.from_log_joint(...)` "
            f"gives; got {target!r}."
        )
    check_data(target, data, batch_size)
    settings: dict[str, Any] = {
        "num_steps": num_steps,
        "num_samples": num_samples,
        "optimizer": optimizer,
        "estimator": estimator,
        "annealing": annealing,
        "batch_size": batch_size,
        "callback": callback,
    }
    check_settings(**settings)
    if start is not None and flow is not None:
        raise ValueError("`start` must not be given with a `flow`, which has its own; got both.")
    point = None if start is None else _unconstrained(target, start)
    data = jax.tree.map(jnp.asarray, data)
    posterior = target
    if data is not None:
        on_all = given(target.log_density, data, CHUNK_ROWS)
        posterior = dataclasses.replace(target, log_density=on_all)
    batch = () if data is None else (data,)
    key = checks.prng_key("key", key)
    keys = jax.random.split(key, 6)
    first_key, gaussian_key, flow_key, stage_key, diagnose_key, check_key = keys
    folder = checkpoint_folder(checkpoint_dir, resume)

    def check(q: FlowDistribution, num_points: int) -> None:
        points = _draws(q, check_key, num_points)
        target.check_at(points, *batch)
        check_estimate(target, points, data)

    def train(
        flow: hk.Transformed, gaussian: FlowDistribution | None, folder: pathlib.Path | None
    ) -> Result:
        return fit_flow(
            target,
            flow,
            key=flow_key,
            gaussian=gaussian,
            data=data,
            progress=progress,
            checkpoint_dir=folder,
            resume=resume,
            mesh=mesh,
            **settings,
        )

    if flow is not None:
        log = StageLog(posterior, stage_key)
        check_flow(flow)
        first = _first(flow, initial_params(flow, (target.event_size,), first_key))
        check(first, num_points=100)
        result = train(flow, None, folder)
        log.add_flow(result)
        fitted = flow, result.params
    else:
        tempered = posterior
        if annealing is not None:
            density = powered(posterior.log_density, annealing)
            tempered = dataclasses.replace(posterior, log_density=density)
        best, stages = first_stages(
            posterior,
            tempered,
            keys=Keys(first_key, gaussian_key, stage_key),
            point=point,
            check=functools.partial(check, num_points=10),
            folder=folder,
            resume=resume,
        )
        log = StageLog(posterior, stage_key, stages)
        fitted, result = (unmoved(best), {}), None
        spread = next((stage.spread for stage in reversed(stages) if stage.kept), np.inf)
        if num_steps is None and annealing is None and spread < SETTLED:
            log.skip("flow", f"not needed: the Gaussian's log weights vary by {spread:.2g} nats")
        elif has_come(signal.SIGINT):
            log.skip("flow", "interrupted before its first step")
        else:
            inner = default_flow(target.event_size)
            result = train(inner, best, folder and folder / "flow")
            if log.add_flow(result).kept:
                fitted = around(inner, best), result.params

    flow, params = fitted
    return PosteriorFit(
        target=posterior,
        flow=flow,
        params=params,
        stages=tuple(log.stages),
        losses=np.empty(0) if result is None else result.losses,
        diagnostics=diagnose(
            flow.apply(params),
            posterior,
            seed=diagnose_key,
            num_samples=NUM_DIAGNOSTIC_DRAWS if data is None else NUM_DIAGNOSTIC_DRAWS_WITH_DATA,
        ),
        num_skipped=0 if result is None else result.num_skipped,
        stop_reason=log.stages[-1].note,
        seconds=time.perf_counter() - clock,
    )


def _unconstrained(target: Target, start: Any) -> Array:
    try:
        return target.unconstrain(start)
    except ValueError as error:
        raise ValueError(f"`start` must be parameters of the target. {error}") from error


@functools.partial(quick_jit, static_argnames="flow")
def _first(flow: hk.Transformed, params: Any) -> FlowDistribution:
    return flow.apply(params)


@functools.partial(quick_jit, static_argnames="n")
def _draws(q: FlowDistribution, key: Array, n: int) -> Array:
    return q.sample(seed=key, sample_shape=(n,))
