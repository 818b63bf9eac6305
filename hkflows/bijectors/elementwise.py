"""The element-wise arrangement: each dimension on its own."""

import functools
from collections.abc import Callable, Sequence

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.kernels.moments import location_and_scale
from hkflows.transformers import RationalQuadratic, Transformer, check_transformer
from hkflows.transformers.affine import END

Array = jax.Array


class _PerDimension(distrax.Bijector):
    """A scalar map for each dimension, at parameters `[..., D, P]`."""

    def __init__(self, transformer: Transformer, params: Array):
        super().__init__(event_ndims_in=1)
        self._transformer = transformer
        self._params = params

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        x = checks.event("x", x, self._params.shape[-2])
        y, log_derivative = self._transformer.forward(x, self._params)
        return y, jnp.sum(log_derivative, axis=-1)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        y = checks.event("y", y, self._params.shape[-2])
        x, log_derivative = self._transformer.inverse(y, self._params)
        return x, jnp.sum(log_derivative, axis=-1)

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """Carries the gradient of a log-density by two derivatives; see `bijectors.score`.

        The Jacobian is diagonal: `s_y = (s_x - d log tau'(x) / dx) / tau'(x)`.
        """
        x = checks.event("x", x, self._params.shape[-2])
        (y, log_derivative), (slope, bend) = jax.jvp(
            lambda x: self._transformer.forward(x, self._params), (x,), (jnp.ones_like(x),)
        )
        return y, jnp.sum(log_derivative, axis=-1), (score - bend) / slope


class Elementwise(_PerDimension):
    """Transforms each dimension by a scalar map with trainable parameters of its own.

    Forward: `y_i = tau(x_i; h_i)`, `log|det dy/dx| = sum_i log tau'(x_i; h_i)`.
    Inverse: `x_i = tau^{-1}(y_i; h_i)`, `log|det dx/dy| = -sum_i log tau'(x_i; h_i)`.

    Args:
        event_size: D.
        transformer: the scalar map tau.
        context: `[..., C]`; the parameters `h` then depend on it linearly, and its leading
            dimensions are the batch of the bijector.
    """

    def __init__(self, event_size: int, transformer: Transformer, *, context: Array | None = None):
        check_transformer(transformer)
        shape = (checks.positive_int("event_size", event_size), transformer.num_params)
        super().__init__(transformer, parameters("elementwise", shape, context))


class RQS(Elementwise):
    """The element-wise rational-quadratic spline.

    Args:
        event_size: D.
        num_bins: K.
        bound: half-width of the box outside which the map is the identity.
        context: as for `Elementwise`.
    """

    def __init__(
        self,
        event_size: int,
        *,
        num_bins: int = 8,
        bound: float = 5.0,
        context: Array | None = None,
    ):
        super().__init__(event_size, RationalQuadratic(num_bins, bound), context=context)


class ActNorm(_PerDimension):
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
