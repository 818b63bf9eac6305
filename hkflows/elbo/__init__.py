"""Objectives of variational inference: plain functions of a distribution and a log-density.

All of them draw `y_1..y_S` from `q`, form the log-weights `log w_s = log p(y_s) - log q(y_s)`, and
differ in what they make of these. Everything is in nats. A draw where `p` is zero has a log-weight
of minus infinity, which every objective allows; NaN or plus infinity makes the loss non-finite.
"""

from hkflows.elbo.draws import Aux, LogDensity
from hkflows.elbo.evidence import Estimator, negative_elbo
from hkflows.elbo.importance import importance_weighted_elbo
from hkflows.elbo.inclusive import forward_kl
from hkflows.elbo.minibatches import minibatch
from hkflows.elbo.path import sample_and_path_log_prob
from hkflows.elbo.renyi import BoundEstimator, renyi_bound

__all__ = [
    "Aux",
    "BoundEstimator",
    "Estimator",
    "LogDensity",
    "forward_kl",
    "importance_weighted_elbo",
    "minibatch",
    "negative_elbo",
    "renyi_bound",
    "sample_and_path_log_prob",
]
