"""Where parameters may lie, and the way there from unconstrained vectors."""

from hkflows.supports.conversion import as_support
from hkflows.supports.named import (
    Support,
    circle,
    correlation_cholesky,
    covariance_cholesky,
    greater_than,
    interval,
    ordered,
    positive,
    real,
    simplex,
    unit_interval,
)

__all__ = [
    "Support",
    "as_support",
    "circle",
    "correlation_cholesky",
    "covariance_cholesky",
    "greater_than",
    "interval",
    "ordered",
    "positive",
    "real",
    "simplex",
    "unit_interval",
]
