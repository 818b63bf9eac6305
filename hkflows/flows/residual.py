"""Flows of many small steps, made for sampling: planar, radial, Sylvester."""

import functools
from collections.abc import Callable

import distrax
import haiku as hk
import jax

from hkflows import checks
from hkflows.bijectors import Planar, Radial, Sylvester
from hkflows.flows.build import ContextNetwork, stack, take_turns
from hkflows.presets import preset

Array = jax.Array


@preset
def planar(
    event_size: int,
    *,
    num_layers: int = 16,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns steps across planes (Rezende & Mohamed 2015, arXiv:1505.05770).

    Sampling costs a few products of D a layer; scoring other points a root of one variable each.

    Args:
        event_size: D.
        num_layers: the number of planes.
        context_network: see `hkflows.flows`.
    """
    return _repeated(
        event_size,
        num_layers,
        lambda context: Planar(event_size, context=context),
        context_network,
    )


@preset
def radial(
    event_size: int,
    *,
    num_layers: int = 16,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns pulls towards points, and pushes away (Rezende & Mohamed 2015, arXiv:1505.05770).

    Both directions cost a few products of D a layer.

    Args:
        event_size: D.
        num_layers: the number of points.
        context_network: see `hkflows.flows`.
    """
    return _repeated(
        event_size,
        num_layers,
        lambda context: Radial(event_size, context=context),
        context_network,
    )


@preset
def sylvester(
    event_size: int,
    *,
    num_layers: int = 4,
    rank: int | None = None,
    num_reflections: int = 4,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns steps within subspaces (van den Berg et al. 2018, arXiv:1803.05649).

    Sampling costs a few products of D `rank` a layer; scoring other points `rank` roots of one
    variable each, in turn.

    Args:
        event_size: D.
        num_layers: the number of layers.
        rank: the dimension of each subspace; by default D.
        num_reflections: reflections that make each frame.
        context_network: see `hkflows.flows`.
    """

    def layer(context: Array | None) -> Sylvester:
        return Sylvester(event_size, rank=rank, num_reflections=num_reflections, context=context)

    return _repeated(event_size, num_layers, layer, context_network)


def _repeated(
    event_size: int,
    num_layers: int,
    layer: Callable[[Array | None], distrax.Bijector],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns layers of a kind, one after the other."""
    num_layers = checks.positive_int("num_layers", num_layers)
    return stack(event_size, functools.partial(take_turns, [layer], num_layers), context_network)
