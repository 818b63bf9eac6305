"""From layers to a flow."""

from collections.abc import Callable
from typing import Any

import distrax
import haiku as hk
import jax

from hkflows import checks
from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, Elementwise
from hkflows.distributions import FlowDistribution
from hkflows.transformers.affine import END

Array = jax.Array
Activation = Callable[[Array], Array]
ContextNetwork = Callable[[Array], Array]


def stack(
    event_size: int,
    layers: Callable[[Array | None], list[distrax.Bijector]],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns layers from a standard normal base, with a location and scale at the data end.

    Args:
        event_size: D.
        layers: builds them, from the context or its embedding.
        context_network: embeds the context; see `hkflows.flows`.
    """
    event_size = checks.positive_int("event_size", event_size)

    def bijector(context: Array | None) -> distrax.Bijector:
        return Chain([*layers(context), Elementwise(event_size, END, context=context)])

    return transformed(event_size, bijector, context_network)


def transformed(
    event_size: int,
    bijector: Callable[[Array | None], Any],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns a flow from a standard normal base, to be built with or without a context."""
    if context_network is not None:
        checks.function("context_network", context_network)

    def build(context: Array | None = None) -> FlowDistribution:
        context = checks.context(context)
        if context_network is not None:
            if context is None:
                raise ValueError("`context` must be given to a flow with a `context_network`.")
            context = context_network(context)
        return FlowDistribution(standard_normal(event_size), bijector(context))

    return hk.without_apply_rng(hk.transform(build))
