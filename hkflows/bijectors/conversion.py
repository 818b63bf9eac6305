"""What distrax takes for a bijector."""

from typing import Any

import distrax


def as_bijector(name: str, value: Any) -> distrax.Bijector:
    """Returns a distrax or TFP bijector, or a function, as a bijector of distrax.

    Raises:
        ValueError: if it is none of these.
    """
    try:
        if isinstance(value, type):  # the class, where an instance of it was meant
            raise TypeError
        return distrax.as_bijector(value)
    except TypeError as error:
        raise ValueError(f"`{name}` must be a bijector; got {value!r}.") from error
