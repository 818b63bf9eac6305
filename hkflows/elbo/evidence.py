"""The evidence lower bound."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hkflows import checks
from hkflows.elbo.draws import Aux, LogDensity, over_draws, path_log_weight, total_log_weight

Array = jax.Array
Estimator = Literal["total", "path"]


def negative_elbo(
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    estimator: Estimator = "total",
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Array, Aux]:
    """Estimates the negative evidence lower bound, `-E_q[log p(y) - log q(y)]`.

    Args:
        q: a distribution with reparameterized draws, any of distrax's.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`: log p up to a
            constant. It is mapped over the draws by `jax.vmap`. A Haiku module that it calls, such
            as a decoder in the same `hk.transform`, must have its parameters by then: call it once
            at any point before.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S, the number of draws for each element of the batch.
        estimator: "total" differentiates through the draws and through `log q`; "path" leaves out
            the score of the parameters, whose expectation is zero ("sticking the landing"). Both
            are unbiased; the variance of "path" vanishes where `q` equals `p`.
        chunk_size: if given, at most so many draws are in memory at a time. The result is the same.
        mesh: if given, the draws are spread over its devices, whose number divides S. The result is
            the same.

    Returns:
        The loss, a scalar: the mean over the draws and the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Kingma & Welling (2014), arXiv:1312.6114. Roeder, Wu & Duvenaud (2017), arXiv:1703.09194.
    """
    checks.one_of("estimator", estimator, ("total", "path"))
    log_weights = over_draws(
        path_log_weight if estimator == "path" else total_log_weight,
        q,
        log_density,
        seed=seed,
        num_samples=num_samples,
        chunk_size=chunk_size,
        mesh=mesh,
    )
    return -jnp.mean(log_weights), {"log_weights": log_weights}
