"""The flow of the default recipe."""

import haiku as hk
import jax

from hkflows.bases import standard_normal
from hkflows.bijectors import IAF, RQS, Chain, TriangularAffine
from hkflows.conditioners import MADE
from hkflows.distributions import FlowDistribution
from hkflows.presets import preset
from hkflows.training.gaussians import MAX_DENSE_SIZE


@preset
def default_flow(event_size: int) -> hk.Transformed:
    """Returns the flow of the default recipe: splines, three `IAF`s, and a triangular matrix.

    The matrix is the linear part of how dimensions depend on each other, which the networks would
    have to approximate. Beyond 500 dimensions there is none.

    Args:
        event_size: D.
    """
    width = min(max(4 * event_size, 64), 128)

    def build() -> FlowDistribution:
        layers = [
            IAF(MADE(event_size, (width, width), order=order, activation=jax.nn.silu))
            for order in ("natural", "reverse", "natural")
        ]
        last = [TriangularAffine(event_size)] if event_size <= MAX_DENSE_SIZE else []
        bijector = Chain([RQS(event_size), *layers, *last])
        return FlowDistribution(standard_normal(event_size), bijector)

    return hk.without_apply_rng(hk.transform(build))
