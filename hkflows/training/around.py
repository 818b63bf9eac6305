"""Flows around a Gaussian that is not trained."""

from typing import Any

import haiku as hk
import jax

from hkflows.bijectors import Chain
from hkflows.distributions import FlowDistribution
from hkflows.presets import preset

Array = jax.Array


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
