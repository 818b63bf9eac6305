"""Gaussians."""

import haiku as hk

from hkflows import checks
from hkflows.bijectors import TriangularAffine
from hkflows.flows.build import ContextNetwork, stack, transformed
from hkflows.presets import preset


@preset
def mean_field(event_size: int, *, context_network: ContextNetwork | None = None) -> hk.Transformed:
    """Returns a Gaussian with independent dimensions.

    Args:
        event_size: D.
        context_network: see `hkflows.flows`.
    """
    return stack(event_size, lambda context: [], context_network)


@preset
def gaussian(event_size: int, *, context_network: ContextNetwork | None = None) -> hk.Transformed:
    """Returns a Gaussian with a full covariance matrix.

    Args:
        event_size: D.
        context_network: see `hkflows.flows`.
    """
    event_size = checks.positive_int("event_size", event_size)
    return transformed(
        event_size,
        lambda context: TriangularAffine(event_size, context=context),
        context_network,
    )
