"""How coarsely a log density is computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

STEP = 1e-4  # in standard deviations: far below what changes a log density, far above rounding


def rounding_error(log_density: Callable[[Array], Array], draws: Array) -> float:
    """Returns the standard deviation (nats) of the rounding of a log density.

    Between two points that are very close a log density changes by its slope. What it changes by
    otherwise is rounding: of a sum over thousands of rows in float32, or of large terms that
    cancel.

    Args:
        log_density: maps `[D]` to a scalar.
        draws: from the posterior or near to it, `[n, D]`.
    """
    step = STEP * jnp.std(draws, axis=0)

    @jax.jit
    def residuals(draws: Array) -> Array:
        def residual(z: Array, move: Array) -> Array:
            near = z + move
            value, slope = jax.jvp(log_density, (z,), (near - z,))
            return log_density(near) - value - slope

        signs = jax.random.rademacher(jax.random.key(0), draws.shape, draws.dtype)
        return jax.lax.map(lambda pair: residual(*pair), (draws, signs * step))

    found = np.asarray(residuals(draws), np.float64)
    found = found[np.isfinite(found)]
    # The residual is the difference of two rounded values.
    return float(np.sqrt(np.mean(found**2) / 2.0)) if found.size else 0.0
