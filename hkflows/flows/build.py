"""From layers to a flow."""

from collections.abc import Callable, Sequence
from typing import Any

import distrax
import haiku as hk
import jax

from hkflows import checks
from hkflows.bases import standard_normal
from hkflows.bijectors import Chain, Elementwise, Repeated
from hkflows.conditioners import MLP
from hkflows.distributions import FlowDistribution
from hkflows.transformers.affine import END

Array = jax.Array
Activation = Callable[[Array], Array]
ContextNetwork = Callable[[Array], Array] | Sequence[int]
Layer = Callable[[Array | None], distrax.Bijector]  # builds one from the context

DEEP = 8  # layers, from which on a scan over them is as quick as running them one by one


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


def take_turns(
    kinds: Sequence[Layer], num_layers: int, context: Array | None
) -> list[distrax.Bijector]:
    """Returns so many layers of these kinds in turn, compiled as one turn where they are many.

    Args:
        kinds: the layers of a turn.
        num_layers: L, at least one.
        context: `[..., C]` or `None`.
    """
    checks.positive_int("num_layers", num_layers)
    if num_layers < DEEP:
        return [kinds[index % len(kinds)](context) for index in range(num_layers)]
    turns, rest = divmod(num_layers, len(kinds))
    repeated = Repeated(
        lambda context: Chain([kind(context) for kind in kinds]), turns, context=context
    )
    return [repeated, *(kind(context) for kind in kinds[:rest])]


def transformed(
    event_size: int,
    bijector: Callable[[Array | None], Any],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns a flow from a standard normal base, to be built with or without a context."""
    if isinstance(context_network, Sequence):
        hidden_sizes = checks.positive_ints("context_network", context_network)
        context_network = lambda context: MLP(hidden_sizes)(context)  # noqa: E731
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
