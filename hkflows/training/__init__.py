"""Fitting flows to posteriors and to data."""

from hkflows.training.density import DensityFit, fit_density
from hkflows.training.posterior import PosteriorFit, fit_posterior

__all__ = ["DensityFit", "PosteriorFit", "fit_density", "fit_posterior"]
