"""Fitting flows to posteriors and to data."""

from hkflows.training.density import fit_density
from hkflows.training.density_fit import DensityFit
from hkflows.training.flow import fit_flow
from hkflows.training.flows import around, default_flow, unmoved
from hkflows.training.gaussian import fit_gaussian
from hkflows.training.low_rank import fit_low_rank_gaussian
from hkflows.training.posterior import fit_posterior
from hkflows.training.posterior_fit import PosteriorFit, Stage
from hkflows.training.saving import load_fit
from hkflows.training.snapshot import Snapshot
from hkflows.training.start import find_start

__all__ = [
    "DensityFit",
    "PosteriorFit",
    "Snapshot",
    "Stage",
    "around",
    "default_flow",
    "find_start",
    "fit_density",
    "fit_flow",
    "fit_gaussian",
    "fit_low_rank_gaussian",
    "fit_posterior",
    "load_fit",
    "unmoved",
]
