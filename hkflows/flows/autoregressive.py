"""Autoregressive flows."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import distrax
import haiku as hk
import jax
from jax.typing import DTypeLike

from hkflows import checks
from hkflows.bijectors import IAF, MAF
from hkflows.conditioners import MADE
from hkflows.flows.build import Activation, ContextNetwork, stack, take_turns
from hkflows.presets import preset
from hkflows.transformers import Affine, Transformer

Array = jax.Array
Order = Literal["natural", "reverse"]


@preset
def iaf(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    transformer: Transformer = Affine(),  # noqa: B008
    activation: Activation = jax.nn.relu,
    matmul_dtype: DTypeLike | None = None,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns inverse autoregressive layers of alternating order (Kingma et al. 2016).

    Sampling with the draws' own density costs one pass a layer; scoring other points is sequential.

    Args:
        event_size: D.
        num_layers: the number of layers.
        hidden_sizes: hidden widths of each `MADE`.
        transformer: the scalar map.
        activation: the function between the layers of each `MADE`.
        matmul_dtype: as for `MADE`.
        context_network: see `hkflows.flows`.

    References:
        arXiv:1606.04934.
    """
    network = functools.partial(
        MADE, event_size, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype
    )
    return autoregressive(IAF, event_size, transformer, num_layers, network, context_network)


@preset
def maf(
    event_size: int,
    *,
    num_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    transformer: Transformer = Affine(),  # noqa: B008
    activation: Activation = jax.nn.relu,
    matmul_dtype: DTypeLike | None = None,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns masked autoregressive layers of alternating order (Papamakarios et al. 2017).

    Scoring costs one pass a layer; sampling is sequential.

    Args:
        event_size: D.
        num_layers: the number of layers.
        hidden_sizes: hidden widths of each `MADE`.
        transformer: the scalar map.
        activation: the function between the layers of each `MADE`.
        matmul_dtype: as for `MADE`.
        context_network: see `hkflows.flows`.

    References:
        arXiv:1705.07057.
    """
    network = functools.partial(
        MADE, event_size, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype
    )
    return autoregressive(MAF, event_size, transformer, num_layers, network, context_network)


def autoregressive(
    arrangement: type[IAF] | type[MAF],
    event_size: int,
    transformer: Transformer,
    num_layers: int,
    network: Callable[..., MADE],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns layers of a kind, their networks, each made by `network(order=...)`, alternating."""
    checks.positive_int("num_layers", num_layers)

    def layer(order: Order, context: Array | None) -> distrax.Bijector:
        return arrangement(network(order=order), transformer, context=context)

    kinds = [functools.partial(layer, "natural"), functools.partial(layer, "reverse")]
    return stack(event_size, functools.partial(take_turns, kinds, num_layers), context_network)
