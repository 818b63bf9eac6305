"""Scalar maps: what happens to one dimension, given its parameters."""

from hkflows.transformers.affine import Additive, Affine
from hkflows.transformers.base import Inverted, Transformer, check_transformer
from hkflows.transformers.block import Block
from hkflows.transformers.circular import CircularRationalQuadratic
from hkflows.transformers.deep_sigmoidal import DeepSigmoidal
from hkflows.transformers.leaky_relu import LeakyReLU
from hkflows.transformers.linear_rational import LinearRational
from hkflows.transformers.piecewise_linear import PiecewiseLinear
from hkflows.transformers.rational_quadratic import RationalQuadratic
from hkflows.transformers.sinh_arcsinh import SinhArcsinh

__all__ = [
    "Additive",
    "Affine",
    "Block",
    "CircularRationalQuadratic",
    "DeepSigmoidal",
    "Inverted",
    "LeakyReLU",
    "LinearRational",
    "PiecewiseLinear",
    "RationalQuadratic",
    "SinhArcsinh",
    "Transformer",
    "check_transformer",
]
