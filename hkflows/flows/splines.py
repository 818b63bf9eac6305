"""Flows of splines."""

import functools
from collections.abc import Sequence

import haiku as hk
import jax
from jax.typing import DTypeLike

from hkflows import checks
from hkflows.bijectors import MAF
from hkflows.conditioners import MADE, MLP
from hkflows.flows.autoregressive import autoregressive
from hkflows.flows.build import Activation, ContextNetwork
from hkflows.flows.couplings import couplings
from hkflows.presets import preset
from hkflows.transformers import RationalQuadratic


@preset
def nsf(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    num_bins: int = 8,
    bound: float = 5.0,
    coupling: bool = True,
    activation: Activation = jax.nn.relu,
    matmul_dtype: DTypeLike | None = None,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns a neural spline flow (Durkan et al. 2019, arXiv:1906.04032).

    Args:
        event_size: D.
        num_layers: the number of layers.
        hidden_sizes: hidden widths of each conditioner.
        num_bins: bins of each spline.
        bound: half-width of the box outside which the splines are the identity.
        coupling: true for couplings (both directions cost one pass a layer), false for `MAF`
            layers (sampling is sequential).
        activation: the function between the layers of each conditioner.
        matmul_dtype: as for `MADE`.
        context_network: see `hkflows.flows`.
    """
    transformer = RationalQuadratic(num_bins=num_bins, bound=bound)
    checks.boolean("coupling", coupling)
    if coupling:
        features = functools.partial(
            MLP, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype
        )
        return couplings(event_size, transformer, num_layers, features, context_network)
    network = functools.partial(
        MADE, event_size, hidden_sizes, activation=activation, matmul_dtype=matmul_dtype
    )
    return autoregressive(MAF, event_size, transformer, num_layers, network, context_network)
