"""What a fit is worth, by the same code for every library."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hkflows as hkf
from inference.libraries import LIBRARIES, Fit
from inference.posterior import Posterior
from inference.targets import TARGETS

Array = jax.Array

NUM_DRAWS = 20_000
CHUNK = 1000
MOST_BAD = 0.01  # of the draws may have a weight that is not finite, and are left out


def measure(library: str, setting: str, target: str, seed: int, quick: bool) -> dict[str, Any]:
    """Fits once and returns a row of numbers; a failure is a row too."""
    posterior = TARGETS[target]()
    row: dict[str, Any] = {
        "device": jax.devices()[0].device_kind,
        "event_size": posterior.event_size,
        "log_evidence": posterior.log_evidence,
        "finite_at_origin": finite_at_origin(posterior),
    }
    start = time.perf_counter()
    try:
        fit = LIBRARIES[library][setting](posterior, seed, 300 if quick else None)
        row |= {"seconds": fit.seconds, "steps": fit.num_steps, "verdict": fit.verdict}
        row |= worth(fit, posterior, seed + 1)
    # Whatever a library raises, on a target that it cannot do, is its result.
    except Exception as error:
        row |= {"seconds": time.perf_counter() - start, "error": f"{type(error).__name__}: {error}"}
    return row


def finite_at_origin(posterior: Posterior) -> bool:
    """Returns whether the log density and its gradient are finite where a fit would start."""
    origin = jnp.zeros(posterior.event_size)
    value, gradient = jax.value_and_grad(posterior.log_density)(origin)
    return bool(jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)))


def worth(fit: Fit, posterior: Posterior, seed: int) -> dict[str, Any]:
    """Returns the ELBO and what else 20,000 fresh draws say of a fit."""

    @jax.jit
    def some(key: Array) -> tuple[Array, Array]:
        z, log_q = fit.draw(key, CHUNK)
        return z, jax.vmap(posterior.log_density)(z) - log_q

    keys = jax.random.split(jax.random.key(seed), NUM_DRAWS // CHUNK)
    chunks = [[np.asarray(x, np.float64) for x in some(key)] for key in keys]
    z, log_weights = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    good = np.isfinite(log_weights) & np.all(np.isfinite(z), axis=1)
    row: dict[str, Any] = {"bad_draws": int(NUM_DRAWS - good.sum())}
    if row["bad_draws"] > MOST_BAD * NUM_DRAWS:
        return row
    z, log_weights = z[good], log_weights[good]
    elbo = log_weights.mean()
    # In float64: the weights of a poor fit span more than float32 holds.
    weights = np.exp(log_weights - log_weights.max())
    estimate = np.log(weights.mean()) + log_weights.max()
    mean_error, sd_error = posterior.errors(z)
    return row | {
        "elbo": float(elbo),
        "elbo_error": float(log_weights.std() / len(log_weights) ** 0.5),
        "gap": float(posterior.log_evidence - elbo),
        "evidence_error": float(estimate - posterior.log_evidence),
        "ess": float(weights.sum() ** 2 / (weights**2).sum() / NUM_DRAWS),
        "khat": hkf.diagnostics.pareto_khat(log_weights),
        "mean_error": mean_error,
        "sd_error": sd_error,
    }
