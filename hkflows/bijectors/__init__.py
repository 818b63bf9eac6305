"""`distrax.Bijector`s: arrangements, mixers and their composition."""

from hkflows.bijectors.autoregressive import IAF, MAF
from hkflows.bijectors.chain import Chain
from hkflows.bijectors.coupling import Coupling
from hkflows.bijectors.elementwise import RQS, Elementwise
from hkflows.bijectors.low_rank import LowRankAffine
from hkflows.bijectors.permutation import Permutation
from hkflows.bijectors.triangular import TriangularAffine

__all__ = [
    "IAF",
    "MAF",
    "RQS",
    "Chain",
    "Coupling",
    "Elementwise",
    "LowRankAffine",
    "Permutation",
    "TriangularAffine",
]
