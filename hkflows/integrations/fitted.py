"""A target and the flow that was fitted to it."""

from typing import Any

from hkflows.distributions import FlowDistribution
from hkflows.targets import Target


def check_fitted(target: Any, distribution: Any) -> None:
    """Raises `ValueError` unless the distribution is one flow on the target's vectors."""
    if not isinstance(target, Target):
        raise ValueError(f"`target` must be a `hkflows.Target`; got {target!r}.")
    if target.takes_data:
        raise ValueError(
            "`target` must be the density given all data, not one that takes batches of them. "
            "Bind the data: `hkflows.Target(lambda z: target.log_density(z, data), "
            "target.event_size, target.constrain)`."
        )
    if not isinstance(distribution, FlowDistribution):
        raise ValueError(
            "`distribution` must be a `hkflows.FlowDistribution`, such as `fit.distribution`; "
            f"got {distribution!r}."
        )
    if distribution.event_shape != (target.event_size,) or distribution.batch_shape != ():
        raise ValueError(
            f"`distribution` must have event shape ({target.event_size},) and no batch, as the "
            f"target; got {distribution.event_shape} and {distribution.batch_shape}."
        )
