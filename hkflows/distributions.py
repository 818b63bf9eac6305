"""The distribution that a flow makes of a base distribution."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from hkflows import checks
from hkflows.bijectors.conversion import as_bijector
from hkflows.bijectors.result import result_shape

Array = jax.Array


class FlowDistribution(distrax.Distribution):
    """The distribution of `y = f(x)`, `x` from a base distribution and `f` a bijector.

    `log q(y) = log p(x) - log|det df/dx|` with `x = f^{-1}(y)`. Sampling runs `f` forward only, and
    `sample_and_log_prob` never inverts it.

    When the bijector was built with a batch of contexts `[B, C]`, `batch_shape` is `(B,)`: every
    context has independent draws, samples are `[S, B, D]`, and `log_prob` broadcasts `y` against
    the contexts.

    Args:
        base: a distrax or TFP distribution on vectors, `event_shape == (D,)`.
        bijector: a distrax or TFP bijector on vectors.

    Raises:
        ValueError: if `base` or `bijector` does not act on vectors, or their batches do not fit.
    """

    def __init__(self, base: Any, bijector: Any):
        super().__init__()
        try:
            base = distrax.as_distribution(base)
        except TypeError as error:
            raise ValueError(f"`base` must be a distribution; got {base!r}.") from error
        bijector = as_bijector("bijector", bijector)
        if len(base.event_shape) != 1:
            raise ValueError(
                f"`base` must be a distribution of vectors; got event shape {base.event_shape}."
            )
        if (bijector.event_ndims_in, bijector.event_ndims_out) != (1, 1):
            raise ValueError(
                f"`bijector` must act on vectors; {bijector.name} takes events of "
                f"{bijector.event_ndims_in} dimensions. Lift a scalar one by `hkflows.Chain`."
            )
        self._base = base
        self._bijector = bijector
        batch_shape = self.batch_shape
        if batch_shape[len(batch_shape) - len(base.batch_shape) :] != base.batch_shape:
            raise ValueError(
                f"`base` has batch shape {base.batch_shape}, which must be the end of the flow's, "
                f"{batch_shape}, for the draws of a batch to be independent."
            )

    @property
    def base(self) -> distrax.Distribution:
        """The distribution of `x`."""
        return self._base

    @property
    def bijector(self) -> distrax.Bijector:
        """The map from `x` to `y`."""
        return self._bijector

    @property
    def event_shape(self) -> tuple[int, ...]:
        """`(D,)`."""
        return self._result.shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The batch of contexts that the bijector was built with, or of the base."""
        return self._result.shape[:-1]

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of the draws."""
        return self._result.dtype

    @property
    def _result(self) -> jax.ShapeDtypeStruct:
        """What the bijector makes of one event: asked anew each time, since `vmap` changes it."""
        event = jax.ShapeDtypeStruct(self.base.event_shape, self.base.dtype)
        one = result_shape(self.bijector, event)
        batch_shape = jnp.broadcast_shapes(one.shape[:-1], self.base.batch_shape)
        return jax.ShapeDtypeStruct((*batch_shape, one.shape[-1]), one.dtype)

    def log_prob(self, value: Array) -> Array:
        """Returns `log q(value)` (nats), `[...]`, for `value` `[..., D]`.

        Its leading dimensions broadcast against `batch_shape`.
        """
        x, log_det = self._invert("value", value)
        return self.base.log_prob(x) + log_det

    def inverse(self, y: Array) -> Array:
        """Returns the base point `x`, `[..., D]`, that the flow maps to `y`."""
        return self._invert("y", y)[0]

    def _invert(self, name: str, y: Array) -> tuple[Array, Array]:
        *batch_shape, event_size = self._result.shape
        y = checks.event(name, y, event_size)
        checks.broadcasts(name, y.shape[:-1], tuple(batch_shape))
        return self.bijector.inverse_and_log_det(y)

    def sample_base(self, *, seed: Array, sample_shape: int | tuple[int, ...] = ()) -> Array:
        """Draws base points, `[*sample_shape, *batch_shape, D]`, independent for every context."""
        batch_shape = self.batch_shape
        contexts = batch_shape[: len(batch_shape) - len(self.base.batch_shape)]
        key = checks.prng_key("seed", seed)
        shape = (sample_shape,) if isinstance(sample_shape, int | np.integer) else sample_shape
        return self.base.sample(seed=key, sample_shape=(*shape, *contexts))

    def push(self, x: Array) -> tuple[Array, Array]:
        """Returns the draws, `[..., D]`, that base points become, and `log q` (nats), `[...]`."""
        y, log_det = self.bijector.forward_and_log_det(x)
        return y, self.base.log_prob(x) - log_det

    def _sample_n(self, key: Array, n: int) -> Array:
        return self.bijector.forward(self.sample_base(seed=key, sample_shape=(n,)))

    def _sample_n_and_log_prob(self, key: Array, n: int) -> tuple[Array, Array]:
        return self.push(self.sample_base(seed=key, sample_shape=(n,)))
