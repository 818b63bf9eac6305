"""How coarsely a log density is computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.targets.argument import as_argument

Array = jax.Array

STEP = 1e-4  # in standard deviations: far below what changes a log density, far above rounding


def rounding_error(log_density: Callable[[Array], Array], draws: Array) -> float:
    """Returns the standard deviation (nats) of the rounding of a log density.

    Two parts of it can be told. The result is a floating number, so it is off by up to half of the
    distance to the next one. And between two points that are very close a log density changes by
    its slope; what it changes by otherwise is rounding on the way, of a sum over thousands of rows
    or of large terms that cancel.

    Args:
        log_density: maps `[D]` to a scalar.
        draws: from the posterior or near to it, `[n, D]`.
    """
    residuals = _residuals(as_argument(log_density), draws)
    values, differences = (np.asarray(result) for result in residuals)
    finite = np.isfinite(values) & np.isfinite(differences)
    if not finite.any():
        return 0.0
    of_result = np.mean(np.spacing(np.abs(values[finite]))) / 12**0.5
    on_the_way = np.sqrt(np.mean(differences[finite] ** 2) / 2.0)  # of two rounded values
    return float(np.hypot(of_result, on_the_way))


@quick_jit
def _residuals(log_density: Callable[[Array], Array], draws: Array) -> tuple[Array, Array]:
    """Returns the values at draws and what is not linear in a small step from there."""

    def residual(z: Array, move: Array) -> tuple[Array, Array]:
        near = z + move
        value, gradient = jax.value_and_grad(log_density)(z)
        return value, log_density(near) - value - gradient @ (near - z)

    step = STEP * jnp.std(draws, axis=0)
    signs = jax.random.rademacher(jax.random.key(0), draws.shape, draws.dtype)
    return jax.lax.map(lambda pair: residual(*pair), (draws, signs * step))
