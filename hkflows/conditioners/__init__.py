"""Haiku modules that hand out their weights: where parameters are fetched, and only here."""

from hkflows.conditioners.autoregressive import Autoregressive
from hkflows.conditioners.blocks import Blocks
from hkflows.conditioners.copies import stacked
from hkflows.conditioners.features import MLP, ReadoutNetwork, readout_network
from hkflows.conditioners.fields import VectorField, vector_field
from hkflows.conditioners.free import parameters
from hkflows.conditioners.made import MADE
from hkflows.conditioners.weights import scattered

__all__ = [
    "MADE",
    "MLP",
    "Autoregressive",
    "Blocks",
    "ReadoutNetwork",
    "VectorField",
    "parameters",
    "readout_network",
    "scattered",
    "stacked",
    "vector_field",
]
