"""The flow that FlowJAX trains in both works, and its draws."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import masked_autoregressive_flow

Array = jax.Array


def build(
    event_size: int, num_layers: int, width: int, num_bins: int | None, *, fast_draws: bool
) -> Any:
    """Returns masked autoregressive layers, of splines if there is a number of bins."""
    return masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=Normal(jnp.zeros(event_size)),
        transformer=RationalQuadraticSpline(knots=num_bins, interval=5) if num_bins else None,
        flow_layers=num_layers,
        nn_width=width,
        nn_depth=2,
        invert=not fast_draws,
    )


@eqx.filter_jit
def sample(flow: Any, key: Array, num: int) -> tuple[Array, Array]:
    """Returns draws and their log densities."""
    return flow.sample_and_log_prob(key, (num,))
