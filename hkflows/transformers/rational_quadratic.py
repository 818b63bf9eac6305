"""The rational-quadratic spline as a scalar map."""

import dataclasses

import jax

from hkflows.kernels import rational_quadratic
from hkflows.transformers.spline import BoxSpline

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class RationalQuadratic(BoxSpline):
    """A monotone rational-quadratic spline on `(-bound, bound)`, the identity outside.

    Its parameters are the unconstrained widths (K) and heights (K) of the bins and the slopes
    (K - 1) at the inner knots; the slopes at both ends are one, so the map is continuously
    differentiable everywhere. Forward and inverse are closed forms of the same cost.

    Attributes:
        num_bins: K, from 1 to 512.
        bound: half-width of the box, in units of the input. The map does nothing to what lies
            outside, so scale the data to fit well within.

    References:
        Durkan, Bekasov, Murray & Papamakarios (2019), "Neural spline flows", section 3.1,
        arXiv:1906.04032.
    """

    @property
    def num_params(self) -> int:
        """P = 3 K - 1."""
        return rational_quadratic.num_params(self.num_bins)

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the spline and the log of its slope at `x`."""
        return rational_quadratic.forward(x, params, self.num_bins, self.bound)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the inverse of the spline and the log of its slope at `y`."""
        return rational_quadratic.inverse(y, params, self.num_bins, self.bound)
