"""The first stage of a posterior fit: where to begin, and how wide."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hkflows import checks
from hkflows.compilation import quick_jit
from hkflows.distributions import FlowDistribution
from hkflows.kernels.along import gradient_along
from hkflows.precision import full_precision
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.gaussians import MAX_DENSE_SIZE, diagonal_gaussian, gaussian

Array = jax.Array
Density = Callable[[Array], Array]

NUM_CLIMBS = 8
MORE_SEGMENTS = 4  # after the first of each climb
STEPS_PER_SEGMENT = 50
LBFGS_MEMORY = 10
WIDTHS = 10.0 ** np.arange(-4.0, 2.25, 0.5)  # of a Gaussian, in units of the segment's scales
NUM_DRAWS = 8  # to tell the ELBO of one such Gaussian
STEP = 0.1  # of the Gaussian's scale, where second derivatives are differences
NUM_NEAR = 32
SEARCH_SIZE = 256
MAX_SEARCHES = 400
MORE_SEARCHES = 100  # from the first finite point on


@full_precision
def find_start(target: Target, *, key: Array | int, point: Array | None = None) -> FlowDistribution:
    """Finds a Gaussian with independent dimensions that overlaps the posterior.

    L-BFGS climbs the log density. A mode may be a spike that holds no mass, so what is kept is not
    the end of the climb but, of Gaussians of many widths around every point of its path, the one
    with the best ELBO. The climb is done in segments. The first eight begin at points of their own:
    the scales of a hierarchy can lead one climb into the spike where they vanish, and by its ELBO
    another is seen to be better. The others start from the best Gaussian so far. Gaussians are told
    apart in units of `1 / sqrt(|h_i|)`, and climbs after the first eight go on in these, with `h`
    the diagonal of the Hessian at the best point of a path, so that parameters in different units
    of measurement do no harm.

    The points to begin at are the best eight of the origin and 31 within [-2, 2] of it; if the log
    density is finite at none of these, points with coordinates of any sign between 1e-3 and 1e7.

    Args:
        target: the posterior.
        key: a PRNG key, typed or not, or an integer.
        point: where to begin instead, `[D]`.

    Returns:
        The Gaussian.

    Raises:
        ValueError: if the log density and its gradient are finite at no point tried.

    References:
        Zhang, Carpenter, Gelman & Vehtari (2022), "Pathfinder", arXiv:2108.03782.
    """
    near_key, search_key, climb_key = jax.random.split(checks.prng_key("key", key), 3)
    log_density, D = as_argument(target.log_density), target.event_size
    if point is not None:
        point = checks.event("point", point, D).astype(float)
        target.check_at(point)
        return _climb(log_density, point[None], climb_key)
    points, values = _near(log_density, D, near_key)
    if not np.isfinite(values[0]):
        points, values = _search(log_density, D, search_key)
    if not np.isfinite(values[0]):
        raise _nowhere_finite(target)
    return _climb(log_density, points, climb_key)


def _nowhere_finite(target: Target) -> ValueError:
    """Returns the error, which names the parameter at fault where it can."""
    origin = jnp.zeros(target.event_size)
    try:
        target.check_at(origin)
        at_origin = f"At the origin the value is {target.log_density(origin)}."
    except ValueError as error:
        at_origin = str(error)
    return ValueError(
        "`target.log_density` and its gradient must be finite somewhere; they are not at any of "
        f"{NUM_NEAR + MAX_SEARCHES * SEARCH_SIZE} points, near the origin and far from it. "
        f"`fit_posterior(..., start=...)` can be told where they are. {at_origin}"
    )


@functools.partial(quick_jit, static_argnames="event_size")
def _near(log_density: Density, event_size: int, key: Array) -> tuple[Array, Array]:
    """Returns the best points near the origin, see `_best`."""
    shape = (NUM_NEAR - 1, event_size)
    points = jax.random.uniform(key, shape, minval=-2.0, maxval=2.0)
    return _best(log_density, jnp.concatenate([jnp.zeros((1, event_size)), points]))


def _best(log_density: Density, points: Array) -> tuple[Array, Array]:
    """Returns the best points, `[NUM_CLIMBS, D]`, and their log densities, the highest first.

    Minus infinity stands for one that is not finite, or has a gradient that is not.
    """
    values, gradients = jax.vmap(jax.value_and_grad(log_density))(points)
    usable = jnp.isfinite(values) & jnp.all(jnp.isfinite(gradients), axis=1)
    values = jnp.where(usable, values, -jnp.inf)
    highest, indices = jax.lax.top_k(values, NUM_CLIMBS)
    return points[indices], highest


@functools.partial(quick_jit, static_argnames="event_size")
def _search(log_density: Density, event_size: int, key: Array) -> tuple[Array, Array]:
    """Returns the best points far from the origin, see `_best`."""

    def again(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        count, more, points, _ = state
        keys = jax.random.split(jax.random.fold_in(key, count), 3)
        shape = (SEARCH_SIZE, event_size)
        magnitude = 10.0 ** jax.random.uniform(keys[0], shape, minval=-3.0, maxval=7.0)
        sign = jax.random.rademacher(keys[1], shape, magnitude.dtype)
        present = jax.random.bernoulli(keys[2], 0.5, shape)
        new = jnp.concatenate([points, magnitude * sign * present])
        points, values = _best(log_density, new)
        return count + 1, more + jnp.isfinite(values[0]), points, values

    def missing(state: tuple[Array, Array, Array, Array]) -> Array:
        count, more, _, values = state
        return ~jnp.all(jnp.isfinite(values)) & (count < MAX_SEARCHES) & (more < MORE_SEARCHES)

    zero, points = jnp.asarray(0), jnp.zeros((NUM_CLIMBS, event_size))
    start = zero, zero, points, jnp.full(NUM_CLIMBS, -jnp.inf)
    return jax.lax.while_loop(missing, again, start)[2:]


@quick_jit
def _climb(log_density: Density, points: Array, key: Array) -> FlowDistribution:
    """Returns the best Gaussian on the way from points, `[C, D]`."""
    C, D = points.shape
    noise = jax.random.normal(key, (NUM_DRAWS, D), points.dtype)

    def elbo(mean: Array, scale: Array) -> Array:
        """The ELBO of a Gaussian, up to its constant; minus infinity where it is not finite."""
        values = jax.vmap(log_density)(mean + scale * noise)
        value = jnp.mean(values) + jnp.sum(jnp.log(scale))
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def widest(mean: Array, unit: Array) -> tuple[Array, Array]:
        """Returns the best multiple of a scale, and its ELBO."""
        widths = jnp.asarray(WIDTHS, unit.dtype)
        elbos = jax.vmap(lambda width: elbo(mean, width * unit))(widths)
        index = jnp.argmax(elbos)
        return widths[index] * unit, elbos[index]

    def segment(best: tuple, point: tuple[Array, Array]) -> tuple[tuple, None]:
        own, is_own = point
        start = jnp.where(is_own, own, best[0])
        unit = jnp.where(is_own, 1.0, best[1])
        path = start + unit * _lbfgs_path(lambda u: log_density(start + unit * u), D)
        scales, elbos = jax.lax.map(lambda mean: widest(mean, unit), path)
        index = jnp.argmax(elbos)
        mean, scale, value = path[index], scales[index], elbos[index]
        # In units of its own, or a small round mode would seem better than a large long one.
        curvature = jnp.abs(_hessian_diagonal(log_density, mean, scale))
        usable = jnp.isfinite(curvature) & (curvature > 0.0)
        unit = jnp.where(usable, jax.lax.rsqrt(jnp.where(usable, curvature, 1.0)), unit)
        shaped, value_shaped = widest(mean, unit)
        scale = jnp.where(value_shaped > value, shaped, scale)
        new = mean, unit, scale, jnp.maximum(value, value_shaped)
        better = new[3] > best[3]
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), new, best), None

    first = (points[0], jnp.ones(D), jnp.ones(D), jnp.asarray(-jnp.inf, points.dtype))
    starts = jnp.resize(points, (C + MORE_SEGMENTS, D)), jnp.arange(C + MORE_SEGMENTS) < C
    (mean, _, scale, _), _ = jax.lax.scan(segment, first, starts)
    if D <= MAX_DENSE_SIZE:  # the form of the next stage: what is compiled for one serves
        return gaussian(mean, jnp.diag(scale))
    return diagonal_gaussian(mean, scale)


def _lbfgs_path(log_density: Density, event_size: int) -> Array:
    """Returns the points that L-BFGS visits from the origin, `[STEPS_PER_SEGMENT + 1, D]`."""
    optimizer = optax.lbfgs(memory_size=LBFGS_MEMORY)

    def loss(u: Array) -> Array:
        return jnp.negative(log_density(u))  # an array, also where the density is a Python number

    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple, Array]:
        u, state = carry
        value, gradient = value_and_grad(u, state=state)
        updates, new_state = optimizer.update(
            gradient, state, u, value=value, grad=gradient, value_fn=loss
        )
        moved = optax.apply_updates(u, updates)
        finite = jnp.all(jnp.isfinite(moved))
        carry = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), (moved, new_state), (u, state)
        )
        return carry, carry[0]

    origin = jnp.zeros(event_size)
    _, path = jax.lax.scan(step, (origin, optimizer.init(origin)), None, length=STEPS_PER_SEGMENT)
    return jnp.concatenate([origin[None], path])


def _hessian_diagonal(log_density: Density, z: Array, scale: Array) -> Array:
    """Returns the diagonal of the Hessian, `[D]`, a product with a unit vector for each entry."""

    def entry(index: Array) -> Array:
        unit = jax.nn.one_hot(index, z.shape[0], dtype=z.dtype)
        return gradient_along(log_density, z, unit, STEP * scale[index])[index]

    return jax.lax.map(entry, jnp.arange(z.shape[0]), batch_size=min(z.shape[0], 64))
