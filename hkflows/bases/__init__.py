"""Distributions for flows to start from: fixed, trainable, or conditioned on a context.

They are distrax distributions on vectors, with reparameterized draws: gradients of all of their
parameters pass through the draws, so that every objective and estimator of `hkflows.elbo` holds
for a trained base too. Like a bijector, a trainable base fetches its parameters when it is built,
inside `hk.transform`.
"""

from hkflows.bases.box import uniform
from hkflows.bases.mixture import NormalMixture, normal_mixture
from hkflows.bases.scaled import diagonal_normal, logistic, standard_normal
from hkflows.bases.student_t import StudentT, student_t

__all__ = [
    "NormalMixture",
    "StudentT",
    "diagonal_normal",
    "logistic",
    "normal_mixture",
    "standard_normal",
    "student_t",
    "uniform",
]
