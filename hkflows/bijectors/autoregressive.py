"""The autoregressive arrangement, seen from its two sides."""

from typing import Protocol, Self

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.result import broadcast_result
from hkflows.kernels import autoregressive
from hkflows.transformers import Affine, Inverted, Transformer, check_transformer

Array = jax.Array


class Network(autoregressive.Network, Protocol):
    """An autoregressive network at fixed weights, and what its result will look like."""

    @property
    def event_size(self) -> int:
        """D, the number of event dimensions."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of its context."""

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of its weights."""

    def astype(self, dtype: jnp.dtype) -> Self:
        """Returns the network ready for an input of a dtype."""


class Conditioner(Protocol):
    """What `IAF` and `MAF` ask of a conditioner: `MADE` and `Autoregressive` have it."""

    def network(self, num_params: int, context: Array | None) -> Network:
        """Returns an autoregressive network at fixed weights."""


class _Autoregressive(distrax.Bijector):
    """A triangular map `g`, `v_i = tau(u_i; h_i(u_<i))`, and its sequential inverse."""

    def __init__(
        self,
        conditioner: Conditioner,
        transformer: Transformer = Affine(),  # noqa: B008
        *,
        context: Array | None = None,
    ):
        super().__init__(event_ndims_in=1)
        check_transformer(transformer)
        if isinstance(conditioner, type) or not callable(getattr(conditioner, "network", None)):
            raise ValueError(
                "`conditioner` must be a `MADE`, or an autoregressive network of your own in an "
                f"`Autoregressive`; got {conditioner!r}."
            )
        self._network = conditioner.network(transformer.num_params, context)
        self._transformer = transformer

    def result_shape(self, event: jax.ShapeDtypeStruct | Array) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that either direction gives an event."""
        network = self._network
        return broadcast_result(event, network.event_size, network.batch_shape, network.dtype)

    def _prepare(self, name: str, value: Array) -> tuple[Network, Array]:
        """Gives the network and an event the dtype, and the event the shape, of the result."""
        value = checks.event(name, value, self._network.event_size)
        result = self.result_shape(value)
        network = self._network.astype(result.dtype)
        return network, jnp.broadcast_to(value, result.shape).astype(result.dtype)


class IAF(_Autoregressive):
    """Inverse autoregressive flow: fast to sample from, with the log-density of its own draws.

    Forward, from base `x` to data `y`, in one network pass:

        y_i = tau(x_i; h_i(x_<i)),   log|det dy/dx| = sum_i log tau'(x_i; h_i(x_<i)).

    Inverse, each dimension after those before it, for a few passes (see `docs/costs.md`), with
    exact derivatives that do not pass through the loop:

        x_i = tau^{-1}(y_i; h_i(x_<i)),   log|det dx/dy| = -sum_i log tau'(x_i; h_i(x_<i)).

    Args:
        conditioner: a `MADE`, or an `Autoregressive`; it fetches its weights here, once.
        transformer: the scalar map tau.
        context: `[..., C]`, what the whole map is conditioned on; its leading dimensions are the
            batch of the bijector.

    References:
        Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling (2016), "Improved variational
        inference with inverse autoregressive flow", section 4, arXiv:1606.04934.
    """

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        return autoregressive.parallel(self._transformer, *self._prepare("x", x))

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        return autoregressive.sequential(self._transformer, *self._prepare("y", y))

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density by one transposed solve; see `bijectors.score`."""
        return autoregressive.forward_and_score(self._transformer, *self._prepare("x", x), score)


class MAF(_Autoregressive):
    """Masked autoregressive flow: fast to score data with.

    Inverse, from data `y` to base `x`, in one network pass:

        x_i = tau^{-1}(y_i; h_i(y_<i)),   log|det dx/dy| = -sum_i log tau'(x_i; h_i(y_<i)).

    Forward, each dimension after those before it, for a few passes (see `docs/costs.md`), with
    exact derivatives that do not pass through the loop:

        y_i = tau(x_i; h_i(y_<i)),   log|det dy/dx| = sum_i log tau'(x_i; h_i(y_<i)).

    Args:
        conditioner: a `MADE`, or an `Autoregressive`; it fetches its weights here, once.
        transformer: the scalar map tau.
        context: `[..., C]`, what the whole map is conditioned on; its leading dimensions are the
            batch of the bijector.

    References:
        Papamakarios, Pavlakou & Murray (2017), "Masked autoregressive flow for density
        estimation", section 3, arXiv:1705.07057.
    """

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        return autoregressive.sequential(Inverted(self._transformer), *self._prepare("x", x))

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        return autoregressive.parallel(Inverted(self._transformer), *self._prepare("y", y))
