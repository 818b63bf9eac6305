"""Reordering the dimensions of an event."""

from collections.abc import Sequence

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.kernels import degrees

Array = jax.Array


class Permutation(distrax.Bijector):
    """Reorders the dimensions: `y_i = x_{permutation[i]}`, `log|det| = 0` both ways.

    Args:
        permutation: a permutation of 0..D-1.

    Raises:
        ValueError: if it is not one.
    """

    def __init__(self, permutation: Sequence[int] | np.ndarray):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        indices = degrees.permutation("permutation", checks.concrete("permutation", permutation))
        self._permutation = np.asarray(indices)
        self._inverse = np.argsort(indices)

    @classmethod
    def reverse(cls, event_size: int) -> "Permutation":
        """Returns the permutation that turns the event around."""
        return cls(range(checks.positive_int("event_size", event_size))[::-1])

    @classmethod
    def random(cls, event_size: int, seed: int) -> "Permutation":
        """Returns a random permutation, the same for the same integer `seed`."""
        event_size = checks.positive_int("event_size", event_size)
        if isinstance(seed, bool) or not hasattr(seed, "__index__") or int(seed) < 0:
            raise ValueError(f"`seed` must be an integer of at least zero; got {seed!r}.")
        return cls(np.random.default_rng(seed).permutation(event_size))

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and zeros, `[...]`."""
        return self._take("x", x, self._permutation)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and zeros, `[...]`."""
        return self._take("y", y, self._inverse)

    def _take(self, name: str, value: Array, indices: Array | np.ndarray) -> tuple[Array, Array]:
        value = checks.event(name, value, self._permutation.shape[-1])
        return value[..., indices], jnp.zeros(value.shape[:-1], value.dtype)
