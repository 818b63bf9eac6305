"""What the pictures share."""

from typing import Any

import numpy as np
from jax.typing import ArrayLike

from hkflows.extras import load

DRAWS, REFERENCE, FAINT = "C0", "C1", "0.6"


def new_figure(caller: str, size: tuple[float, float]) -> Any:
    """Returns an empty figure of a size in inches, or raises `ImportError` naming the extra."""
    module = load("matplotlib.figure", extra="plotting", caller=caller)
    return module.Figure(figsize=size, layout="constrained")


def vector(name: str, value: ArrayLike) -> np.ndarray:
    """Returns the value as a vector of float64, or raises `ValueError`."""
    values = np.asarray(value, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be a vector; got shape {values.shape}.")
    return values
