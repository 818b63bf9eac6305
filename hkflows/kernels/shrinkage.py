"""Covariance matrices from few rows."""

import numpy as np

INTENSITIES = np.logspace(-6.0, 0.0, 25)
MAX_ROWS = 1000  # that are left out


def shrunk_covariance(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns a covariance matrix `(1 - a) S + a I`, `[D, D]`, positive definite.

    S is that of the rows. The intensity `a`, from 1e-6 to 1, has the largest likelihood of rows
    that are left out of S one at a time. Leaving out row i, with its share `p_i` of the weights,
    gives

        G_i - b_i x_i x_i^T,   G_i = (1 - a) / (1 - p_i) S + a I,   b_i = p_i (1 - a) / (1 - p_i),

    whose determinant and inverse are those of `G_i` with a correction of rank one. The cost is that
    of an eigendecomposition of S, and O(D) for each intensity and row, of up to 1,000 of them.

    Args:
        rows: `[N, D]`, with mean zero and, since I is what they are shrunk to, unit variances.
        weights: `[N]`, of the rows, not negative.

    References:
        Hoffbeck & Landgrebe (1996), "Covariance matrix estimation and classification with limited
        training data". Theiler (2012), "The incredible shrinking covariance estimator".
    """
    shares = weights / weights.sum()
    covariance = (rows * shares[:, None]).T @ rows
    variances, axes = np.linalg.eigh(covariance)
    some = np.flatnonzero(shares)[:MAX_ROWS]
    if len(some) == 1:  # with it left out there is nothing
        return np.eye(rows.shape[1])
    squares = (rows[some] @ axes) ** 2
    p = np.minimum(shares[some], 1.0 - 1e-9)  # one may outweigh all others

    def loss(intensity: float) -> float:
        without = (1.0 - intensity) / (1.0 - p)
        spread = without[:, None] * np.maximum(variances, 0.0) + intensity
        squared = (squares / spread).sum(axis=1)
        left = np.maximum(1.0 - p * without * squared, 1e-12)  # zero but for rounding: a row alone
        return p @ (np.log(spread).sum(axis=1) + np.log(left) + squared / left)

    intensity = INTENSITIES[np.argmin([loss(intensity) for intensity in INTENSITIES])]
    return (1.0 - intensity) * covariance + intensity * np.eye(rows.shape[1])
