"""Two modes: a fit that misses one and says so, and what helps.

The posterior is a mixture of two tilted Gaussians, about one unit wide and eight units apart:

    0.6 N((-3, -2), [[1, 0.8], [0.8, 1]]) + 0.4 N((3, 3), [[1, -0.8], [-0.8, 1]]).

A fit that maximises the ELBO may settle on one of them, and nothing that it draws can tell it of
the other: its importance weights are all equal, its k-hat is perfect. So `fit.diagnostics` also
searches where the fit does not draw. `annealing=0.05` starts from the posterior raised to that
power, in which the modes are one, and goes from there to the posterior itself. Both modes are found
then. What remains is a bridge: a flow is continuous, and between the modes it draws a little where
there is next to nothing. The verdict on the default flow may still be not to trust it; a flow of
spline couplings, `flow=hkf.flows.nsf(2)`, has weights that can be corrected with. Run it with

    python examples/two_modes.py

It prints the three fits beside what is known of the mixture: its log evidence is zero.
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


def log_components(x: jax.Array) -> jax.Array:
    """Returns the log density of each Gaussian, times its weight, at a point `[2]`, `[2]`."""
    log_densities = jax.vmap(stats.multivariate_normal.logpdf, (None, 0, 0))(
        x, jnp.asarray(MEANS), jnp.asarray(COVARIANCES)
    )
    return jnp.log(WEIGHTS) + log_densities


def log_density(x: jax.Array) -> jax.Array:
    """Returns the log density of a point `[2]` (nats), a scalar."""
    return jax.nn.logsumexp(log_components(x))


TARGET = hkf.Target(log_density, 2)
FITS = {  # the settings of each
    "plain": {},
    "annealed": {"annealing": 0.05},
    "with splines": {"annealing": 0.05, "flow": hkf.flows.nsf(2)},
}


def first_mode(draws: jax.Array) -> float:
    """Returns the fraction of the draws `[S, 2]` that are of the first Gaussian."""
    shares = jax.nn.softmax(jax.vmap(log_components)(draws), axis=1)
    return float(shares[:, 0].mean())


def main(
    *,
    names: tuple[str, ...] = tuple(FITS),
    num_steps: int | None = None,
    num_draws: int = 20_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/two_modes.png"),
) -> dict[str, Any]:
    """Fits the mixture, prints what the fits say of themselves, and draws them.

    Args:
        names: which of `FITS`.
        num_steps: optimiser steps of the annealed flows; `None` for the default recipe.
        num_draws: draws from each fit.
        seed: of everything random.
        figure: where to save the pictures; `None` for no picture.

    Returns:
        The printed numbers, by fit.
    """
    fit_key, draw_key, pick_key = jax.random.split(jax.random.key(seed), 3)
    numbers, draws = {}, {}
    for name in names:
        settings = FITS[name]
        steps = num_steps if "annealing" in settings else None
        fit = hkf.fit_posterior(TARGET, key=fit_key, num_steps=steps, **settings)
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
        print(f"{name}: {found.verdict}.\n    {found.reason}")

    rows = {
        "in the first mode": ("first_mode", ".1%", f"{WEIGHTS[0]:.1%}"),
        "the same, corrected": ("corrected_first_mode", ".1%", f"{WEIGHTS[0]:.1%}"),
        "ELBO (nats)": ("elbo", ".3f", "at most 0"),
        "log evidence (nats)": ("log_evidence", ".3f", "0"),
        "effective draws": ("ess", ".1%", ""),
        "Pareto k-hat": ("khat", ".2f", ""),
        "missed mass": ("missed_mass", ".1%", ""),
    }
    print(f"\n{'':20}" + "".join(f"{column:>14}" for column in [*names, "truth"]))
    for label, (key, form, truth) in rows.items():
        values = [numbers[name][key] for name in names]
        cells = ["unknown" if value is None else format(value, form) for value in values]
        print(f"{label:20}" + "".join(f"{cell:>14}" for cell in [*cells, truth]))
    if figure is not None:
        draw(figure, draws)
        print(f"Picture: {figure}")
    return numbers


def draw(path: pathlib.Path, draws: dict[str, Any]) -> None:
    """Draws the draws of each fit over the contours of the mixture."""
    from matplotlib.figure import Figure

    side = np.linspace(-7.0, 7.0, 200)
    density = np.exp(jax.vmap(jax.vmap(log_density))(np.stack(np.meshgrid(side, side), axis=-1)))

    picture = Figure(figsize=(4.5 * len(draws), 4.5), layout="constrained")
    for axes, (name, points) in zip(
        picture.subplots(1, len(draws), sharex=True, sharey=True), draws.items(), strict=True
    ):
        axes.scatter(*np.asarray(points[:3000]).T, s=3, alpha=0.4, linewidths=0)
        axes.contour(side, side, density, levels=density.max() * np.exp([-4.5, -2.0, -0.5]))
        axes.set(title=f"Draws of the fit: {name}", aspect="equal")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
