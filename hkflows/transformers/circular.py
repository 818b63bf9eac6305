"""The circular rational-quadratic spline as a scalar map of angles."""

import dataclasses

import jax

from hkflows.kernels import circular
from hkflows.transformers.base import Transformer
from hkflows.transformers.spline import check_num_bins

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class CircularRationalQuadratic(Transformer):
    """A smooth increasing map of the circle onto itself: a periodic spline, then a turn.

    Angles are in radians. Inputs are reduced modulo `2 pi`; outputs lie in `[-pi, pi)`. So the base
    lives on the circle too, most simply uniform on `(-pi, pi)`: two points of a wider base would
    land on one angle. A conditioner should see an angle as its cosine and sine, or the density
    jumps where the circle is cut.

    The parameters are the unconstrained widths (K) and heights (K) of the bins, the slopes (K) at
    the knots, of which the two ends share one, and the turn.

    Attributes:
        num_bins: K, from 1 to 512.

    References:
        Rezende, Papamakarios, Racaniere, Albergo, Kanwar, Shanahan & Cranmer (2020), "Normalizing
        flows on tori and spheres", section 2.1.2, arXiv:2002.02428.
    """

    num_bins: int = 8

    def __post_init__(self) -> None:
        check_num_bins(self.num_bins)

    @property
    def num_params(self) -> int:
        """P = 3 K + 1."""
        return circular.num_params(self.num_bins)

    def forward(self, x: Array, params: Array) -> tuple[Array, Array]:
        """Returns the angle that `x` is mapped to and the log of the slope there."""
        return circular.forward(x, params, self.num_bins)

    def inverse(self, y: Array, params: Array) -> tuple[Array, Array]:
        """Returns the angle that is mapped to `y` and minus the log of the slope there."""
        return circular.inverse(y, params, self.num_bins)
