"""Whether a fitted posterior can be trusted."""

from hkflows.diagnostics.far import far_evidence
from hkflows.diagnostics.parameters import Parameters
from hkflows.diagnostics.report import Diagnostics, diagnose
from hkflows.diagnostics.rounding import rounding_error
from hkflows.diagnostics.verdict import Verdict
from hkflows.diagnostics.weights import (
    effective_sample_size,
    importance_weights,
    log_evidence,
    pareto_khat,
    pareto_smooth,
)
from hkflows.diagnostics.wide import wide_evidence

__all__ = [
    "Diagnostics",
    "Parameters",
    "Verdict",
    "diagnose",
    "effective_sample_size",
    "far_evidence",
    "importance_weights",
    "log_evidence",
    "pareto_khat",
    "pareto_smooth",
    "rounding_error",
    "wide_evidence",
]
