"""Flows as Haiku transforms: what a fit asks of them."""

import functools
import inspect
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from hkflows.compilation import INSTANT, quick_jit
from hkflows.distributions import FlowDistribution

Array = jax.Array


def check_flow(flow: hk.Transformed) -> None:
    """Raises `ValueError` unless it is a flow."""
    if isinstance(flow, hk.TransformedWithState | hk.MultiTransformedWithState):
        raise ValueError("`flow` must have no Haiku state: `hk.transform`; got one with state.")
    if not callable(getattr(flow, "init", None)) or not callable(getattr(flow, "apply", None)):
        raise ValueError(
            "`flow` must be an `hk.Transformed` that builds a `FlowDistribution`, such as "
            f"`hkflows.flows.nsf(event_size)`; got {flow!r}."
        )
    if "rng" in inspect.signature(flow.apply).parameters:
        raise ValueError(
            "`flow` must build its distribution without a random key: wrap it in "
            "`hk.without_apply_rng`."
        )


def initial_params(
    flow: hk.Transformed, event_shape: tuple[int, ...], key: Array, *context: Array
) -> Any:
    """Returns fresh parameters of a flow.

    Args:
        flow: the flow.
        event_shape: that of what it is fitted to.
        key: a PRNG key.
        *context: contexts, `[B, C]`, if it takes any.

    Raises:
        ValueError: if the flow builds anything but a `FlowDistribution`, one with another event
            shape, or with another batch than that of the context.
    """
    params, event, batch = _params_and_shapes(flow, key, *context)
    batch_shape = tuple(array.shape[0] for array in context)
    if event.shape != event_shape:
        raise ValueError(
            f"`flow` must have event shape {event_shape}, as what it is fitted to; "
            f"got {event.shape}."
        )
    if batch.shape != batch_shape:
        raise ValueError(
            f"`flow` must have the batch shape of its context, here {batch_shape}; "
            f"got {batch.shape}."
        )
    return params


@functools.partial(quick_jit, options=INSTANT, static_argnames="flow")
def _params_and_shapes(
    flow: hk.Transformed, key: Array, *context: Array
) -> tuple[Any, Array, Array]:
    try:
        params = flow.init(key, *context)
        q = flow.apply(params, *context)
    except TypeError as error:
        given = "the `context` that is given" if context else "no `context`"
        raise ValueError(f"`flow` must build a distribution from {given}: {error}") from error
    if not isinstance(q, FlowDistribution):
        raise ValueError(f"`flow` must build a `FlowDistribution`; it built {q!r}.")
    return params, jnp.zeros(q.event_shape), jnp.zeros(q.batch_shape)
