"""Normalizing flows as distrax bijectors for Haiku."""

from hkflows.bijectors import (
    IAF,
    MAF,
    RQS,
    Chain,
    Coupling,
    Elementwise,
    Permutation,
    TriangularAffine,
)
from hkflows.conditioners import MADE, MLP
from hkflows.distributions import FlowDistribution, standard_normal
from hkflows.transformers import Additive, Affine, RationalQuadratic, Transformer
