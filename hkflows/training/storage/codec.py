"""What a fit consists of, as a description that JSON can hold and arrays beside it.

Numbers, strings and `None` describe themselves, tuples are lists; all else is a dictionary whose
one key says what it is. What cannot be described is left open, to be given when it is read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import transformers
from hkflows.diagnostics import Diagnostics, Parameters
from hkflows.distributions import FlowDistribution
from hkflows.presets import MAKERS
from hkflows.targets import Target
from hkflows.training.gaussians import from_leaves, to_leaves

Array = jax.Array
C = TypeVar("C", bound=type)

FUNCTIONS = {"jax.nn": jax.nn, "jax.numpy": jnp}  # where activations come from
CLASSES: dict[str, type] = {  # frozen dataclasses, by name
    cls.__name__: cls
    for cls in (Diagnostics, Parameters, *vars(transformers).values())
    if isinstance(cls, type) and dataclasses.is_dataclass(cls)
}


def describable(cls: C) -> C:
    """Decorates a frozen dataclass of which descriptions may speak."""
    CLASSES[cls.__name__] = cls
    return cls


def describe(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """Returns a description.

    Args:
        value: what to describe.
        arrays: where its arrays go.
        name: what to call them.

    Raises:
        TypeError: if it cannot be described.
    """

    def items(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: describe(item, arrays, f"{name}/{key}") for key, item in values.items()}

    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case np.dtype():
            return value.name
        case jax.Array() | np.ndarray():
            arrays[name] = np.asarray(value)
            return {"device" if isinstance(value, jax.Array) else "host": name}
        case Target():
            return {"given": "target"}
        case hk.Transformed():
            try:
                return {"flow": value.name, "arguments": items(value.arguments)}
            except (AttributeError, TypeError):  # the user's own, or made of such
                return {"given": "flow"}
        case FlowDistribution():
            form, size, leaves = to_leaves(value)
            return {"gaussian": [form, size], "leaves": describe(leaves, arrays, name)}
        case tuple() | list():
            return list(items({str(index): item for index, item in enumerate(value)}).values())
        case Mapping():
            return {"mapping": items(value)}
    if type(value) in CLASSES.values():
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"object": type(value).__name__, "arguments": items(fields)}
    name_there = getattr(value, "__name__", "")
    for module, functions in FUNCTIONS.items():
        if getattr(functions, name_there, None) is value:
            return {"function": [module, name_there]}
    raise TypeError(f"There is no description of {value!r}.")


def recover(description: Any, arrays: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> Any:
    """Returns what was described.

    Args:
        description: such as `describe` gives.
        arrays: those beside it.
        given: what was left open, by name.
    """

    def items(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: recover(item, arrays, given) for key, item in values.items()}

    match description:
        case list():
            return tuple(recover(item, arrays, given) for item in description)
        case {"host": name}:
            return arrays[name]
        case {"device": name}:
            return _on_device(arrays[name])
        case {"given": name}:
            return given[name]
        case {"flow": name, "arguments": arguments}:
            return _known(name, MAKERS)(**items(arguments))
        case {"gaussian": [form, size], "leaves": leaves}:
            return from_leaves(form, size, recover(leaves, arrays, given))
        case {"mapping": values}:
            return items(values)
        case {"object": name, "arguments": arguments}:
            return _known(name, CLASSES)(**items(arguments))
        case {"function": [module, name]}:
            return getattr(FUNCTIONS[module], name)
    return description


def left_open(description: Any) -> set[str]:
    """Returns the names of what has to be given to recover what was described."""
    match description:
        case {"given": str(name)}:
            return {name}
        case dict():
            return set().union(*map(left_open, description.values()))
        case list():
            return set().union(*map(left_open, description))
    return set()


def _known(name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"There is no {name} here; those known are {', '.join(sorted(known))}.")
    return known[name]


def _on_device(array: np.ndarray) -> Array:
    on_device = jnp.asarray(array)
    if on_device.dtype != array.dtype:
        raise ValueError(
            f"`jax_enable_x64` must be set to read arrays of {array.dtype}; they would become "
            f"{on_device.dtype}."
        )
    return on_device
