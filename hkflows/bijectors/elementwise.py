"""The element-wise arrangement: each dimension on its own."""

import jax

from hkflows import checks
from hkflows.bijectors.per_dimension import PerDimension
from hkflows.conditioners import parameters
from hkflows.transformers import RationalQuadratic, Transformer, check_transformer

Array = jax.Array


class Elementwise(PerDimension):
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
