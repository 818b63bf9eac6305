"""A log joint density over named parameters, as a density on unconstrained vectors."""

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from hkflows.supports import Support
from hkflows.supports.angle import Angle
from hkflows.targets.names import leaf_names, listed

Array = jax.Array


def takes_data(name: str, function: Callable[..., Any], parameters: Collection[str] = ()) -> bool:
    """Returns whether a density takes a batch of data as its second argument.

    Arguments with a default do not count.

    Args:
        name: what to call the density in an error.
        function: the density.
        parameters: names of the parameters in one pytree. A density with two arguments of such
            names was written for parameters one by one.

    Raises:
        ValueError: if it has more than two arguments that must be given by position, or two with
            names of parameters.
    """
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some compiled functions have no signature
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [a.name for a in arguments if a.kind in by_position and a.default is a.empty]
    if len(required) > 2:
        raise ValueError(
            f"`{name}` must take the parameters, or the parameters and a batch of data; "
            f"it has the arguments {listed(required)}."
        )
    if len(required) == 2 and set(required) <= set(parameters):
        raise ValueError(
            f"`{name}` must take all parameters as one argument, a pytree like `supports`; it has "
            f"the arguments {listed(required)}, which are two of them."
        )
    return len(required) == 2


def check_scalar(name: str, value: Any) -> None:
    """Raises `ValueError` where `value` is no real floating scalar."""
    if not isinstance(value, jax.Array | np.ndarray | np.number | int | float | complex):
        raise ValueError(f"`{name}` must return a floating scalar; got a {type(value).__name__}.")
    shape, dtype = jnp.shape(value), jnp.result_type(value)
    if shape != () or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"`{name}` must return a floating scalar; got shape {shape} of {dtype}.")


def unflatten(z: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Returns the arrays of these shapes that `z`, `[D]`, holds one after the other."""
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    pieces = jnp.split(z, ends[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class LogJoint:
    """The density on unconstrained vectors of a log joint density over a pytree of parameters.

    Attributes:
        log_joint: maps the parameters, and a batch of data where it takes one, to a scalar (nats).
        supports: that of each leaf of the parameters.
        structure: of the pytree of parameters.
        takes_data: whether `log_joint` has a second argument.
    """

    log_joint: Callable[..., Array]
    supports: tuple[Support, ...]
    structure: Any
    takes_data: bool

    @property
    def event_size(self) -> int:
        """The size D of the unconstrained vector."""
        return sum(math.prod(support.shape) for support in self.supports)

    def constrain_and_log_det(self, z: Array) -> tuple[Any, Array]:
        """Returns the parameters at `z`, `[D]`, and the log-determinant of the way there."""
        values, log_det = [], jnp.zeros((), z.dtype)
        pieces = unflatten(z, [support.shape for support in self.supports])
        for support, piece in zip(self.supports, pieces, strict=True):
            bijector = distrax.as_bijector(support.bijector)
            value, increment = bijector.forward_and_log_det(piece)
            values.append(value)
            log_det += jnp.sum(increment)
        return jax.tree_util.tree_unflatten(self.structure, values), log_det

    def constrain(self, z: Array) -> Any:
        """Returns the parameters at `z`, `[D]`."""
        return self.constrain_and_log_det(z)[0]

    def unconstrain(self, parameters: Any) -> Array:
        """Returns the vector, `[D]`, at which the parameters are these."""
        names = leaf_names(jax.eval_shape(self.constrain, jnp.zeros(self.event_size)))
        try:
            leaves = self.structure.flatten_up_to(parameters)  # a list may stand for an array
        except ValueError as error:
            raise ValueError(
                f"`parameters` must hold {listed(names)}, as `supports` does; got {parameters}."
            ) from error
        pieces = []
        for name, support, leaf in zip(names, self.supports, leaves, strict=True):
            try:
                value = jnp.asarray(leaf, float)
            except (TypeError, ValueError) as error:
                raise ValueError(f"`parameters` must be numbers; `{name}` is {leaf!r}.") from error
            bijector, shape = distrax.as_bijector(support.bijector), _value_shape(support)
            if value.shape != shape:
                raise ValueError(
                    f"`parameters` must have shape {shape} at `{name}`; got {value.shape}."
                )
            piece = np.asarray(bijector.inverse(value))  # TFP remembers whose inverse its own was
            largest = np.max(np.abs(value), initial=0.0)
            is_same = np.allclose(bijector.forward(piece), value, rtol=0.01, atol=1e-4 * largest)
            if not is_same or not np.isfinite(piece).all():
                raise ValueError(
                    f"`parameters` must lie inside of their supports; `{name}` does not: {leaf}."
                )
            pieces.append(piece.reshape(-1))
        return jnp.concatenate(pieces)

    def without_log_det(self, z: Array, *batch: Any) -> Array:
        """Returns the log joint of the parameters at `z`, `[D]` (nats)."""
        return self._evaluate(self.constrain(z), batch, z.dtype)

    def __call__(self, z: Array, *batch: Any) -> Array:
        """Returns the log density on `z`, `[D]` (nats), in the dtype of `z`."""
        parameters, log_det = self.constrain_and_log_det(z)
        return self._evaluate(parameters, batch, z.dtype) + log_det

    def is_bounded(self) -> np.ndarray:
        """Returns for each entry of `z`, `[D]`, whether the support that it sets is bounded.

        It is where far ends of the unconstrained space are no farther apart than near ones.
        """
        bounded = []
        for support in self.supports:
            near, far = (_spread(support, end) for end in (10.0, 1000.0))
            bounded += [bool(far <= 10.0 * near)] * math.prod(support.shape)
        return np.array(bounded)

    def is_angle(self) -> np.ndarray:
        """Returns for each scalar among the parameters, `[K]`, whether it is an angle."""
        return np.concatenate(
            [
                np.full(math.prod(_value_shape(support)), isinstance(support.bijector, Angle))
                for support in self.supports
            ]
        )

    def _evaluate(self, parameters: Any, batch: tuple[Any, ...], dtype: Any) -> Array:
        try:
            value = self.log_joint(parameters, *batch)
        except KeyError as error:
            names = leaf_names(parameters)
            if error.args and error.args[0] in names:
                raise  # some other dictionary lacks it
            raise ValueError(
                f"`log_joint` raised KeyError for {error}; "
                f"the parameters, named as in `supports`, are {listed(names)}."
            ) from error
        check_scalar("log_joint", value)
        return jnp.asarray(value, dtype)


def _value_shape(support: Support) -> tuple[int, ...]:
    """Returns the shape of the parameter that has a support."""
    forward = distrax.as_bijector(support.bijector).forward
    return jax.eval_shape(forward, jnp.zeros(support.shape)).shape


def _spread(support: Support, end: float) -> np.floating:
    """Returns how far values are apart at unconstrained values of plus and minus `end`."""
    forward = distrax.as_bijector(support.bijector).forward
    ends = jnp.full(support.shape, end)
    return np.max(np.abs(np.asarray(forward(ends)) - np.asarray(forward(-ends))))
