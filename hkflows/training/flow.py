"""The third stage of a posterior fit: a flow, by stochastic gradients of the ELBO."""

from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hkflows import checks, elbo
from hkflows.bases import standard_normal
from hkflows.bijectors import IAF, RQS, Chain
from hkflows.compilation import quick_jit
from hkflows.conditioners import MADE
from hkflows.distributions import FlowDistribution
from hkflows.elbo import LogDensity
from hkflows.targets import Target
from hkflows.training.data import batches, check_data, given
from hkflows.training.fresh import NUM_FRESH_DRAWS, finite_moments
from hkflows.training.loop import Result, adam, check_flow, minimise

Array = jax.Array

ROUND_STEPS = (1500, 3000, 6000)
LEARNING_RATES = (1e-2, 5e-3, 5e-3)  # at the start of each round
NUM_SAMPLES = 128
CHUNK_STEPS = 250
NUM_FRESH_DRAWS_WITH_DATA = 100  # each of them sees all data
SETTLED = 0.04  # standard deviation of the log weights (nats): an ELBO some 0.001 nats short
LEAST_GAIN = 0.01  # of a round (nats) for another one to be worth its while
CHUNK_ROWS = 1000  # rows in memory at a time when all are gone through


class Report(NamedTuple):
    """What fresh draws say about parameters."""

    spread: Array | float  # standard deviation of the log weights (nats)
    num_draws: int


def default_flow(event_size: int) -> hk.Transformed:
    """Returns the flow of the default recipe: a spline for each dimension, then three `IAF`s.

    Args:
        event_size: D.
    """
    width = min(max(4 * event_size, 64), 128)

    def build() -> FlowDistribution:
        layers = [
            IAF(MADE(event_size, (width, width), order=order, activation=jax.nn.silu))
            for order in ("natural", "reverse", "natural")
        ]
        return FlowDistribution(standard_normal(event_size), Chain([RQS(event_size), *layers]))

    return hk.without_apply_rng(hk.transform(build))


def around(flow: hk.Transformed, gaussian: FlowDistribution) -> hk.Transformed:
    """Returns the flow followed by the affine map of a Gaussian, which is not trained.

    Args:
        flow: a flow that starts as the identity, or close to it.
        gaussian: such as `fit_gaussian` gives.
    """

    def apply(params: Any) -> FlowDistribution:
        q = flow.apply(params)
        return FlowDistribution(q.base, Chain([q.bijector, gaussian.bijector]))

    return hk.Transformed(flow.init, apply)


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
) -> Result:
    """Fits a flow to a posterior by maximising the ELBO.

    The steps run on the device, the host is asked every 250. The parameters with the best ELBO from
    fresh draws are kept. By default there are up to three rounds, of 1,500, 3,000 and 6,000 steps,
    each with a cosine schedule to zero. The fit ends after a round if the log weights of fresh
    draws vary by less than 0.04 nats, or if the round gained no more than the ELBO's noise or 0.01
    nats.

    Args:
        target: the posterior.
        flow: the flow, as `hk.Transformed`.
        key: a PRNG key, typed or not, or an integer.
        gaussian: if given, the flow is trained in units in which this Gaussian is standard normal;
            `around(flow, gaussian)` is then what the resulting parameters belong to.
        num_steps: so many steps in one round.
        num_samples: draws a step, by default 128.
        optimizer: an optax gradient transformation; by default Adam with gradients clipped to norm
            10 and learning rates that begin a round at 1e-2, 5e-3 and 5e-3.
        estimator: "total" or "path", see `hkflows.elbo.negative_elbo`; by default "path" around a
            Gaussian. Without one it is "total" for the first half of the first round: far from the
            posterior the path gradient is the noisier one, close to it its noise vanishes.
        annealing: if given, the inverse temperature, between 0 and 1, to which power the posterior
            is raised at first; it grows evenly to 1 over the first half of the first round.
        data: if the target takes data, a pytree of arrays `[N, ...]`; each step sees a batch.
        batch_size: rows a step, by default 256 or as many as there are.
        progress: whether to show a progress bar.

    Returns:
        The parameters, the losses (the negative ELBO of every step, nats) and how the fit ended.

    Raises:
        ValueError: if an argument is off.

    References:
        Agrawal & Domke (2024), "Disentangling impact of capacity, objective, batchsize, estimators,
        and step-size on flow VI", arXiv:2412.08824. Roeder, Wu & Duvenaud (2017), arXiv:1703.09194.
    """
    check_flow(flow)
    lengths = ROUND_STEPS if num_steps is None else (checks.positive_int("num_steps", num_steps),)
    S = NUM_SAMPLES if num_samples is None else checks.positive_int("num_samples", num_samples)
    num_rows = check_data(target, data, batch_size)
    data = jax.tree.map(jnp.asarray, data)  # NumPy's cannot be indexed by what is traced
    if annealing is not None and not 0.0 < checks.finite_float("annealing", annealing) <= 1.0:
        raise ValueError(f"`annealing` must be above 0 and at most 1; got {annealing}.")
    if optimizer is None:
        optimizer = adam(_cosines(lengths))
    half = lengths[0] // 2
    init_key, fresh_key, train_key = jax.random.split(checks.prng_key("key", key), 3)

    def pulled_back(log_density: LogDensity) -> LogDensity:
        """In units in which the Gaussian is standard."""
        if gaussian is None:
            return log_density

        def in_units(x: Array) -> Array:
            z, log_det = gaussian.bijector.forward_and_log_det(x)
            return log_density(z) + log_det

        return in_units

    def loss(params: Any, row: tuple[Array, Array, Array]) -> Array:
        key, step, rows = row
        batch = () if data is None else (jax.tree.map(lambda array: array[rows], data),)
        log_density = pulled_back(lambda z: target.log_density(z, *batch))
        if annealing is not None:
            power = jnp.minimum(1.0, annealing + (1.0 - annealing) * step / max(half, 1))
            full, log_density = log_density, lambda x: power * full(x)

        def negative_elbo(estimator: elbo.Estimator) -> Array:
            q = flow.apply(params)
            return elbo.negative_elbo(q, log_density, seed=key, num_samples=S, estimator=estimator)[
                0
            ]

        if estimator is not None or gaussian is not None:
            return negative_elbo(estimator or "path")
        return jax.lax.cond(
            step < half, lambda: negative_elbo("total"), lambda: negative_elbo("path")
        )

    def inputs(key: Array, steps: Array) -> tuple[Array, Array, Array]:
        if data is None:
            return jax.random.split(key, len(steps)), steps, jnp.zeros((len(steps), 0), int)
        draw_key, row_key = jax.random.split(key)
        rows = batches(row_key, num_rows, min(batch_size or 256, num_rows), len(steps))
        return jax.random.split(draw_key, len(steps)), steps, rows[: len(steps)]

    on_all = target if data is None else given(target, data, CHUNK_ROWS)
    num_fresh = NUM_FRESH_DRAWS if data is None else NUM_FRESH_DRAWS_WITH_DATA

    def score(params: Any, mean_loss: Array) -> tuple[Array, Report]:
        q, log_density = flow.apply(params), pulled_back(on_all.log_density)
        _, aux = elbo.negative_elbo(q, log_density, seed=fresh_key, num_samples=num_fresh)
        mean, spread = finite_moments(aux["log_weights"])
        return -mean, Report(spread, num_fresh)

    round_ends = np.cumsum(lengths)
    after_round: list[float] = []

    def stop(done: int, scores: list[float], report: Report) -> str | None:
        if done not in round_ends or done == round_ends[-1]:
            return None
        after_round.append(min(scores))
        spread = float(report.spread)
        if spread < SETTLED:
            return f"the log weights vary by {spread:.2g} nats, after {done} steps"
        gain = after_round[-2] - after_round[-1] if len(after_round) > 1 else np.inf
        if gain < max(LEAST_GAIN, spread / num_fresh**0.5):
            return f"the last round gained no more than noise, after {done} steps"
        return None

    return minimise(
        loss,
        quick_jit(flow.init)(init_key),
        key=train_key,
        optimizer=optimizer,
        num_steps=sum(lengths),
        chunk_steps=CHUNK_STEPS,
        inputs=inputs,
        score=score,
        stop=stop,
        progress=progress,
    )


def _cosines(lengths: tuple[int, ...]) -> optax.Schedule:
    """Returns rounds of cosine decay to zero."""
    return optax.join_schedules(
        [
            optax.cosine_decay_schedule(rate, length)
            for rate, length in zip(LEARNING_RATES, lengths, strict=False)
        ],
        list(np.cumsum(lengths)[:-1]),
    )
