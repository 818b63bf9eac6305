"""Two modes: a fit that misses one and says so, and what helps.

The posterior is a mixture of two tilted Gaussians, about one unit wide and eight units apart:

    0.6 N((-3, -2), [[1, 0.8], [0.8, 1]]) + 0.4 N((3, 3), [[1, -0.8], [-0.8, 1]]).

A fit that maximises the ELBO may settle on one of them, and nothing that it draws can tell it of
the other: its importance weights are all equal, its k-hat is perfect. So `fit.diagnostics` also
searches where the fit does not draw. `annealing=0.05` starts from the posterior raised to that
power, in which the modes are one, and goes from there to the posterior itself. Run it with

    python examples/two_modes.py

It prints both fits beside what is known of the mixture: its log evidence is zero.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import hkflows as hkf

WEIGHTS = np.array([0.6, 0.4])
MEANS = np.array([[-3.0, -2.0], [3.0, 3.0]])
COVARIANCES = np.array([[[1.0, 0.8], [0.8, 1.0]], [[1.0, -0.8], [-0.8, 1.0]]])


def log_density(x: jax.Array) -> jax.Array:
    """Returns the log density of a point `[2]` (nats), a scalar."""
    log_components = jax.vmap(stats.multivariate_normal.logpdf, (None, 0, 0))(
        x, jnp.asarray(MEANS), jnp.asarray(COVARIANCES)
    )
    return jax.nn.logsumexp(jnp.log(WEIGHTS) + log_components)


TARGET = hkf.Target(log_density, 2)
FITS = {"plain": None, "annealed": 0.05}  # the annealing of each


def first_mode(draws: Any) -> float:
    """Returns the fraction of the draws `[S, 2]` that are nearer to the first mean."""
    distances = np.linalg.norm(np.asarray(draws)[:, None] - MEANS, axis=-1)
    return float(np.mean(distances[:, 0] < distances[:, 1]))


def main(
    *,
    num_steps: int | None = None,
    num_draws: int = 20_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/two_modes.png"),
) -> dict[str, Any]:
    """Fits the mixture twice, prints what the fits say of themselves, and draws them.

    Args:
        num_steps: optimiser steps of the annealed flow; `None` for the default recipe.
        num_draws: draws from each fit.
        seed: of everything random.
        figure: where to save the pictures; `None` for no picture.

    Returns:
        The printed numbers, by fit.
    """
    fit_key, draw_key, pick_key = jax.random.split(jax.random.key(seed), 3)
    numbers, draws = {}, {}
    for name, annealing in FITS.items():
        fit = hkf.fit_posterior(
            TARGET,
            key=fit_key,
            annealing=annealing,
            num_steps=None if annealing is None else num_steps,
        )
        draws[name] = fit.sample(draw_key, num_draws)
        corrected = fit.sample(pick_key, num_draws, importance_resample=True)
        found = fit.diagnostics
        numbers[name] = {
            "first_mode": first_mode(draws[name]),
            "corrected_first_mode": first_mode(corrected),
            "elbo": found.elbo,
            "log_evidence": found.log_evidence,
            "ess": found.ess / found.num_samples,
            "khat": found.khat,
            "missed_mass": found.missed_mass,
            "verdict": found.verdict,
        }
        print(f"{name} fit: {found.verdict}.\n    {found.reason}")

    rows = {
        "in the first mode": ("first_mode", ".1%", f"{WEIGHTS[0]:.1%}"),
        "the same, corrected": ("corrected_first_mode", ".1%", f"{WEIGHTS[0]:.1%}"),
        "ELBO (nats)": ("elbo", ".3f", "at most 0"),
        "log evidence (nats)": ("log_evidence", ".3f", "0"),
        "effective draws": ("ess", ".1%", ""),
        "Pareto k-hat": ("khat", ".2f", ""),
        "missed mass": ("missed_mass", ".1%", ""),
    }
    print(f"\n{'':20}" + "".join(f"{column:>12}" for column in [*FITS, "truth"]))
    for label, (key, form, truth) in rows.items():
        values = [numbers[name][key] for name in FITS]
        cells = ["unknown" if value is None else format(value, form) for value in values]
        print(f"{label:20}" + "".join(f"{cell:>12}" for cell in [*cells, truth]))
    if figure is not None:
        draw(figure, draws)
        print(f"Picture: {figure}")
    return numbers


def draw(path: pathlib.Path, draws: dict[str, Any]) -> None:
    """Draws the draws of each fit over the contours of the mixture."""
    from matplotlib.figure import Figure

    side = np.linspace(-7.0, 7.0, 200)
    density = np.exp(jax.vmap(jax.vmap(log_density))(np.stack(np.meshgrid(side, side), axis=-1)))

    picture = Figure(figsize=(9.0, 4.5), layout="constrained")
    for axes, (name, points) in zip(
        picture.subplots(1, 2, sharex=True, sharey=True), draws.items(), strict=True
    ):
        axes.scatter(*np.asarray(points[:3000]).T, s=3, alpha=0.4, linewidths=0)
        axes.contour(side, side, density, levels=density.max() * np.exp([-4.5, -2.0, -0.5]))
        axes.set(title=f"Draws of the {name} fit", aspect="equal")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
