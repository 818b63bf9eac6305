"""The linear-rational spline as a scalar map."""

import dataclasses

import jax

from hkflows.kernels import linear_rational
from hkflows.transformers.spline import BoxSpline

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class LinearRational(BoxSpline):
    """A monotone linear-rational spline on `(-bound, bound)`, the identity outside.

    Its parameters are the unconstrained widths (K) and heights (K) of the bins, where each bin is
    cut in two (K), and the slopes (K - 1) at the inner knots; the slopes at both ends are one, so
    the map is continuously differentiable everywhere. A piece is a quotient of two linear
    functions, and so is its inverse: neither direction takes a square root.

    Attributes:
        num_bins: K, from 1 to 512.
        bound: half-width of the box, in units of the input. The map does nothing to what lies
            outside, so scale the data to fit well within.

    References:
        Dolatabadi, Erfani & Leckie (2020), "Invertible generative modeling using linear rational
        splines", section 3.2, arXiv:2001.05168.
    """

    @property
    def num_params(self) -> int:
        """P = 4 K - 1."""
        return linear_rational.num_params(self.num_bins)

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the spline and the log of its slope at `x`."""
        return linear_rational.forward(x, params, self.num_bins, self.bound)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the inverse of the spline and the log of its slope at `y`."""
        return linear_rational.inverse(y, params, self.num_bins, self.bound)
