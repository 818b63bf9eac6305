"""Haiku modules that hand out their weights: where parameters are fetched, and only here."""

from hkflows.conditioners.autoregressive import Autoregressive
from hkflows.conditioners.copies import stacked
from hkflows.conditioners.features import MLP, CouplingNetwork, coupling_network
from hkflows.conditioners.made import MADE
from hkflows.conditioners.parameters import parameters
from hkflows.conditioners.weights import scattered

__all__ = [
    "MADE",
    "MLP",
    "Autoregressive",
    "CouplingNetwork",
    "coupling_network",
    "parameters",
    "scattered",
    "stacked",
]
