"""The flow of the default recipe, and what a flow becomes around a Gaussian."""

from typing import Any

import haiku as hk
import jax

from hkflows.bases import standard_normal
from hkflows.bijectors import IAF, RQS, Chain, TriangularAffine
from hkflows.conditioners import MADE
from hkflows.distributions import FlowDistribution
from hkflows.presets import preset
from hkflows.training.affine import MAX_DENSE_SIZE

Array = jax.Array


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


@preset
def around(
    flow: hk.Transformed, gaussian: FlowDistribution, of_context: FlowDistribution | None = None
) -> hk.Transformed:
    """Returns the flow followed by the affine map of a Gaussian, which is not trained.

    Args:
        flow: a flow that starts as the identity, or close to it.
        gaussian: such as `fit_gaussian` gives.
        of_context: if given, the Gaussian by whose affine map the flow's contexts become those of
            the result.
    """

    def inner(context: Any) -> tuple[Any, ...]:
        """Returns the arguments that the flow gets for a context."""
        if context is None:
            return ()
        return (context if of_context is None else of_context.bijector.inverse(context),)

    def init(key: Array, context: Any = None) -> Any:
        return flow.init(key, *inner(context))

    def apply(params: Any, context: Any = None) -> FlowDistribution:
        q = flow.apply(params, *inner(context))
        return FlowDistribution(q.base, Chain([q.bijector, gaussian.bijector]))

    return hk.Transformed(init, apply)


@preset
def unmoved(gaussian: FlowDistribution) -> hk.Transformed:
    """Returns the flow that has nothing to train.

    Args:
        gaussian: what it is.
    """
    return hk.without_apply_rng(hk.transform(lambda: gaussian))
