"""Flows of couplings."""

import functools
from collections.abc import Callable, Sequence

import distrax
import haiku as hk
import jax
import numpy as np
from jax.typing import DTypeLike

from hkflows import checks
from hkflows.bijectors import Chain, Coupling, Elementwise, Permutation
from hkflows.conditioners import MLP
from hkflows.flows.build import Activation, ContextNetwork, stack, take_turns
from hkflows.presets import preset
from hkflows.transformers import Additive, Affine, Transformer

Array = jax.Array

NUM_ORDERS = 2


@preset
def nice(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jax.nn.relu,
    matmul_dtype: DTypeLike | None = None,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns additive couplings of alternating halves (Dinh et al. 2015, arXiv:1410.8516).

    Both directions cost one pass a layer.

    Args:
        event_size: D.
        num_layers: the number of couplings.
        hidden_sizes: hidden widths of each conditioner.
        activation: the function between their layers.
        matmul_dtype: as for `MLP`.
        context_network: see `hkflows.flows`.
    """
    network = functools.partial(MLP, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype)
    return couplings(event_size, Additive(), num_layers, network, context_network)


@preset
def realnvp(
    event_size: int,
    *,
    num_layers: int = 6,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jax.nn.relu,
    matmul_dtype: DTypeLike | None = None,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns affine couplings of alternating halves (Dinh et al. 2017, arXiv:1605.08803).

    Both directions cost one pass a layer.

    Args:
        event_size: D.
        num_layers: the number of couplings.
        hidden_sizes: hidden widths of each conditioner.
        activation: the function between their layers.
        matmul_dtype: as for `MLP`.
        context_network: see `hkflows.flows`.
    """
    network = functools.partial(MLP, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype)
    return couplings(event_size, Affine(), num_layers, network, context_network)


def couplings(
    event_size: int,
    transformer: Transformer,
    num_layers: int,
    network: Callable[[], MLP],
    context_network: ContextNetwork | None,
) -> hk.Transformed:
    """Returns couplings of alternating halves, the dimensions shuffled before every other one."""
    event_size = checks.positive_int("event_size", event_size)
    checks.positive_int("num_layers", num_layers)
    first_half = np.arange(event_size) < event_size // 2

    def layer(seed: int | None, mask: np.ndarray, context: Array | None) -> distrax.Bijector:
        coupling = Coupling(network(), transformer, mask=mask, context=context)
        shuffle = [] if seed is None else [Permutation.random(event_size, seed=seed)]
        return Chain([*shuffle, coupling])

    # Two couplings change every dimension; a random order before them lets every pair meet early.
    # A single dimension depends on the context alone.
    kinds = [
        functools.partial(layer, *settings)
        for seed in range(NUM_ORDERS)
        for settings in ((seed, first_half), (None, ~first_half))
        if not settings[1].all()
    ]

    def layers(context: Array | None) -> list[distrax.Bijector]:
        if event_size == 1 and context is None:  # no other dimension to see
            return [Elementwise(1, transformer)]
        return take_turns(kinds, num_layers, context)

    return stack(event_size, layers, context_network)
