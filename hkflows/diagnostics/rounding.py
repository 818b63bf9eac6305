"""How coarsely a log density is computed."""

from collections.abc import Callable

import jax
import numpy as np

from hkflows.compilation import quick_jit
from hkflows.targets.argument import as_argument

Array = jax.Array

STEPS = (1e-4, 1e-3, 1e-2, 1e-1)  # in standard deviations
GROWTH = 5.0  # of what is left over from one step to one ten times as long


def rounding_error(log_density: Callable[[Array], Array], draws: Array) -> float:
    """Returns the standard deviation (nats) of the rounding of a log density.

    Two parts of it can be told. The result is a floating number, so it is off by up to half of the
    distance to the next one. And between two points `z` and `z + h` a log density changes by

        f(z + h) - f(z) = h . (grad f(z) + grad f(z + h)) / 2 + O(|h|^3);

    what is left over for a short step is rounding on the way, of a sum over thousands of rows or of
    large terms that cancel. A longer step sees more of it, until the third derivatives take over:
    steps are made longer as long as what is left over does not grow as these would have it.

    Args:
        log_density: maps `[D]` to a scalar.
        draws: from the posterior or near to it, `[n, D]`.
    """
    z = np.asarray(draws)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], z.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # of an improper posterior
        moves = np.multiply.outer([0.0, *STEPS], signs * z.astype(np.float64).std(axis=0))
        points = (z + moves).astype(z.dtype)
    evaluated = _evaluate(as_argument(log_density), points.reshape(-1, z.shape[1]))
    values, gradients = (np.asarray(result, np.float64) for result in evaluated)
    values, gradients = values.reshape(points.shape[:2]), gradients.reshape(points.shape)
    finite = np.isfinite(values).all(axis=0) & np.isfinite(gradients).all(axis=(0, 2))
    if not finite.any():
        return 0.0
    points = points.astype(np.float64)
    slopes = np.sum((points - points[0]) * (gradients + gradients[0]) / 2.0, axis=2)
    left_over = (values - values[0] - slopes)[1:, finite]
    on_the_way, *longer = np.sqrt(np.mean(left_over**2, axis=1) / 2.0)  # of two rounded values
    for of_step in longer:
        if of_step > GROWTH * on_the_way:
            break
        on_the_way = max(on_the_way, of_step)
    spacings = np.spacing(np.abs(values[0, finite]).astype(z.dtype))
    return float(np.hypot(np.mean(spacings) / 12**0.5, on_the_way))


@quick_jit
def _evaluate(log_density: Callable[[Array], Array], points: Array) -> tuple[Array, Array]:
    """Returns values, `[n]`, and gradients, `[n, D]`, one at a time: data may be large."""
    return jax.lax.map(jax.value_and_grad(log_density), points)
