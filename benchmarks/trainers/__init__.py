"""Trainings of equal work by each library, each by the loop that the library offers.

Every function imports its library itself, so that a process that needs one imports only that.
"""

from collections.abc import Callable
from typing import NamedTuple

RATE = 1e-3  # of Adam, in every library


class Trainer(NamedTuple):
    """A training of one library.

    Attributes:
        train: does so many steps and waits for them; what is compiled for it stays.
        draw: after a training, makes so many draws with their log densities and waits for them.
    """

    train: Callable[[int], None]
    draw: Callable[[int], None]
