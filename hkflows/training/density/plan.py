"""How many rows a step of a fit to data sees, and how many steps there are."""

import math

import numpy as np

from hkflows import checks

LEAST_BATCH, MOST_BATCH = 32, 256  # rows; between them an eighth of all, as a power of two
LEAST_STEPS, MOST_STEPS = 2000, 10_000  # between them `NUM_EPOCHS` epochs
NUM_EPOCHS = 100
NUM_EPOCHS_UNSEEN = 10  # when no rows are held out to tell when it is enough
LEAST_STEPS_UNSEEN = 10


def plan(
    num_train: int | None, num_held_out: int, batch_size: int | None, num_steps: int | None
) -> tuple[int, int]:
    """Returns the batch size and the number of steps; how many rows there are may be unknown."""
    if batch_size is not None:
        size = checks.positive_int("batch_size", batch_size)
    else:
        eighth = MOST_BATCH if num_train is None else num_train / 8
        size = int(np.clip(2 ** round(math.log2(eighth)), LEAST_BATCH, MOST_BATCH))
    size = size if num_train is None else min(size, num_train)
    if num_steps is not None:
        return size, checks.positive_int("num_steps", num_steps)
    if num_train is None:
        return size, MOST_STEPS
    unseen = NUM_EPOCHS_UNSEEN, LEAST_STEPS_UNSEEN
    epochs, least = (NUM_EPOCHS, LEAST_STEPS) if num_held_out else unseen
    return size, int(np.clip(epochs * num_train // size, least, MOST_STEPS))
