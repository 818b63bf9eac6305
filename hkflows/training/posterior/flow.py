"""The third stage of a posterior fit: a flow, by stochastic gradients of the ELBO."""

import functools
import os
from typing import Any, get_args

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hkflows import checks, elbo
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.sharding import check_mesh, place, place_rows
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.loop.checkpoints import checkpoint_folder
from hkflows.training.loop.minimise import Result, minimise
from hkflows.training.loop.snapshot import Callback
from hkflows.training.optimizers import check_optimizer, nadam_in_rounds
from hkflows.training.posterior.data import check_data
from hkflows.training.posterior.fresh import NUM_FRESH_DRAWS
from hkflows.training.posterior.negative_elbo import Fixed, NegativeElbo, Report
from hkflows.training.transformed import check_flow, initial_params

Array = jax.Array

ROUND_STEPS = (1500, 3000, 6000)
LEARNING_RATES = (1e-2, 5e-3, 5e-3)  # the highest of each round
NUM_SAMPLES = 128
BATCH_SIZE = 256
CHUNK_STEPS = 250
NUM_FRESH_DRAWS_WITH_DATA = 100  # each of them sees all data
SETTLED = 0.04  # standard deviation of the log weights (nats): an ELBO some 0.001 nats short
LEAST_GAIN = 0.01  # of a round (nats) for another one to be worth its while


@full_precision
def fit_flow(
    target: Target,
    flow: hk.Transformed,
    *,
    key: Array | int,
    gaussian: FlowDistribution | None = None,
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
) -> Result:
    """Fits a flow to a posterior by maximising the ELBO.

    Steps run on the device, 250 between two returns to the host. Of the parameters at these points
    and at the start, the fit keeps those with the best ELBO from fresh draws less two standard
    errors: the further from the posterior, the noisier the ELBO, and noise would win now and then.
    By default there are up to three rounds, of 1,500, 3,000 and 6,000 steps, each with a warm-up
    and a cosine schedule to zero. The fit ends after a round if the log weights of fresh draws vary
    by less than 0.04 nats, or if the round gained no more than the ELBO's noise or 0.01 nats.

    Args:
        target: the posterior.
        flow: the flow, as `hk.Transformed`.
        key: a PRNG key, typed or not, or an integer.
        gaussian: if given, the flow is trained in units in which this Gaussian is standard normal;
            `around(flow, gaussian)` is then what the resulting parameters belong to.
        num_steps: so many steps in one round.
        num_samples: draws a step, by default 128.
        optimizer: an optax gradient transformation; by default Adam with Nesterov momentum, the
            gradients clipped to norm 3, and learning rates of up to 1e-2, 5e-3 and 5e-3 in a round.
        estimator: "total" or "path", see `hkflows.elbo.negative_elbo`; by default "path" around a
            Gaussian. Without one it is "total" for the first half of the first round: far from the
            posterior the path gradient is the noisier one, close to it its noise vanishes.
        annealing: if given, the inverse temperature, between 0 and 1, to which power the posterior
            is raised at first; it grows evenly to 1 over the first half of the first round.
        data: if the target takes data, a pytree of arrays `[N, ...]`; each step sees a batch.
        batch_size: rows a step, by default 256; if there are fewer, all of them.
        progress: whether to show a progress bar.
        callback: called with a `Snapshot` at every visit of the host.
        checkpoint_dir: a folder for checkpoints, see `fit_posterior`.
        resume: whether to go on from the last checkpoint there, if there is one.
        mesh: if given, the draws of a step and the data are spread over its devices, and what is
            trained is on each; the result is the same. The devices may be of several processes, all
            of which make the same call.

    Returns:
        The parameters, the losses (the negative ELBO of every step, nats) and how the fit ended.

    Raises:
        ValueError: if an argument is off.

    References:
        Agrawal & Domke (2024), "Disentangling impact of capacity, objective, batchsize, estimators,
        and step-size on flow VI", arXiv:2412.08824. Roeder, Wu & Duvenaud (2017), arXiv:1703.09194.
    """
    check_flow(flow)
    check_settings(
        num_steps=num_steps,
        num_samples=num_samples,
        optimizer=optimizer,
        estimator=estimator,
        annealing=annealing,
        batch_size=batch_size,
        callback=callback,
    )
    lengths = ROUND_STEPS if num_steps is None else (num_steps,)
    num_samples = NUM_SAMPLES if num_samples is None else num_samples
    num_rows = check_data(target, data, batch_size)
    batch_size = BATCH_SIZE if batch_size is None else batch_size
    mesh = check_mesh(mesh, num_samples=num_samples)
    if estimator is None and gaussian is not None:
        estimator = "path"
    if optimizer is None:
        optimizer = nadam_in_rounds(LEARNING_RATES[: len(lengths)], lengths)
    init_key, fresh_key, train_key = jax.random.split(checks.prng_key("key", key), 3)
    return minimise(
        NegativeElbo(
            flow=flow,
            num_samples=num_samples,
            num_fresh=NUM_FRESH_DRAWS if data is None else NUM_FRESH_DRAWS_WITH_DATA,
            estimator=estimator,
            annealing=annealing,
            batch_size=min(batch_size, num_rows),
            mesh=mesh,
        ),
        initial_params(flow, (target.event_size,), init_key),
        Fixed(
            log_density=place(as_argument(target.log_density), mesh),
            units=None if gaussian is None else place(gaussian.bijector, mesh),
            data=place_rows(jax.tree.map(jnp.asarray, data), mesh),
            fresh_key=place(fresh_key, mesh),
            half=place(jnp.asarray(lengths[0] // 2), mesh),
        ),
        key=train_key,
        optimizer=optimizer,
        num_steps=sum(lengths),
        chunk_steps=CHUNK_STEPS,
        stop=functools.partial(_enough, np.cumsum(lengths)),
        progress=progress,
        callback=callback,
        checkpoint_dir=checkpoint_folder(checkpoint_dir, resume),
        resume=resume,
        mesh=mesh,
        short=gaussian is not None,
    )


def check_settings(
    *,
    num_steps: int | None,
    num_samples: int | None,
    optimizer: optax.GradientTransformation | None,
    estimator: elbo.Estimator | None,
    annealing: float | None,
    batch_size: int | None,
    callback: Callback | None,
) -> None:
    """Raises `ValueError` where a setting of `fit_flow`, if it is given, is none."""
    sizes = {"num_steps": num_steps, "num_samples": num_samples, "batch_size": batch_size}
    for name, size in sizes.items():
        if size is not None:
            checks.positive_int(name, size)
    if optimizer is not None:
        check_optimizer(optimizer)
    if estimator is not None:
        checks.one_of("estimator", estimator, get_args(elbo.Estimator))
    if annealing is not None and not 0.0 < checks.finite_float("annealing", annealing) <= 1.0:
        raise ValueError(f"`annealing` must be above 0 and at most 1; got {annealing}.")
    if callback is not None:
        checks.function("callback", callback)


def _enough(round_ends: np.ndarray, done: int, scores: np.ndarray, report: Report) -> str | None:
    """Stops after a round that left nothing to gain, or gained nothing."""
    if done not in round_ends[:-1]:
        return None
    spread = float(report.spread)
    if spread < SETTLED:
        return f"the log weights vary by {spread:.2g} nats, after {done} steps"
    ends = [end // CHUNK_STEPS for end in round_ends if end <= done]
    best = [scores[: end + 1].min() for end in ends]
    if len(best) > 1 and best[-2] - best[-1] < max(LEAST_GAIN, spread / report.num_draws**0.5):
        return f"the last round gained no more than noise, after {done} steps"
    return None
