"""Targets from NumPyro models."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hkflows.extras import load
from hkflows.targets import Target
from hkflows.targets.log_joint import unflatten
from hkflows.targets.names import listed

Array = jax.Array


def target(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Target:
    """Returns the posterior of a NumPyro model.

    The density on unconstrained vectors is minus NumPyro's potential energy: the log joint with
    every normaliser, times the Jacobian of its own bijections. Supports may depend on other sites.
    Of a latent site under `handlers.scale` or `handlers.mask` NumPyro scales or masks the Jacobian
    as well.
    The latent sites lie one after the other in the vector, in the order of the model.

    NumPyro cuts the circle at pi. For an angle whose posterior lies across, use
    `hkflows.Target.from_log_joint` with `hkflows.supports.circle`.

    Args:
        model: the model; observed sites are those with `obs` or under a `condition` handler.
        *args: what to call it with.
        **kwargs: likewise.

    Returns:
        The target; its `constrain` gives a dictionary with the latent sites in their own space and
        the deterministic ones.

    Raises:
        ImportError: if NumPyro, the extra `numpyro`, is not installed.
        ValueError: if the model has no latent site, a discrete or a fixed one, one whose support
            has no bijection, a `numpyro.param` or a plate that draws a subsample.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> import hkflows as hkf
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        ...     numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> hkf.Target.from_numpyro(model, 0.3).names()
        ('scale',)
    """
    load("numpyro", extra="numpyro", caller="from_numpyro")
    from numpyro import handlers
    from numpyro.distributions import biject_to
    from numpyro.infer import init_to_uniform
    from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

    if not callable(model):
        raise ValueError(f"`model` must be a NumPyro model, a function; got {model!r}.")
    seeded = handlers.seed(model, jax.random.key(0))
    # Sites whose prior cannot be drawn from, improper ones, get a value by their support.
    started = handlers.substitute(seeded, substitute_fn=init_to_uniform())
    shapes: dict[str, tuple[int, ...]] = {}

    def look() -> None:
        for name, site in handlers.trace(started).get_trace(*args, **kwargs).items():
            if _is_latent(name, site):
                to_support = biject_to(site["fn"].support)
                shapes[name] = to_support.inverse_shape(jnp.shape(site["value"]))

    jax.eval_shape(look)  # nothing is computed: one by one a model's operations take long
    if not shapes:
        raise ValueError("`model` must have at least one latent site; it has none.")

    def sites(z: Array) -> dict[str, Array]:
        return dict(zip(shapes, unflatten(z, list(shapes.values())), strict=True))

    def log_density(z: Array) -> Array:
        return jnp.asarray(-potential_energy(seeded, args, kwargs, sites(z)), z.dtype)

    @jax.jit
    def constrain(z: Array) -> dict[str, Array]:
        return constrain_fn(seeded, args, kwargs, sites(z), return_deterministic=True)

    def unconstrain(parameters: Mapping[str, Any]) -> Array:
        missing = [name for name in shapes if name not in parameters]
        if missing:
            raise ValueError(f"`parameters` must have all latent sites; {listed(missing)} lack.")
        values = {name: jnp.asarray(parameters[name], float) for name in shapes}
        pieces = unconstrain_fn(seeded, args, kwargs, values)
        return jnp.concatenate([jnp.ravel(pieces[name]) for name in shapes])

    return Target(log_density, sum(map(math.prod, shapes.values())), constrain, unconstrain)


def _is_latent(name: str, site: dict[str, Any]) -> bool:
    """Returns whether a site of a trace is latent; raises `ValueError` where a flow cannot help."""
    from numpyro.distributions import Delta, ExpandedDistribution, Independent, MaskedDistribution

    wrappers = ExpandedDistribution, Independent, MaskedDistribution

    if site["type"] in ("param", "mutable"):
        raise ValueError(
            f"`model` must have no `numpyro.{site['type']}`; got {name!r}. Give it a prior, or "
            "fix it with `numpyro.handlers.substitute`."
        )
    if site["type"] == "plate":
        size, subsample_size = site["args"]
        if subsample_size not in (None, size):
            raise ValueError(
                f"`model` must see all its data; the plate {name!r} draws a subsample of "
                f"{subsample_size} of {size}. For batches, write the log joint with a second "
                "argument."
            )
    if site["type"] != "sample" or site["is_observed"]:
        return False
    distribution = site["fn"]
    while isinstance(distribution, wrappers):
        distribution = distribution.base_dist
    if isinstance(distribution, Delta):
        raise ValueError(
            f"`model` must have latent sites with a density; {name!r} is a Delta. "
            "Use `numpyro.deterministic`."
        )
    if site["fn"].support.is_discrete:
        raise ValueError(
            f"`model` must have continuous latent sites; {name!r} is discrete. "
            "Sum it out, for example with `numpyro.distributions.MixtureSameFamily`."
        )
    return True
