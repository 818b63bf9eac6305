"""The coupling arrangement: one part of the event conditions the other."""

from collections.abc import Callable, Sequence

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hkflows import checks
from hkflows.bijectors.result import broadcast_result
from hkflows.conditioners import readout_network
from hkflows.transformers import Affine, Transformer, check_transformer

Array = jax.Array


class Coupling(distrax.Bijector):
    """Leaves the masked part `a` of the event as it is, and transforms the rest `b` given it.

    Forward:

        y_a = x_a,   y_b = tau(x_b; h(x_a)),   log|det dy/dx| = sum_b log tau'(x_b; h(x_a)).

    Inverse:

        x_a = y_a,   x_b = tau^{-1}(y_b; h(y_a)),   log|det dx/dy| = -sum_b log tau'(x_b; h(y_a)).

    Each direction costs one evaluation of the network.

    Args:
        conditioner: any Haiku callable from a vector `[D_in]` (`[D_in + C]` with a context, which
            comes last) to features `[H]`, such as `MLP(hidden_sizes)`. A linear layer that starts
            at zero turns the features into parameters. It is visited here, once.
        transformer: the scalar map tau.
        mask: `[D]`, boolean; true where the event passes through unchanged and is seen by the
            conditioner, as in `distrax.MaskedCoupling`. Make it with NumPy: it decides shapes, so
            it must be known under `jit` too.
        context: `[..., C]`, what the map is conditioned on; its leading dimensions are the batch of
            the bijector.

    Raises:
        ValueError: if `mask` is not a boolean vector, transforms nothing, or leaves the
            conditioner nothing to see.

    References:
        Dinh, Sohl-Dickstein & Bengio (2017), "Density estimation using Real NVP", section 3.2,
        arXiv:1605.08803.
    """

    def __init__(
        self,
        conditioner: Callable[[Array], Array],
        transformer: Transformer = Affine(),  # noqa: B008
        *,
        mask: ArrayLike | Sequence[bool],
        context: Array | None = None,
    ):
        super().__init__(event_ndims_in=1)
        checks.function("conditioner", conditioner)
        check_transformer(transformer)
        kept = checks.concrete("mask", mask)
        if kept.dtype != bool or kept.ndim != 1:
            raise ValueError(
                f"`mask` must be a boolean vector; got {kept.dtype} of shape {kept.shape}."
            )
        if kept.all():
            raise ValueError(f"`mask` must be false somewhere, to transform it; got {kept}.")
        if not kept.any() and context is None:
            raise ValueError(
                "`mask` must be true somewhere when there is no context, for the conditioner to "
                f"see something; got {kept}. For independent dimensions use `Elementwise`."
            )
        self._kept = np.flatnonzero(kept)
        self._transformed = np.flatnonzero(~kept)
        self._network = readout_network(
            "coupling_readout",
            conditioner,
            self._kept.size,
            (self._transformed.size, transformer.num_params),
            context,
        )
        self._transformer = transformer

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        return self._couple(self._transformer.forward, "x", x)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        return self._couple(self._transformer.inverse, "y", y)

    def result_shape(self, event: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that either direction gives an event."""
        size = self._kept.size + self._transformed.size
        return broadcast_result(event, size, self._network.batch_shape, self._network.dtype)

    def _couple(
        self, tau: Callable[[Array, Array], tuple[Array, Array]], name: str, value: Array
    ) -> tuple[Array, Array]:
        value = checks.event(name, value, self._kept.size + self._transformed.size)
        params = self._network(value[..., self._kept])
        transformed, log_derivative = tau(value[..., self._transformed], params)
        whole = jnp.broadcast_to(value, (*transformed.shape[:-1], value.shape[-1]))
        whole = whole.astype(transformed.dtype).at[..., self._transformed].set(transformed)
        return whole, jnp.sum(log_derivative, axis=-1)
