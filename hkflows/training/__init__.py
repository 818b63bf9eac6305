"""Fitting flows to posteriors and to data."""

from hkflows.training.around import around, unmoved
from hkflows.training.density.fit import DensityFit
from hkflows.training.density.recipe import fit_density
from hkflows.training.loop.minimise import Result
from hkflows.training.loop.snapshot import Snapshot
from hkflows.training.posterior.default_flow import default_flow
from hkflows.training.posterior.fit import PosteriorFit
from hkflows.training.posterior.flow import fit_flow
from hkflows.training.posterior.gaussian import fit_gaussian
from hkflows.training.posterior.low_rank import fit_low_rank_gaussian
from hkflows.training.posterior.recipe import fit_posterior
from hkflows.training.posterior.stage import Stage
from hkflows.training.posterior.start import find_start
from hkflows.training.storage.saving import load_fit

__all__ = [
    "DensityFit",
    "PosteriorFit",
    "Result",
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
