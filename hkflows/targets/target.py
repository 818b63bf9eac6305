"""Models to fit: a density on unconstrained vectors, and the way back to the user's parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from hkflows import checks
from hkflows.elbo.minibatches import Minibatch
from hkflows.supports import Support
from hkflows.supports.conversion import as_support, is_of_numpyro
from hkflows.targets.at_points import check_density
from hkflows.targets.log_joint import LogJoint, check_scalar, takes_data
from hkflows.targets.names import leaf_names, scalar_names

Array = jax.Array

REAL = (jnp.floating, jnp.integer, jnp.bool_)


def _identity(z: Array) -> Array:
    return z


@dataclasses.dataclass(frozen=True)
class Target:
    """An unnormalised density to fit.

    Attributes:
        log_density: maps an unconstrained vector `[D]` to a scalar, log p up to a constant (nats).
            One with two arguments takes a batch of data as the second.
        event_size: D.
        constrain: maps an unconstrained vector `[D]` to what the user calls the parameters.
        inverse: maps such parameters to the vector, if the way back is known; see `unconstrain`.

    Raises:
        ValueError: if `log_density` does not return a floating scalar. One that takes data cannot
            be asked before there are any.
    """

    log_density: Callable[..., Array]
    event_size: int
    constrain: Callable[[Array], Any] = _identity
    inverse: Callable[[Any], Array] | None = None

    def __post_init__(self) -> None:
        checks.function("log_density", self.log_density)
        checks.positive_int("event_size", self.event_size)
        checks.function("constrain", self.constrain)
        if self.takes_data:
            return

        def checked(z: Array) -> Array:
            value = self.log_density(z)
            check_scalar("log_density", value)
            return value

        jax.eval_shape(checked, jnp.zeros(self.event_size))

    def __repr__(self) -> str:
        return f"Target(event_size={self.event_size})"

    @property
    def takes_data(self) -> bool:
        """Whether `log_density` takes a batch of data as its second argument."""
        if isinstance(self.log_density, LogJoint):
            return self.log_density.takes_data
        return takes_data("log_density", self.log_density)

    @property
    def num_data(self) -> int | None:
        """N, if `hkflows.elbo.minibatch` made the log density; otherwise `None`."""
        density = self.log_density
        if isinstance(density, LogJoint):
            density = density.log_joint
        return density.num_data if isinstance(density, Minibatch) else None

    def names(self) -> tuple[str, ...]:
        """Returns a name for each scalar among the parameters: `scale`, `x[0]`, `tau[1,2]`.

        Raises:
            ValueError: if `constrain` returns none, or what is no real number.
        """
        parameters = jax.eval_shape(self.constrain, jnp.zeros(self.event_size))
        for name, leaf in zip(leaf_names(parameters), jax.tree.leaves(parameters), strict=True):
            if not any(jnp.issubdtype(leaf.dtype, real) for real in REAL):
                raise ValueError(
                    f"`constrain` must return real numbers; `{name}` is of {leaf.dtype}."
                )
        names = scalar_names(parameters)
        if not names:
            raise ValueError("`constrain` must return at least one parameter; it returned none.")
        return names

    def is_angle(self) -> np.ndarray:
        """Returns for each scalar that `names` lists whether its support is a circle, `[K]`."""
        joint = getattr(self.constrain, "__self__", None)
        if isinstance(joint, LogJoint):
            return joint.is_angle()
        return np.full(len(self.names()), False)

    def unconstrain(self, parameters: Any) -> Array:
        """Returns the unconstrained vector, `[D]`, that `constrain` maps to these parameters.

        The bijections of NumPyro and TFP bring some values into their supports, such as simplices
        that do not sum to one; `hkflows.supports` refuse those that are off by more than 1 %.

        Args:
            parameters: such as `constrain` gives, not traced.

        Raises:
            ValueError: if they have other shapes or do not lie within their supports; or if the way
                back is not known, as of a `constrain` of the user's own without an `inverse`.
        """
        inverse = _identity if self.constrain is _identity else self.inverse
        if inverse is None:
            raise ValueError(
                "`target` must have an `inverse` for `parameters` to be turned into a vector."
            )
        z = checks.event("parameters", inverse(parameters), self.event_size)
        if z.ndim != 1 or not jnp.isfinite(z).all():
            raise ValueError(
                f"`parameters` must be one value each, inside of the supports; got {parameters}."
            )
        return z

    def check_at(self, z: Array, *batch: Any) -> None:
        """Raises `ValueError` where a fit that starts at these points could not succeed.

        Args:
            z: a point, `[D]`, or several, `[n, D]`; not traced.
            *batch: a batch of data, if the target takes data.

        Raises:
            ValueError: if a parameter is no real number; if the log density is not finite at any of
                the points, naming parameters that are not; if the gradient in some parameter is not
                finite at any of them; or if the density does not depend on some unbounded
                parameter, naming it.
        """
        z = checks.event("z", z, self.event_size)
        if z.ndim > 2 or z.size == 0:
            raise ValueError(
                f"`z` must be a point, [{self.event_size}], or several, [n, {self.event_size}]; "
                f"got shape {z.shape}."
            )
        if len(batch) != self.takes_data:
            raise ValueError(
                f"`batch` must be given exactly if the target takes data; got {len(batch)} for "
                f"a target that {'does' if self.takes_data else 'does not'}."
            )
        self.names()  # raises where a parameter is no real number
        check_density(self.log_density, self.constrain, jnp.atleast_2d(z), *batch)

    @classmethod
    def from_log_joint(cls, log_joint: Callable[..., Array], supports: Any) -> "Target":
        """Returns the target of a log joint density over named parameters.

        The density on unconstrained vectors is that of the parameters times the Jacobian of the
        bijectors. It has the dtype of the vector, whatever that of the log joint.

        A DISTRIBUTION AMONG THE SUPPORTS SAYS WHERE ITS PARAMETER LIES AND NOTHING ELSE. Its
        density is not added: the log joint must hold every prior.

        Args:
            log_joint: maps a pytree of parameters, shaped like `supports`, to a scalar (nats). One
                with two arguments takes a batch of data as the second, and so does the target; it
                has to estimate from the batch what all data give, see `hkflows.elbo.minibatch`.
            supports: a pytree with a support for each parameter: one of `hkflows.supports`, or a
                distrax or TFP bijector on scalars, from unconstrained values, or a distrax or TFP
                continuous distribution with the parameter's support and shape.

        Returns:
            The target; its `constrain` gives the pytree of parameters.

        Raises:
            ValueError: if a leaf is no support, if `log_joint` does not return a floating scalar,
                or if it asks for a parameter that is not there.

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
            >>> target.names()
            ('scale', 'x[0]', 'x[1]', 'x[2]')
        """
        checks.function("log_joint", log_joint)
        paths, structure = jax.tree_util.tree_flatten_with_path(supports, is_leaf=_is_leaf)
        leaves = tuple(
            as_support(f"supports{jax.tree_util.keystr(path)}", leaf) for path, leaf in paths
        )
        if not leaves:
            raise ValueError("`supports` must hold at least one parameter; got none.")
        parameters = supports if isinstance(supports, dict) else ()
        with_data = takes_data("log_joint", log_joint, parameters)
        density = LogJoint(log_joint, leaves, structure, with_data)
        return cls(density, density.event_size, density.constrain, density.unconstrain)

    @classmethod
    def from_numpyro(cls, model: Callable[..., Any], *args: Any, **kwargs: Any) -> "Target":
        """Returns the posterior of a NumPyro model, called with these arguments.

        See `hkflows.integrations.numpyro.target`; it needs the extra `numpyro`.
        """
        from hkflows.integrations import numpyro

        return numpyro.target(model, *args, **kwargs)

    @classmethod
    def from_tfp(cls, joint: Any, observed: Any) -> "Target":
        """Returns the posterior of a TFP joint distribution, given the values of some parts.

        See `hkflows.integrations.tfp.target`.
        """
        from hkflows.integrations import tfp

        return tfp.target(joint, observed)


def _is_leaf(value: Any) -> bool:
    return (value is None or is_of_numpyro(value)) or isinstance(
        value, Support | distrax.Bijector | distrax.Distribution | tfb.Bijector | tfd.Distribution
    )
