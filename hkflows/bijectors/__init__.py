"""`distrax.Bijector`s: arrangements, mixers and their composition."""

from hkflows.bijectors.act_norm import ActNorm
from hkflows.bijectors.autoregressive import IAF, MAF
from hkflows.bijectors.bnaf import BNAF
from hkflows.bijectors.chain import Chain
from hkflows.bijectors.coupling import Coupling
from hkflows.bijectors.elementwise import RQS, Elementwise
from hkflows.bijectors.ffjord import FFJORD
from hkflows.bijectors.full_rank import FullRankAffine
from hkflows.bijectors.low_rank import LowRankAffine
from hkflows.bijectors.lu import LUAffine
from hkflows.bijectors.orthogonal import GivensRotations, Householder, Rotation
from hkflows.bijectors.permutation import Permutation
from hkflows.bijectors.planar import Planar
from hkflows.bijectors.preprocessing import box, standardise
from hkflows.bijectors.radial import Radial
from hkflows.bijectors.repeated import Repeated
from hkflows.bijectors.sylvester import Sylvester
from hkflows.bijectors.triangular import TriangularAffine

__all__ = [
    "BNAF",
    "FFJORD",
    "IAF",
    "MAF",
    "RQS",
    "ActNorm",
    "Chain",
    "Coupling",
    "Elementwise",
    "FullRankAffine",
    "GivensRotations",
    "Householder",
    "LUAffine",
    "LowRankAffine",
    "Permutation",
    "Planar",
    "Radial",
    "Repeated",
    "Rotation",
    "Sylvester",
    "TriangularAffine",
    "box",
    "standardise",
]
