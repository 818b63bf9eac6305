"""Models to fit: a density on unconstrained vectors, and the way back to the user's parameters."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from hkflows import checks
from hkflows.supports import Support, as_support

Array = jax.Array


def _identity(z: Array) -> Array:
    return z


@dataclasses.dataclass(frozen=True)
class Target:
    """An unnormalised density to fit.

    Attributes:
        log_density: maps an unconstrained vector `[D]` to a scalar, log p up to a constant (nats).
        event_size: D.
        constrain: maps an unconstrained vector `[D]` to what the user calls the parameters.

    Raises:
        ValueError: if `log_density` does not return a floating scalar.
    """

    log_density: Callable[[Array], Array]
    event_size: int
    constrain: Callable[[Array], Any] = _identity

    def __post_init__(self) -> None:
        checks.positive_int("event_size", self.event_size)
        result = jax.eval_shape(self.log_density, jnp.zeros(self.event_size))
        shape, dtype = getattr(result, "shape", None), getattr(result, "dtype", type(result))
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"`log_density` must map a vector [{self.event_size}] to a floating scalar; "
                f"it returned shape {shape} of {dtype}."
            )

    @classmethod
    def from_log_joint(cls, log_joint: Callable[[Any], Array], bijectors: Any) -> "Target":
        """Returns the target of a log joint density over named parameters.

        The density on unconstrained vectors is that of the parameters times the Jacobian of the
        bijectors.

        Args:
            log_joint: maps a pytree of parameters, shaped like `bijectors`, to a scalar (nats).
            bijectors: a pytree with a support for each parameter: one of `hkflows.supports`, or a
                distrax or TFP bijector on scalars, from unconstrained values.

        Returns:
            The target; its `constrain` gives the pytree of parameters.

        Raises:
            ValueError: if a leaf is no support, or `log_joint` does not return a scalar.

        Example:
            >>> import jax.numpy as jnp
            >>> import hkflows as hkf
            >>> def log_joint(theta):
            ...     return -theta["scale"] - 0.5 * jnp.sum((theta["x"] / theta["scale"]) ** 2)
            >>> target = hkf.Target.from_log_joint(
            ...     log_joint, {"scale": hkf.supports.positive(), "x": hkf.supports.real(3)}
            ... )
            >>> target.event_size
            4
        """
        paths, structure = jax.tree_util.tree_flatten_with_path(bijectors, is_leaf=_is_leaf)
        supports = [
            as_support(f"bijectors{jax.tree_util.keystr(path)}", leaf) for path, leaf in paths
        ]
        if not supports:
            raise ValueError("`bijectors` must hold at least one parameter; got none.")
        sizes = [math.prod(support.shape) for support in supports]
        ends = list(itertools.accumulate(sizes))

        def constrain_and_log_det(z: Array) -> tuple[Any, Array]:
            values, log_det = [], jnp.zeros((), z.dtype)
            for support, piece in zip(supports, jnp.split(z, ends[:-1]), strict=True):
                bijector = distrax.as_bijector(support.bijector)
                value, increment = bijector.forward_and_log_det(piece.reshape(support.shape))
                values.append(value)
                log_det += jnp.sum(increment)
            return jax.tree_util.tree_unflatten(structure, values), log_det

        def constrain(z: Array) -> Any:
            return constrain_and_log_det(z)[0]

        def log_density(z: Array) -> Array:
            parameters, log_det = constrain_and_log_det(z)
            log_p = log_joint(parameters)
            if jnp.shape(log_p) != ():
                raise ValueError(f"`log_joint` must return a scalar; got shape {jnp.shape(log_p)}.")
            return log_p + log_det

        return cls(log_density, ends[-1], constrain)


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(
        value, Support | distrax.Bijector | distrax.Distribution | tfb.Bijector | tfd.Distribution
    )
