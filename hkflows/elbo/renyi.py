"""The variational Renyi bound."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.elbo.draws import Aux, LogDensity, over_draws, split_log_weight, total_log_weight
from hkflows.elbo.evidence import Estimator, negative_elbo

Array = jax.Array
BoundEstimator = Literal["total", "dreg"]

LARGEST = 1e6  # order: float32 has room for its product with a log weight


def renyi_bound(
    q: Any,
    log_density: LogDensity,
    *,
    alpha: float,
    seed: Array | int,
    num_samples: int,
    estimator: BoundEstimator = "total",
    chunk_size: int | None = None,
) -> tuple[Array, Aux]:
    """Estimates the negative variational Renyi bound.

        L_alpha = (1 / (1 - alpha)) log E_q[w^(1 - alpha)],    w = p(y) / q(y)

    With `Z` the integral of `p`, `log Z - L_alpha` is Renyi's divergence of order `alpha` of `q`
    from `p / Z`: `L_alpha` decreases in `alpha`, from upper bounds of `log Z` (`alpha < 0`) over
    `log Z` itself (0) to lower ones, the ELBO (1) among them. The mean of S draws takes the place
    of the expectation, inside the logarithm, so for finite S the estimate is biased: downwards for
    `alpha < 1`, where `alpha = 0` is the importance-weighted bound, and upwards for `alpha > 1`.

    Args:
        q: a distribution with reparameterized draws, any of distrax's.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`, as for
            `negative_elbo`. Its own parameters may be trained too.
        alpha: the order, up to a million in size: there the bound is that of the extreme weight.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S, the number of draws inside the logarithm.
        estimator: "total" differentiates all. "dreg", the doubly reparameterized gradient, has the
            same expectation and less variance near the optimum: with self-normalised weights `v_s`,
            proportional to `w_s^(1 - alpha)`, the parameters of `q` get

                sum_s (alpha v_s + (1 - alpha) v_s^2) (d log w_s/dy_s) (dy_s/d phi)

            and those of `log_density` get `sum_s v_s d log p(y_s)/d theta`, as from "total".
        chunk_size: if given, at most so many draws are in memory at a time. The result is the same.

    Returns:
        The loss, a scalar: the mean over the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Li & Turner (2016), "Renyi divergence variational inference", arXiv:1602.02311. Daudel,
        Benton, Shi & Doucet (2023), "Alpha-divergence variational inference meets importance
        weighted auto-encoders", arXiv:2210.06226, also for the doubly reparameterized gradient.
    """
    alpha = checks.finite_float("alpha", alpha)
    if abs(alpha) > LARGEST:
        raise ValueError(f"`alpha` must be within [-{LARGEST:g}, {LARGEST:g}]; got {alpha}.")
    checks.one_of("estimator", estimator, ("total", "dreg"))
    settings: dict[str, Any] = {"seed": seed, "num_samples": num_samples, "chunk_size": chunk_size}
    if alpha == 1.0:
        limit: Estimator = "path" if estimator == "dreg" else "total"
        return negative_elbo(q, log_density, estimator=limit, **settings)
    if estimator == "total":
        log_weights = over_draws(total_log_weight, q, log_density, **settings)
        through_draws: Array | float = 0.0
    else:
        log_weights, moves = over_draws(split_log_weight, q, log_density, **settings)
        v = jax.lax.stop_gradient(jax.nn.softmax((1.0 - alpha) * log_weights, axis=0))
        through_draws = jnp.sum((alpha * v + (1.0 - alpha) * v**2) * moves, axis=0)
    bound = _log_power_mean(log_weights, 1.0 - alpha)
    # What goes through the draws has the value zero; of a bound that is infinite, not even that.
    bound = bound + jnp.where(jnp.isfinite(bound), through_draws, 0.0)
    return -jnp.mean(bound), {"log_weights": log_weights}


def _log_power_mean(log_weights: Array, power: float) -> Array:
    """Returns `(1 / power) log (1/S) sum_s w_s^power`, `[*batch_shape]`."""
    # An infinite weight is an error, which a negative power would hide as a term of zero.
    log_weights = jnp.where(log_weights == jnp.inf, jnp.nan, log_weights)
    centre = jax.lax.stop_gradient(jnp.mean(log_weights, axis=0))
    powers = power * (log_weights - centre)
    # Near alpha = 1 the result is a small logarithm over a small power, which would be lost in the
    # rounding of a sum close to one. Elsewhere `expm1` could overflow.
    small = jnp.max(jnp.abs(powers), axis=0) < 1.0
    excess = jnp.mean(jnp.expm1(jnp.where(small, powers, 0.0)), axis=0)
    log_mean = jax.nn.logsumexp(power * log_weights, axis=0) - jnp.log(log_weights.shape[0])
    return jnp.where(small, centre + jnp.log1p(excess) / power, log_mean / power)
