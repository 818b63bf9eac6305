"""One fit by each library, with what its documentation recommends and nothing tuned to a target.

Every function imports its library before its clock starts and stops it when the fit's arrays are
there, so the seconds include tracing and compilation but no imports.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from inference.posterior import Posterior

Array = jax.Array
Draw = Callable[[Array, int], tuple[Array, Array]]

NUM_STEPS = 3000  # of the peers; ours decides for itself
NUM_DRAWS = 128  # a step, of the peers


class Fit(NamedTuple):
    """A fitted distribution.

    Attributes:
        draw: maps a key and a number to draws, `[n, D]`, and their log densities, `[n]`; traceable.
        seconds: from after the imports to the end of the fit, compilation included.
        num_steps: optimiser steps.
        verdict: what the library itself says of the fit, if anything.
    """

    draw: Draw
    seconds: float
    num_steps: int
    verdict: str | None = None


def fit_hkflows(posterior: Posterior, seed: int, num_steps: int | None) -> Fit:
    """Fits by `hkflows.fit_posterior`; its time includes that of its diagnostics."""
    import hkflows as hkf

    start = time.perf_counter()
    target = hkf.Target(posterior.log_density, posterior.event_size)
    fit = hkf.fit_posterior(target, key=seed, num_steps=num_steps, progress=False)
    q = jax.block_until_ready(fit.distribution)
    seconds = time.perf_counter() - start
    return Fit(
        lambda key, n: q.sample_and_log_prob(seed=key, sample_shape=(n,)),
        seconds,
        len(fit.losses),
        fit.diagnostics.verdict,
    )


def fit_flowjax(
    posterior: Posterior, seed: int, num_steps: int | None, *, spline: bool, learning_rate: float
) -> Fit:
    """Fits a masked autoregressive flow by FlowJAX, in the direction that is fast to draw from."""
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow
    from flowjax.train import fit_to_key_based_loss
    from flowjax.train.losses import ElboLoss

    start = time.perf_counter()
    flow_key, fit_key = jax.random.split(jax.random.key(seed))
    flow = masked_autoregressive_flow(
        flow_key,
        base_dist=Normal(jnp.zeros(posterior.event_size)),
        transformer=RationalQuadraticSpline(knots=8, interval=4) if spline else None,
        invert=False,
    )
    flow, losses = fit_to_key_based_loss(
        fit_key,
        flow,
        loss_fn=ElboLoss(posterior.log_density, num_samples=NUM_DRAWS),
        steps=num_steps or NUM_STEPS,
        learning_rate=learning_rate,
        show_progress=False,
    )
    jax.block_until_ready([leaf for leaf in jax.tree.leaves(flow) if isinstance(leaf, Array)])
    seconds = time.perf_counter() - start
    return Fit(lambda key, n: flow.sample_and_log_prob(key, (n,)), seconds, len(losses))


def fit_numpyro(
    posterior: Posterior, seed: int, num_steps: int | None, *, guide: str, optimizer: str
) -> Fit:
    """Fits an automatic guide by NumPyro, to the density as a factor on a flat vector."""
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide

    start = time.perf_counter()
    shape = (posterior.event_size,)

    def model() -> None:
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), shape)
        numpyro.factor("density", posterior.log_density(numpyro.sample("z", flat)))

    q = getattr(autoguide, guide)(model)
    name, rate = optimizer.split()
    svi = SVI(model, q, getattr(numpyro.optim, name)(float(rate)), Trace_ELBO(NUM_DRAWS))
    result = svi.run(jax.random.key(seed), num_steps or NUM_STEPS, progress_bar=False)
    params = jax.block_until_ready(result.params)
    seconds = time.perf_counter() - start
    fitted = q.get_posterior(params)

    def draw(key: Array, n: int) -> tuple[Array, Array]:
        if not hasattr(fitted, "transforms"):
            z = fitted.sample(key, (n,))
            return z, fitted.log_prob(z)
        # Its flows have no cheap inverse: the draws' own intermediate values give their density.
        z, intermediates = fitted.sample_with_intermediates(key, (n,))
        return z, fitted.log_prob(z, intermediates)

    return Fit(draw, seconds, len(result.losses))


def _flowjax(spline: bool) -> dict[str, Callable[..., Fit]]:
    return {
        f"Adam {rate}": functools.partial(fit_flowjax, spline=spline, learning_rate=rate)
        for rate in (5e-4, 1e-3)  # the default first
    }


def _numpyro(guide: str) -> dict[str, Callable[..., Fit]]:
    return {
        optimizer: functools.partial(fit_numpyro, guide=guide, optimizer=optimizer)
        for optimizer in ("Adam 1e-2", "Adam 1e-3", "ClippedAdam 1e-2")
    }


# For each library its settings, of which the best counts: the peers get a second and third try.
LIBRARIES: dict[str, dict[str, Callable[..., Any]]] = {
    "hkflows": {"default": fit_hkflows},
    "flowjax-affine": _flowjax(spline=False),
    "flowjax-spline": _flowjax(spline=True),
    "numpyro-iaf": _numpyro("AutoIAFNormal"),
    "numpyro-bnaf": _numpyro("AutoBNAFNormal"),
    "numpyro-gaussian": _numpyro("AutoMultivariateNormal"),
}
