"""Models to fit."""

from hkflows.targets.target import Target

__all__ = ["Target"]
