"""Draws of a fitted flow as ArviZ data."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from hkflows import checks
from hkflows.diagnostics.resampling import resampled_draws, weighed_draws
from hkflows.distributions import FlowDistribution
from hkflows.extras import load
from hkflows.precision import full_precision
from hkflows.streams import stream_draws
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.targets.fitted import check_fitted
from hkflows.targets.names import leaf_names

Array = jax.Array


@full_precision
def to_inference_data(
    target: Target,
    distribution: FlowDistribution,
    *,
    key: Array | int,
    num_draws: int = 1000,
    importance_resample: bool = False,
    observed_data: Mapping[str, Any] | None = None,
) -> Any:
    """Draws from a fitted flow into an `arviz.InferenceData`.

    Its groups are

    - `posterior`: draws in the user's parameters, one chain; how far the flow is from the
      posterior, their weights tell. Parameters are named as one indexes them: `tau`, `school.mu`,
      `value[0]` for a tuple, `value` for a single array.
    - `sample_stats`: of each draw, `lp`, the log density of the target on the unconstrained vector,
      up to its constant, and `log_weight`, which is `lp` minus the log density of the flow (nats).
    - `observed_data`, if given.

    With a fit: `to_inference_data(fit.target, fit.distribution, key=0)`.

    Args:
        target: the posterior.
        distribution: a flow on its unconstrained vectors, without a batch.
        key: a PRNG key, typed or not, or an integer.
        num_draws: the number of draws.
        importance_resample: whether to pick them from five times as many, or 10,000 if that is
            more, in proportion to their importance weights; some may be equal then, and
            `log_weight`, which has done its work, is not to be applied again. By default they are
            independent draws of the flow, not corrected.
        observed_data: arrays by name.

    Returns:
        An `arviz.InferenceData`.

    Raises:
        ImportError: if ArviZ, the extra `diagnostics`, is not installed.
        ValueError: if an argument is off, or two parameters come out with the same name.
    """
    arviz = load("arviz", extra="diagnostics", caller="to_inference_data")
    check_fitted(target, distribution)
    num_draws = checks.positive_int("num_draws", num_draws)
    key = checks.prng_key("key", key)
    if observed_data is not None and not isinstance(observed_data, Mapping):
        raise ValueError(f"`observed_data` must be a dictionary of arrays; got {observed_data!r}.")

    log_density = as_argument(target.log_density)
    draw = functools.partial(_draw, log_density, target.constrain, distribution)
    if importance_resample:
        weigh = functools.partial(_weigh, log_density, distribution)
        found = resampled_draws(draw, weigh, key, num_draws)
    else:
        found = stream_draws(draw, key, num_draws)
    parameters, lp, log_weight = found
    names = leaf_names(parameters)
    if len(set(names)) < len(names):
        raise ValueError(
            f"`target.constrain` must give parameters of different names; got {names}."
        )
    leaves = jax.tree.leaves(parameters)
    return arviz.from_dict(
        posterior={name: leaf[None] for name, leaf in zip(names, leaves, strict=True)},
        sample_stats={"lp": lp[None], "log_weight": log_weight[None]},
        observed_data=None
        if observed_data is None
        else {name: np.asarray(value) for name, value in observed_data.items()},
        posterior_attrs={"inference_library": "hkflows"},
    )


@functools.partial(jax.jit, static_argnums=(1, 4))
def _draw(
    log_density: Partial,
    constrain: Callable[[Array], Any],
    distribution: FlowDistribution,
    key: Array,
    n: int,
) -> tuple[Any, Array, Array]:
    """Returns `n` draws in the user's parameters, their log densities and log weights (nats)."""
    z, lp, log_weight = weighed_draws(log_density, distribution, key, n)
    return jax.vmap(constrain)(z), lp, log_weight


@functools.partial(jax.jit, static_argnums=3)
def _weigh(log_density: Partial, distribution: FlowDistribution, key: Array, n: int) -> Array:
    """Returns the log weights (nats) of the same draws, `[n]`."""
    return weighed_draws(log_density, distribution, key, n)[2]
