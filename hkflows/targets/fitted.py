"""A target and the flow that was fitted to it."""

from typing import Any

from hkflows.distributions import FlowDistribution
from hkflows.targets.target import Target


def check_fitted(target: Any, distribution: Any, name: str = "distribution") -> None:
    """Raises `ValueError` unless the distribution is one flow on the target's vectors.

    Args:
        target: a target that takes no data.
        distribution: a flow on its vectors, without a batch.
        name: what the caller calls the distribution.
    """
    if not isinstance(target, Target):
        raise ValueError(f"`target` must be a `hkflows.Target`; got {target!r}.")
    if target.takes_data:
        raise ValueError(
            "`target` must be the density given all data, not one that takes batches of them. "
            "Bind the data: `dataclasses.replace(target, log_density=lambda z: "
            "target.log_density(z, data))`."
        )
    if not isinstance(distribution, FlowDistribution):
        raise ValueError(
            f"`{name}` must be a `hkflows.FlowDistribution`, such as `fit.distribution`; "
            f"got {distribution!r}."
        )
    if distribution.event_shape != (target.event_size,) or distribution.batch_shape != ():
        raise ValueError(
            f"`{name}` must have event shape ({target.event_size},) and no batch, as the "
            f"target; got {distribution.event_shape} and {distribution.batch_shape}."
        )
