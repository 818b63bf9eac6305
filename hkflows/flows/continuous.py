"""Continuous flows."""

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hkflows.bijectors import FFJORD
from hkflows.conditioners import MLP
from hkflows.flows.build import Activation, ContextNetwork, stack
from hkflows.presets import preset

Array = jax.Array


@preset
def ffjord(
    event_size: int,
    *,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jnp.tanh,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    context_network: ContextNetwork | None = None,
) -> hk.Transformed:
    """Returns a continuous flow with exact traces (Grathwohl et al. 2019): the extra `ode`.

    Either direction costs some tens of evaluations of the field, each with D derivatives. Estimated
    traces need a key at each step of training: build an `hkflows.FFJORD` in a transform with one.

    Args:
        event_size: D.
        hidden_sizes: hidden widths of the vector field.
        activation: the function between its layers.
        rtol: the relative error of a step of the solver.
        atol: the absolute one.
        context_network: see `hkflows.flows`.

    References:
        arXiv:1810.01367.
    """

    def layers(context: Array | None) -> list[FFJORD]:
        field = MLP(hidden_sizes, activation=activation)
        return [FFJORD(event_size, field, context=context, rtol=rtol, atol=atol)]

    return stack(event_size, layers, context_network)
