"""Iris: a density for each species, and Bayes' rule to tell them apart.

Four measurements of 150 flowers of three species (Fisher's data, from scikit-learn). Two flows with
the species as their context are fitted to a hundred flowers by maximum likelihood: a Gaussian of
full rank for each species, which is quadratic discriminant analysis, and a masked autoregressive
flow. A flower that was held out goes to the species that makes it most probable,

    p(species | flower) = p(flower | species) p(species) / p(flower).

Run it with

    python examples/iris.py

With so few flowers the Gaussian is hard to beat.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets, model_selection

import hkflows as hkf

DATA = datasets.load_iris()
NUM_SPECIES = len(DATA.target_names)
FLOWS = {
    "Gaussian": hkf.flows.gaussian(4),
    "MAF": hkf.flows.maf(4, num_layers=2, hidden_sizes=(16,)),
}


def main(
    *,
    num_steps: int | None = None,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/iris.png"),
) -> dict[str, Any]:
    """Fits both flows, prints how they do on flowers that they have not seen, and draws them.

    Args:
        num_steps: the most optimiser steps; `None` for the default recipe.
        seed: of everything random, the choice of the held-out flowers included.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers, for each flow.
    """
    train, held_out, species, held_out_species = model_selection.train_test_split(
        DATA.data, DATA.target, test_size=1 / 3, stratify=DATA.target, random_state=seed
    )
    center, scale = train.mean(axis=0), train.std(axis=0)
    train, held_out = (train - center) / scale, (held_out - center) / scale
    frequencies = np.bincount(species) / len(species)

    result = {}
    print("           held-out log-likelihood   species told")
    for name, flow in FLOWS.items():
        fit = hkf.fit_density(flow, train, context=one_hot(species), key=seed, num_steps=num_steps)
        log_probs = log_prob_of_each(fit, held_out)
        log_likelihood = float(np.mean(log_probs[np.arange(len(held_out)), held_out_species]))
        # p(flower) is the same for every species.
        told = np.argmax(log_probs + np.log(frequencies), axis=1)
        num_right = int(np.sum(told == held_out_species))
        print(f"{name:11}{log_likelihood:14.2f} nats a flower{num_right:9} of {len(told)}")
        result[name] = {
            "log_likelihood": log_likelihood,
            "accuracy": num_right / len(told),
            "losses": fit.losses,
        }
        if figure is not None and name == "MAF":
            draw(figure, fit, held_out, held_out_species, told, seed)
            print(f"Picture: {figure}")
    return result


def one_hot(species: np.ndarray) -> np.ndarray:
    """Returns species as the context of a flow, `[..., 3]`."""
    return np.eye(NUM_SPECIES)[species]


def log_prob_of_each(fit: hkf.DensityFit, flowers: np.ndarray) -> np.ndarray:
    """Returns the log density of each flower given each species (nats), `[N, 3]`."""
    q = fit.condition(one_hot(np.arange(NUM_SPECIES)))
    return np.asarray(jax.jit(q.log_prob)(jnp.asarray(flowers)[:, None]))


def draw(
    path: pathlib.Path,
    fit: hkf.DensityFit,
    flowers: np.ndarray,
    species: np.ndarray,
    told: np.ndarray,
    seed: int,
) -> None:
    """Draws the petals: flowers that were held out, on top of draws of each species."""
    from matplotlib.figure import Figure

    keys = jax.random.split(jax.random.key(seed), NUM_SPECIES)
    picture = Figure(figsize=(6.5, 5.0), layout="constrained")
    axes = picture.subplots()
    for index, name in enumerate(DATA.target_names):
        draws = fit.sample(keys[index], 1000, one_hot(index))
        axes.scatter(*draws[:, 2:].T, s=4, alpha=0.2, linewidths=0, color=f"C{index}")
        axes.scatter(*flowers[species == index, 2:].T, s=25, color=f"C{index}", label=name)
    axes.scatter(
        *flowers[told != species, 2:].T,
        s=120, facecolors="none", edgecolors="black", label="told wrongly",
    )  # fmt: skip
    axes.set(
        xlabel=f"{DATA.feature_names[2]}, standardised",
        ylabel=f"{DATA.feature_names[3]}, standardised",
        title="Held-out flowers, and draws of each species (small)",
        xlim=(-2.5, 2.5),
        ylim=(-2.5, 2.5),
    )
    axes.legend()

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
