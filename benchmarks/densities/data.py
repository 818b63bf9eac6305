"""Data to fit, from scikit-learn, standardised by their training rows.

Values that were rounded get noise of the width of the rounding, or densities would be infinite.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn import datasets


class Split(NamedTuple):
    """Rows to fit and rows to score the fit by."""

    train: np.ndarray
    test: np.ndarray


def standardised(rows: np.ndarray, num_test: int, rng: np.random.Generator) -> Split:
    """Splits rows at random."""
    rows = rng.permutation(rows)
    train = rows[num_test:]
    rows = ((rows - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32)
    return Split(rows[num_test:], rows[:num_test])


def moons(rng: np.random.Generator) -> Split:
    """Two half-circles with a little noise."""
    rows, _ = datasets.make_moons(22_000, noise=0.05, random_state=int(rng.integers(2**31)))
    return standardised(rows, 10_000, rng)


def breast_cancer(rng: np.random.Generator) -> Split:
    """Logarithms of 30 measurements of 569 cell nuclei, some nearly functions of others."""
    return standardised(np.log(datasets.load_breast_cancer().data + 0.1), 95, rng)


def wine(rng: np.random.Generator) -> Split:
    """Logarithms of 13 measurements of 178 wines."""
    return standardised(np.log(datasets.load_wine().data + 0.1), 30, rng)


def iris(rng: np.random.Generator) -> Split:
    """4 measurements of 150 flowers, which were rounded to millimetres."""
    rows = datasets.load_iris().data
    return standardised(rows + rng.uniform(-0.05, 0.05, rows.shape), 25, rng)


def diabetes(rng: np.random.Generator) -> Split:
    """9 measurements of 442 patients and what became of them; their sex is left out."""
    rows, target = datasets.load_diabetes(return_X_y=True)
    rows = np.column_stack([np.delete(rows, 1, axis=1), target])
    noise = 0.05 * rows.std(axis=0)
    return standardised(rows + rng.uniform(-noise, noise, rows.shape), 74, rng)


def digits(rng: np.random.Generator) -> Split:
    """1,797 images of 8 by 8 pixels of 17 levels of grey."""
    rows = datasets.load_digits().data
    return standardised(rows + rng.uniform(0.0, 1.0, rows.shape), 300, rng)


def swiss_roll(rng: np.random.Generator) -> Split:
    """A rolled-up surface with a little noise."""
    rows, _ = datasets.make_swiss_roll(6000, noise=0.3, random_state=int(rng.integers(2**31)))
    return standardised(rows, 1000, rng)


DATA: dict[str, Callable[[np.random.Generator], Split]] = {
    "moons": moons,
    "breast-cancer": breast_cancer,
    "wine": wine,
    "iris": iris,
    "diabetes": diabetes,
    "digits": digits,
    "swiss-roll": swiss_roll,
}
NAMED = ["moons", "breast-cancer"]  # whose numbers are quoted; the others keep them honest
