"""Scalar maps: what happens to one dimension, given its parameters."""

from hkflows.transformers.affine import Additive, Affine
from hkflows.transformers.base import Inverted, Transformer, check_transformer
from hkflows.transformers.block import Block
from hkflows.transformers.rational_quadratic import RationalQuadratic

__all__ = [
    "Additive",
    "Affine",
    "Block",
    "Inverted",
    "RationalQuadratic",
    "Transformer",
    "check_transformer",
]
