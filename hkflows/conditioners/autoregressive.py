"""Autoregressive networks of the user's own."""

import dataclasses

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners.traced import Traced, VectorFunction, trace
from hkflows.kernels import degrees

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TracedNetwork:
    """An autoregressive network at fixed weights, `[..., D] -> [..., D, P]`.

    Attributes:
        function: the network.
        order: the `k`-th entry is the event dimension that comes `k`-th.
    """

    function: Traced
    order: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @property
    def event_size(self) -> int:
        """D, the number of event dimensions."""
        return len(self.order)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of the context that the network was built with."""
        return self.function.batch_shape

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of the network's input."""
        return self.function.program.in_dtype

    def astype(self, dtype: jnp.dtype) -> "TracedNetwork":
        """Returns the network itself: it was traced in its own dtype, and keeps it."""
        del dtype
        return self

    def __call__(self, u: Array) -> Array:
        """Returns the transformer parameters `[..., D, P]` at `u`, shape `[..., D]`."""
        return self.function(u)


@dataclasses.dataclass(frozen=True)
class Autoregressive:
    """Any autoregressive Haiku callable as the conditioner of an `IAF` or a `MAF`.

    What it returns for the dimension that comes `k`-th in `order` must depend on the context and on
    the `k - 1` dimensions before it alone; that is the caller's promise, and is not checked. For a
    flow that starts at the identity, let it start at zero. Nothing is known of its inside, so the
    sequential direction evaluates it until nothing changes, at most D times; its derivatives are
    exact and do not pass through that loop. On CPUs a `MADE` is far cheaper.

    Attributes:
        function: a Haiku callable, `[D] -> [D, P]`, or `[D + C] -> [D, P]` with a context, which
            comes last; P is the number of parameters of the transformer.
        event_size: D.
        order: as for `MADE`.
    """

    function: VectorFunction
    event_size: int
    order: degrees.Order = dataclasses.field(default="natural", kw_only=True)

    def network(self, num_params: int, context: Array | None = None) -> TracedNetwork:
        """Visits the callable once, and returns it at its parameters.

        Raises:
            ValueError: if the callable does not return `[D, P]`.
        """
        event_size = checks.positive_int("event_size", self.event_size)
        given = self.order if isinstance(self.order, str) else checks.concrete("order", self.order)
        order = degrees.resolve_order(event_size, given)
        function = trace(self.function, event_size, checks.context(context))
        if function.out_shape != (event_size, num_params):
            raise ValueError(
                f"`function` must return shape {(event_size, num_params)}, the parameters of each "
                f"dimension; it returned {function.out_shape}."
            )
        return TracedNetwork(function, order)
