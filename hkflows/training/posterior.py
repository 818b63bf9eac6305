"""Fitting a flow to a posterior."""

import dataclasses
import functools
import time
from typing import Any

import haiku as hk
import jax
import numpy as np
import optax

from hkflows import checks, elbo, flows
from hkflows.diagnostics import Diagnostics, diagnose
from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training.loop import check_flow, default_optimizer, minimise, table

Array = jax.Array

NUM_STEPS = 3000
NUM_SAMPLES = 128
CHUNK_STEPS = 100
NUM_DIAGNOSTIC_SAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class PosteriorFit:
    """A flow fitted to a posterior.

    Attributes:
        target: what was fitted.
        flow: the flow, as `hk.Transformed`.
        params: its parameters.
        losses: the negative ELBO of every step (nats), `[num_steps]`.
        diagnostics: what fresh draws say about the fit.
        num_skipped: steps whose gradient was not finite; they changed nothing.
        stop_reason: why the fit ended.
        seconds: how long it took, compilation included.
    """

    target: Target
    flow: hk.Transformed
    params: Any
    losses: np.ndarray
    diagnostics: Diagnostics
    num_skipped: int
    stop_reason: str
    seconds: float

    @property
    def distribution(self) -> FlowDistribution:
        """The fitted distribution on the unconstrained vector."""
        return self.flow.apply(self.params)

    def sample(self, key: Array | int, n: int) -> Any:
        """Draws from the fit, in the user's parameters.

        Args:
            key: a PRNG key, typed or not, or an integer.
            n: the number of draws, at least one.

        Returns:
            What `target.constrain` gives, with a leading axis of size `n` on every leaf.
        """
        checks.positive_int("n", n)
        z = self.distribution.sample(seed=checks.prng_key("key", key), sample_shape=(n,))
        return jax.vmap(self.target.constrain)(z)

    def summary(self) -> str:
        """Returns the fit's diagnostics as a table."""
        d = self.diagnostics
        khat = "needs hkflows[diagnostics]" if d.khat is None else f"{d.khat:.2f}"
        rows = {
            "ELBO": f"{d.elbo:.3f} +- {d.elbo_standard_error:.1g} nats",
            "log evidence": f"{d.log_evidence:.3f} nats",
            "Pareto k-hat": khat,
            "effective sample size": f"{d.ess:.0f} of {d.num_samples} draws",
            "zero-density draws": str(d.num_zero),
            "non-finite draws": str(d.num_nonfinite),
            "skipped steps": f"{self.num_skipped} of {self.losses.size}",
            "ended because": self.stop_reason,
            "seconds": f"{self.seconds:.1f}",
        }
        return table(rows)


def fit_posterior(
    target: Target,
    *,
    key: Array | int,
    flow: hk.Transformed | None = None,
    num_steps: int | None = None,
    num_samples: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    estimator: elbo.Estimator | None = None,
    progress: bool = True,
) -> PosteriorFit:
    """Fits a flow to a posterior by maximising the ELBO.

    Steps run on the device in chunks. The parameters with the best mean ELBO over a chunk are
    kept. Steps with a non-finite gradient are skipped and counted; many in a row end the fit.

    Args:
        target: the posterior.
        key: a PRNG key, typed or not, or an integer.
        flow: the flow, as `hk.Transformed`; by default an affine `hkflows.flows.iaf` with smooth
            activations.
        num_steps: the number of optimiser steps, by default 3,000.
        num_samples: draws a step, by default 128.
        optimizer: an optax gradient transformation; by default Adam with a cosine schedule from
            5e-3 to zero, gradients clipped to norm 10.
        estimator: "total" or "path", see `hkflows.elbo.negative_elbo`; by default "total" for the
            first half of the steps and "path" for the second. Far from the posterior the path
            gradient is the noisier one, close to it its noise vanishes.
        progress: whether to show a progress bar.

    Returns:
        The fit, also when it ended early: `stop_reason` says why.

    Raises:
        ValueError: if an argument is off, or the target fails `Target.check_at` at draws of the
            flow as it starts: its log density is finite nowhere, say, or ignores a parameter.
    """
    start = time.perf_counter()
    if not isinstance(target, Target):
        raise ValueError(
            "`target` must be a `hkflows.Target`, such as `hkflows.Target.from_log_joint(...)` "
            f"gives; got {target!r}."
        )
    num_steps = NUM_STEPS if num_steps is None else checks.positive_int("num_steps", num_steps)
    num_samples = (
        NUM_SAMPLES if num_samples is None else checks.positive_int("num_samples", num_samples)
    )
    default = flows.iaf(target.event_size, activation=jax.nn.silu)
    chosen = default if flow is None else check_flow(flow)
    if optimizer is None:
        optimizer = default_optimizer(num_steps)
    init_key, check_key, train_key, diagnose_key = jax.random.split(checks.prng_key("key", key), 4)
    params = chosen.init(init_key)
    _check_start(chosen.apply(params), target, check_key)

    def negative_elbo(estimator: elbo.Estimator, params: Any, key: Array) -> Array:
        return elbo.negative_elbo(
            chosen.apply(params),
            target.log_density,
            seed=key,
            num_samples=num_samples,
            estimator=estimator,
        )[0]

    def loss(params: Any, row: tuple[Array, Array]) -> Array:
        key, step = row
        if estimator is not None:
            return negative_elbo(estimator, params, key)
        total, path = (functools.partial(negative_elbo, name) for name in ("total", "path"))
        return jax.lax.cond(step < num_steps // 2, total, path, params, key)

    result = minimise(
        loss,
        params,
        key=train_key,
        optimizer=optimizer,
        num_steps=num_steps,
        chunk_steps=CHUNK_STEPS,
        inputs=lambda key, steps: (jax.random.split(key, len(steps)), steps),
        score=lambda params, mean_loss: mean_loss,
        patience=None,
        progress=progress,
    )
    return PosteriorFit(
        target=target,
        flow=chosen,
        params=result.params,
        losses=result.losses,
        diagnostics=diagnose(
            chosen.apply(result.params),
            target.log_density,
            seed=diagnose_key,
            num_samples=NUM_DIAGNOSTIC_SAMPLES,
        ),
        num_skipped=result.num_skipped,
        stop_reason=result.stop_reason,
        seconds=time.perf_counter() - start,
    )


def _check_start(q: FlowDistribution, target: Target, key: Array) -> None:
    """Raises `ValueError` where the flow does not fit the target, or the draws tell of trouble."""
    if q.event_shape != (target.event_size,) or q.batch_shape != ():
        raise ValueError(
            f"`flow` must have event shape ({target.event_size},) and no batch, as the target; "
            f"got {q.event_shape} and {q.batch_shape}."
        )
    target.check_at(q.sample(seed=key, sample_shape=(100,)))
