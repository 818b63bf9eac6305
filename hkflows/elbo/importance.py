"""The importance-weighted bound."""

from typing import Any

import jax

from hkflows.elbo.draws import Aux, LogDensity
from hkflows.elbo.renyi import BoundEstimator, renyi_bound

Array = jax.Array


def importance_weighted_elbo(
    q: Any,
    log_density: LogDensity,
    *,
    seed: Array | int,
    num_samples: int,
    estimator: BoundEstimator = "total",
    chunk_size: int | None = None,
) -> tuple[Array, Aux]:
    """Estimates the negative importance-weighted bound, `-E[log (1/S) sum_s w_s]`.

    The bound is tighter than the ELBO, and approaches `log p` as S grows. It is `renyi_bound` with
    `alpha = 0`.

    Args:
        q: a distribution with reparameterized draws, any of distrax's.
        log_density: maps `q.batch_shape + q.event_shape` to `q.batch_shape`, as for
            `negative_elbo`. Its own parameters may be trained too.
        seed: a PRNG key, typed or not, or an integer.
        num_samples: S, the number of draws inside the logarithm.
        estimator: "total" differentiates all; with more draws, the signal in the gradient of the
            parameters of `q` decays faster than its noise. "dreg", the doubly reparameterized
            gradient, has the same expectation without this defect: with the self-normalised weights
            `v_s = w_s / sum_r w_r` the parameters of `q` get

                sum_s v_s^2 (d log w_s/dy_s) (dy_s/d phi)

            and those of `log_density` get `sum_s v_s d log p(y_s)/d theta`, as from "total".
        chunk_size: if given, at most so many draws are in memory at a time. The result is the same.

    Returns:
        The loss, a scalar: the mean over the batch. And `aux` with `log_weights`,
        `[S, *batch_shape]`.

    Raises:
        ValueError: if an argument is off or `log_density` returns the wrong shape.

    References:
        Burda, Grosse & Salakhutdinov (2016), "Importance weighted autoencoders", equation 8,
        arXiv:1509.00519. Tucker, Lawson, Gu & Maddison (2019), "Doubly reparameterized gradient
        estimators for Monte Carlo objectives", arXiv:1810.04152.
    """
    return renyi_bound(
        q,
        log_density,
        alpha=0.0,
        seed=seed,
        num_samples=num_samples,
        estimator=estimator,
        chunk_size=chunk_size,
    )
