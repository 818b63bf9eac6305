"""What the splines on a box have in common."""

import dataclasses

from hkflows import checks
from hkflows.transformers.base import Transformer


@dataclasses.dataclass(frozen=True)
class BoxSpline(Transformer):
    """A monotone spline of `num_bins` bins on `(-bound, bound)`, the identity outside."""

    num_bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        check_num_bins(self.num_bins)
        checks.positive_float("bound", self.bound)


def check_num_bins(num_bins: int) -> None:
    """Raises `ValueError` unless the smallest bins allowed leave room for others."""
    if checks.positive_int("num_bins", num_bins) > 512:
        raise ValueError(f"`num_bins` must be at most 512; got {num_bins}.")
