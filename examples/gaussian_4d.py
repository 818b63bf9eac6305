"""A Gaussian in four dimensions: RealNVP on 50,000 draws, all of them in every step.

The mean and the covariance are random. Affine couplings are fitted to draws as they are, neither
centred nor scaled, by maximum likelihood; five hundred full-batch steps are ample. Run it with

    python examples/gaussian_4d.py

The mean and the covariance of the fit are printed beside the true ones, with its KL divergence.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from scipy import stats

import hkflows as hkf

FLOW = hkf.flows.realnvp(4, num_layers=6, hidden_sizes=(16,))


def random_gaussian(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a random mean, `[4]`, and covariance, `[4, 4]`."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(4, 4))
    return rng.normal(0.0, 3.0, size=4), factor @ factor.T + 0.1 * np.eye(4)


def main(
    *,
    num_steps: int = 500,
    num_rows: int = 50_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/gaussian_4d.png"),
) -> dict[str, Any]:
    """Fits the Gaussian, prints its moments beside the true ones, and draws them.

    Args:
        num_steps: optimiser steps.
        num_rows: draws to fit; every step sees all of them.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    mean, covariance = random_gaussian(seed)
    truth = stats.multivariate_normal(mean, covariance)
    rows, unseen = truth.rvs((2, num_rows), random_state=seed)
    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    fit = hkf.fit_density(
        FLOW, rows, key=fit_key, num_steps=num_steps, batch_size=num_rows, validation_fraction=0.0
    )

    draws = fit.sample(draw_key, 200_000).astype(float)
    fit_mean, fit_covariance = draws.mean(axis=0), np.cov(draws.T)
    mean_error = relative_error(fit_mean, mean)
    covariance_error = relative_error(fit_covariance, covariance)
    kl = float(np.mean(truth.logpdf(unseen) - fit.log_likelihood(unseen)))

    print(f"fitted in {fit.seconds:.1f} s: {fit.stop_reason}")
    print("        mean                         covariance")
    print("    ours    exact            ours                         exact")
    for found, true, row, true_row in zip(fit_mean, mean, fit_covariance, covariance, strict=True):
        columns = "".join(f"{entry:7.2f}" for entry in [*row, *true_row])
        print(f"{found:8.3f}{true:9.3f}  {columns}")
    print(f"relative error of the mean {mean_error:.4f}, of the covariance {covariance_error:.4f}")
    print(f"KL of the fit from the truth {kl:.4f} nats, on rows that it has not seen")
    if figure is not None:
        draw(figure, rows, draws)
        print(f"Picture: {figure}")
    return {
        "mean_error": mean_error,
        "covariance_error": covariance_error,
        "kl": kl,
        "losses": fit.losses,
    }


def relative_error(found: np.ndarray, true: np.ndarray) -> float:
    """Returns the Euclidean (Frobenius) distance in units of the true length."""
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def draw(path: pathlib.Path, rows: np.ndarray, draws: np.ndarray) -> None:
    """Draws two pairs of dimensions: the data, and draws from the fit on top."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.0, 4.5), layout="constrained")
    for (i, j), axes in zip([(0, 1), (2, 3)], picture.subplots(1, 2), strict=True):
        for name, points in (("data", rows), ("fit", draws)):
            axes.scatter(*points[:3000, [i, j]].T, s=3, alpha=0.3, linewidths=0, label=name)
        axes.set(xlabel=f"dimension {i + 1}", ylabel=f"dimension {j + 1}")
        axes.legend(markerscale=5.0)

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
