"""Normalizing flows as distrax bijectors for Haiku."""

from hkflows import bases, diagnostics, elbo, flows, likelihood, supports, training
from hkflows.bases import (
    diagonal_normal,
    logistic,
    normal_mixture,
    standard_normal,
    student_t,
    uniform,
)
from hkflows.bijectors import (
    IAF,
    MAF,
    RQS,
    ActNorm,
    Chain,
    Coupling,
    Elementwise,
    GivensRotations,
    Householder,
    LowRankAffine,
    LUAffine,
    Permutation,
    Rotation,
    TriangularAffine,
    box,
    standardise,
)
from hkflows.conditioners import MADE, MLP, Autoregressive
from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training import DensityFit, PosteriorFit, fit_density, fit_posterior
from hkflows.transformers import Additive, Affine, RationalQuadratic, Transformer

__all__ = [
    "IAF",
    "MADE",
    "MAF",
    "MLP",
    "RQS",
    "ActNorm",
    "Additive",
    "Affine",
    "Autoregressive",
    "Chain",
    "Coupling",
    "DensityFit",
    "Elementwise",
    "FlowDistribution",
    "GivensRotations",
    "Householder",
    "LUAffine",
    "LowRankAffine",
    "Permutation",
    "PosteriorFit",
    "RationalQuadratic",
    "Rotation",
    "Target",
    "Transformer",
    "TriangularAffine",
    "bases",
    "box",
    "diagnostics",
    "diagonal_normal",
    "elbo",
    "fit_density",
    "fit_posterior",
    "flows",
    "likelihood",
    "logistic",
    "normal_mixture",
    "standard_normal",
    "standardise",
    "student_t",
    "supports",
    "training",
    "uniform",
]
