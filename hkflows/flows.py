"""Ready-made flows: each returns an `hk.Transformed` that builds a `FlowDistribution`.

`params = flow.init(key, context)` and `q = flow.apply(params, context)`; `context` may be left out.
Every flow starts as the standard normal distribution, and ends in a trainable location and scale
per dimension, so that it reaches posteriors and data of any unit of measurement.
"""

from collections.abc import Callable, Sequence
from typing import Any

import distrax
import haiku as hk
import jax
import numpy as np

from hkflows import checks
from hkflows.bases import standard_normal
from hkflows.bijectors import (
    IAF,
    MAF,
    Chain,
    Coupling,
    Elementwise,
    Permutation,
    TriangularAffine,
)
from hkflows.conditioners import MADE, MLP
from hkflows.distributions import FlowDistribution
from hkflows.transformers import Additive, Affine, RationalQuadratic, Transformer
from hkflows.transformers.affine import END

Array = jax.Array
Activation = Callable[[Array], Array]


def mean_field(event_size: int) -> hk.Transformed:
    """Returns a Gaussian with independent dimensions.

    Args:
        event_size: D.
    """
    return _flow(event_size, lambda context: [])


def gaussian(event_size: int) -> hk.Transformed:
    """Returns a Gaussian with a full covariance matrix.

    Args:
        event_size: D.
    """
    event_size = checks.positive_int("event_size", event_size)
    return _transformed(event_size, lambda context: TriangularAffine(event_size, context=context))


def nice(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jax.nn.relu,
) -> hk.Transformed:
    """Returns additive couplings of alternating halves (Dinh et al. 2015, arXiv:1410.8516).

    Both directions cost one pass a layer.

    Args:
        event_size: D.
        num_layers: the number of couplings.
        hidden_sizes: hidden widths of each conditioner.
        activation: the function between their layers.
    """
    return _couplings(event_size, Additive(), num_layers, hidden_sizes, activation)


def realnvp(
    event_size: int,
    *,
    num_layers: int = 6,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jax.nn.relu,
) -> hk.Transformed:
    """Returns affine couplings of alternating halves (Dinh et al. 2017, arXiv:1605.08803).

    Both directions cost one pass a layer.

    Args:
        event_size: D.
        num_layers: the number of couplings.
        hidden_sizes: hidden widths of each conditioner.
        activation: the function between their layers.
    """
    return _couplings(event_size, Affine(), num_layers, hidden_sizes, activation)


def iaf(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    transformer: Transformer = Affine(),  # noqa: B008
    activation: Activation = jax.nn.relu,
) -> hk.Transformed:
    """Returns inverse autoregressive layers of alternating order (Kingma et al. 2016).

    Sampling with the draws' own density costs one pass a layer; scoring other points is sequential.

    Args:
        event_size: D.
        num_layers: the number of layers.
        hidden_sizes: hidden widths of each `MADE`.
        transformer: the scalar map.
        activation: the function between the layers of each `MADE`.

    References:
        arXiv:1606.04934.
    """
    return _autoregressive(IAF, event_size, transformer, num_layers, hidden_sizes, activation)


def maf(
    event_size: int,
    *,
    num_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    transformer: Transformer = Affine(),  # noqa: B008
    activation: Activation = jax.nn.relu,
) -> hk.Transformed:
    """Returns masked autoregressive layers of alternating order (Papamakarios et al. 2017).

    Scoring costs one pass a layer; sampling is sequential.

    Args:
        event_size: D.
        num_layers: the number of layers.
        hidden_sizes: hidden widths of each `MADE`.
        transformer: the scalar map.
        activation: the function between the layers of each `MADE`.

    References:
        arXiv:1705.07057.
    """
    return _autoregressive(MAF, event_size, transformer, num_layers, hidden_sizes, activation)


def nsf(
    event_size: int,
    *,
    num_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    num_bins: int = 8,
    bound: float = 5.0,
    coupling: bool = True,
    activation: Activation = jax.nn.relu,
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
    """
    transformer = RationalQuadratic(num_bins=num_bins, bound=bound)
    if coupling:
        return _couplings(event_size, transformer, num_layers, hidden_sizes, activation)
    return _autoregressive(MAF, event_size, transformer, num_layers, hidden_sizes, activation)


def _autoregressive(
    arrangement: type[IAF] | type[MAF],
    event_size: int,
    transformer: Transformer,
    num_layers: int,
    hidden_sizes: Sequence[int],
    activation: Activation,
) -> hk.Transformed:
    checks.positive_int("num_layers", num_layers)

    def layers(context: Array | None) -> list[distrax.Bijector]:
        return [
            arrangement(
                MADE(
                    event_size,
                    hidden_sizes,
                    order="reverse" if index % 2 else "natural",
                    activation=activation,
                ),
                transformer,
                context=context,
            )
            for index in range(num_layers)
        ]

    return _flow(event_size, layers)


def _couplings(
    event_size: int,
    transformer: Transformer,
    num_layers: int,
    hidden_sizes: Sequence[int],
    activation: Activation,
) -> hk.Transformed:
    checks.positive_int("num_layers", num_layers)

    def layers(context: Array | None) -> list[distrax.Bijector]:
        if event_size == 1 and context is None:  # no other dimension to see
            return [Elementwise(1, transformer)]
        # A random order between the couplings lets every pair of dimensions meet early.
        return [
            link
            for index in range(num_layers)
            for link in (
                Permutation.random(event_size, seed=index),
                Coupling(
                    MLP(hidden_sizes, activation=activation),
                    transformer,
                    mask=np.arange(event_size) < event_size // 2,
                    context=context,
                ),
            )
        ]

    return _flow(event_size, layers)


def _flow(
    event_size: int, layers: Callable[[Array | None], list[distrax.Bijector]]
) -> hk.Transformed:
    """Puts a trainable location and scale at the data end of the layers."""
    event_size = checks.positive_int("event_size", event_size)
    return _transformed(
        event_size,
        lambda context: Chain([*layers(context), Elementwise(event_size, END, context=context)]),
    )


def _transformed(event_size: int, bijector: Callable[[Array | None], Any]) -> hk.Transformed:
    """Returns the flow from a standard normal base, to be built with or without a context."""

    def build(context: Array | None = None) -> FlowDistribution:
        return FlowDistribution(standard_normal(event_size), bijector(context))

    return hk.without_apply_rng(hk.transform(build))
