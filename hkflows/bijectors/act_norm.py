"""A location and a scale for each dimension, that may start at those of data."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bijectors.per_dimension import PerDimension
from hkflows.conditioners import parameters
from hkflows.kernels.moments import location_and_scale
from hkflows.transformers.affine import END

Array = jax.Array


class ActNorm(PerDimension):
    """A location and a scale for each dimension, that may start at those of data.

    Forward: `y = x exp(s) + a`, `log|det dy/dx| = sum_i s_i`.
    Inverse: `x = (y - a) exp(-s)`, `log|det dx/dy| = -sum_i s_i`.

    Data have a say where the parameters start, and only there: `flow.init` sees them, `flow.apply`
    does not use them, and needs none. They lie on the side of `y`: those of the last layer of a
    flow are the data themselves, those of an earlier one are pulled back through what comes after,
    which is therefore built first:

        @hk.transform
        def flow(data=None):
            last = hkflows.ActNorm(2, data=data)
            coupling = hkflows.Coupling(hkflows.MLP([64]), mask=[True, False])
            if data is not None:
                data = coupling.inverse(last.inverse(data))
            first = hkflows.ActNorm(2, data=data)
            bijector = hkflows.Chain([first, coupling, last])
            return hkflows.FlowDistribution(hkflows.standard_normal(2), bijector)

        params = flow.init(key, data)
        q = flow.apply(params, None)

    Args:
        event_size: D.
        data: `[..., D]`, finite; the map starts where their inverse images have mean zero and
            standard deviation one, at the identity without them. A dimension that does not vary
            keeps its scale.
        context: `[..., C]`; location and log-scale then depend on it linearly too.

    Raises:
        ValueError: if `data` are no event vectors, or not finite where that can be seen.

    References:
        Kingma & Dhariwal (2018), "Glow", section 3.1, arXiv:1807.03039.
    """

    def __init__(self, event_size: int, *, data: Array | None = None, context: Array | None = None):
        D = checks.positive_int("event_size", event_size)
        init: Callable[..., Array] = jnp.zeros
        if data is not None:
            rows = checks.event("data", data, D).reshape(-1, D)
            if not len(rows):
                raise ValueError(f"`data` must hold at least one event vector; got {data.shape}.")
            init = functools.partial(_standardising, rows)
        super().__init__(END, parameters("act_norm", (D, END.num_params), context, init))


def _standardising(rows: Array, shape: Sequence[int], dtype: jnp.dtype) -> Array:
    """Returns the parameters, `[D, 2]`, whose map has `rows`, `[N, D]`, from standardised ones."""
    if not isinstance(rows, jax.core.Tracer):
        checks.all_finite("data", rows)
    location, scale = location_and_scale(rows)
    return END.params_of(location, jnp.log(scale)).astype(dtype)
