"""What fresh draws and three searches beyond them say about a fit."""

import contextlib
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from hkflows import checks
from hkflows.compilation import quick_jit
from hkflows.diagnostics.adjacent import adjacent_mass
from hkflows.diagnostics.far import far_evidence
from hkflows.diagnostics.parameters import Parameters, compare, unknown_parameters
from hkflows.diagnostics.pulled_back import pulled_back
from hkflows.diagnostics.rounding import rounding_error
from hkflows.diagnostics.verdict import SURE, Verdict, judge
from hkflows.diagnostics.weights import (
    effective_sample_size,
    mean_of_exponentials,
    pareto_smooth,
)
from hkflows.diagnostics.wide import wide_evidence
from hkflows.precision import full_precision
from hkflows.streams import stream_draws, stream_rows
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.targets.fitted import check_fitted

Array = jax.Array

NUM_ROUNDING_DRAWS = 32
MOST_POINTS = 10_000  # that other modes are looked for around
MOST_COMPARED = 1_000_000  # whose parameters are kept: their means are known to 0.001 sd


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnostics:
    """What is known of a fit.

    Attributes:
        verdict: "good"; "use the importance-corrected draws" (`sample(...,
            importance_resample=True)`), where the weights are reliable and change the marginals; or
            "do not trust".
        reason: for the verdict, a sentence.
        elbo: the evidence lower bound (nats); minus infinity where a draw has zero density.
        elbo_standard_error: its standard error (nats).
        log_evidence: the importance-sampling estimate of log Z (nats).
        khat: Pareto k-hat of the weights; `None` without the extra `diagnostics`, or with fewer
            than 25 draws to tell from.
        ess: effective sample size of the weights, in draws.
        num_samples: the number of draws.
        num_zero: draws where the target has zero density: weights of zero.
        num_nonfinite: draws whose weight was NaN or plus infinity; they are left out of the rest.
        missed_mass: the fraction of the posterior's mass that only the three searches find.
        rounding: standard deviation of the rounding of the log density (nats).
        parameters: means and standard deviations, plain and corrected.
        log_weights: `log p(y_s) - log q(y_s)`, `[num_samples]` (nats).
    """

    verdict: Verdict
    reason: str
    elbo: float
    elbo_standard_error: float
    log_evidence: float
    khat: float | None
    ess: float
    num_samples: int
    num_zero: int
    num_nonfinite: int
    missed_mass: float
    rounding: float
    parameters: Parameters
    log_weights: np.ndarray


@full_precision
def diagnose(
    q: Any,
    target: Target,
    *,
    seed: Array | int,
    num_samples: int,
    chunk_size: int = 1000,
) -> Diagnostics:
    """Draws afresh from `q`, weighs the draws, and looks for mass that `q` misses.

    Of more than a million draws the weights of all are looked at, and the parameters of the first
    million.

    Args:
        q: a `FlowDistribution` without a batch.
        target: the posterior, one that takes no data.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: the number of draws, at least two.
        chunk_size: so many draws are in memory at a time.

    Raises:
        ValueError: if an argument is off.

    References:
        Yao, Vehtari, Simpson & Gelman (2018), "Yes, but did it work?", arXiv:1802.02538.
    """
    check_fitted(target, q, "q")
    if checks.positive_int("num_samples", num_samples) < 2:
        raise ValueError(f"`num_samples` must be at least 2; got {num_samples}.")
    chunk_size = checks.positive_int("chunk_size", chunk_size)
    draw_key, wide_key, far_key = jax.random.split(checks.prng_key("seed", seed), 3)

    log_density, constrain = as_argument(target.log_density), as_argument(target.constrain)
    pull_back = functools.partial(pulled_back, log_density, constrain, q)

    def draw(key: Array, n: int) -> tuple[Array, Array, Any]:
        x, log_base = _base_draws(q, key, n)
        z, log_p, parameters = pull_back(x)
        return z, log_p - log_base, parameters

    size = min(chunk_size, num_samples)  # for the wider draws too: one program
    most = (MOST_POINTS, num_samples, MOST_COMPARED)
    z, log_weights, draws = stream_draws(draw, draw_key, num_samples, most=most, chunk_size=size)
    log_weights = log_weights.astype(np.float64)
    is_valid = np.isfinite(log_weights) | (log_weights == -np.inf)
    is_positive = np.isfinite(log_weights)
    valid, positive = log_weights[is_valid], log_weights[is_positive]
    settings: dict[str, Any] = {
        "num_samples": num_samples,
        "num_zero": valid.size - positive.size,
        "num_nonfinite": num_samples - valid.size,
        "log_weights": log_weights,
    }
    if not positive.size:
        return _without_a_weight(target, settings)

    khat = None
    corrected = np.where(is_positive, log_weights, -np.inf)
    if positive.size >= 25:
        with contextlib.suppress(ImportError):  # documented: the extra is optional
            corrected[is_positive], khat = pareto_smooth(positive)
    is_finite = is_positive[:MOST_POINTS]
    z = z[is_finite]
    compared = np.flatnonzero(is_valid[:MOST_COMPARED])
    draws = jax.tree.map(lambda leaf: leaf[compared], draws)
    weights = np.exp(corrected[compared] - corrected[compared].max())
    weights /= weights.sum()
    parameters = compare(target.names(), draws, weights, target.is_angle())
    log_z, own_error = mean_of_exponentials(valid)
    ess = float(effective_sample_size(valid))
    wide, wide_error = wide_evidence(
        q.base, lambda x: stream_rows(pull_back, x, chunk_size=size)[1], wide_key
    )
    far, far_error = far_evidence(q, target.log_density, log_z, z, far_key)
    missed_mass = max(
        _beyond(log_z, own_error, wide, wide_error),
        _elsewhere(log_z, far, far_error),
        adjacent_mass(target.log_density, z, corrected[:MOST_POINTS][is_finite]),
    )
    rounding = rounding_error(target.log_density, z[:NUM_ROUNDING_DRAWS])
    verdict, reason = judge(
        ess=ess,
        num_samples=num_samples,
        num_zero=settings["num_zero"],
        num_nonfinite=settings["num_nonfinite"],
        khat=khat,
        missed_mass=missed_mass,
        rounding=rounding,
        parameters=parameters,
    )
    all_positive = positive.size == valid.size
    return Diagnostics(
        verdict=verdict,
        reason=reason,
        elbo=float(positive.mean()) if all_positive else -np.inf,
        elbo_standard_error=float(positive.std() / positive.size**0.5) if all_positive else np.nan,
        log_evidence=log_z,
        khat=khat,
        ess=ess,
        missed_mass=missed_mass,
        rounding=rounding,
        parameters=parameters,
        **settings,
    )


@functools.partial(quick_jit, static_argnames="n")
def _base_draws(q: Any, key: Array, n: int) -> tuple[Array, Array]:
    """Returns base points, `[n, D]`, and their log densities (nats), `[n]`."""
    x = q.sample_base(seed=key, sample_shape=(n,))
    return x, q.base.log_prob(x)


def _beyond(log_z: float, own_error: float, wide: float, wide_error: float) -> float:
    """Returns the share of the evidence that only wider draws find, if they surely do."""
    is_sure = wide - log_z > SURE * np.hypot(wide_error, own_error)
    return float(1.0 - np.exp(log_z - wide)) if is_sure else 0.0


def _elsewhere(log_z: float, far: float, far_error: float) -> float:
    """Returns the share of the mass that other modes have, if that is surely not zero."""
    is_sure = np.isfinite(far) and SURE * far_error < 1.0
    return float(np.exp(far - np.logaddexp(far, log_z))) if is_sure else 0.0


def _without_a_weight(target: Target, settings: dict[str, Any]) -> Diagnostics:
    return Diagnostics(
        verdict="do not trust",
        reason="The posterior has no finite density at any draw of the fit.",
        elbo=-np.inf,
        elbo_standard_error=np.nan,
        log_evidence=-np.inf,
        khat=None,
        ess=0.0,
        missed_mass=1.0,
        rounding=np.nan,
        parameters=unknown_parameters(target.names()),
        **settings,
    )
