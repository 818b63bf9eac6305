"""The piecewise-linear spline as a scalar map."""

import dataclasses

import jax

from hkflows.kernels import piecewise_linear
from hkflows.transformers.spline import BoxSpline

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class PiecewiseLinear(BoxSpline):
    """A monotone piecewise-linear spline on `(-bound, bound)`, the identity outside.

    Its parameters are the unconstrained widths (K) and heights (K) of the bins. It is the cheapest
    of the splines, and the density that it makes jumps at every knot.

    Attributes:
        num_bins: K, from 1 to 512.
        bound: half-width of the box, in units of the input. The map does nothing to what lies
            outside, so scale the data to fit well within.

    References:
        Mueller, McWilliams, Rousselle, Gross & Novak (2019), "Neural importance sampling", section
        4.2, arXiv:1808.03856; there the widths are equal.
    """

    @property
    def num_params(self) -> int:
        """P = 2 K."""
        return piecewise_linear.num_params(self.num_bins)

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the spline and the log of its slope at `x`."""
        return piecewise_linear.forward(x, params, self.num_bins, self.bound)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the inverse of the spline and the log of its slope at `y`."""
        return piecewise_linear.inverse(y, params, self.num_bins, self.bound)
