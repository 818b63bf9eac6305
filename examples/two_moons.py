"""Two moons: a neural spline flow fitted to data, and what is left to gain.

The data are scikit-learn's two half-circles with a little noise, standardised. A flow is fitted by
maximum likelihood with `hkflows.fit_density`, and scored on moons that it has not seen. Run it with

    python examples/two_moons.py

The density that the moons come from is known, so the example also prints the score of the truth,
which no fit can beat but by luck.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets

import hkflows as hkf


def main(
    *,
    num_steps: int | None = None,
    num_points: int = 10_000,
    noise: float = 0.05,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/two_moons.png"),
) -> dict[str, Any]:
    """Fits the density, prints its held-out log-likelihood, and draws it.

    Args:
        num_steps: the most optimiser steps; `None` for the default recipe.
        num_points: points to fit, and as many again to score.
        noise: the standard deviation of the noise, before the data are standardised.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    moons, _ = datasets.make_moons(num_points, noise=noise, random_state=seed)
    unseen, _ = datasets.make_moons(num_points, noise=noise, random_state=seed + 1)
    center, scale = moons.mean(axis=0), moons.std(axis=0)
    data, held_out = (moons - center) / scale, (unseen - center) / scale

    flow = hkf.flows.nsf(2)
    fit = hkf.fit_density(flow, data, key=jax.random.key(seed), num_steps=num_steps)

    log_prob = jax.jit(fit.distribution.log_prob)
    log_likelihood = float(jnp.mean(log_prob(held_out)))
    # Per standardised unit, hence the log scale.
    truth = float(np.mean(moons_log_prob(unseen, noise) + np.sum(np.log(scale))))

    print(f"fitted in {fit.seconds:.1f} s: {fit.stop_reason}")
    print(f"held-out log-likelihood  {log_likelihood:.3f} nats a point")
    print(f"of the true density      {truth:.3f} nats a point")
    if figure is not None:
        draw(figure, log_prob, data)
        print(f"Picture: {figure}")
    return {
        "log_likelihood": log_likelihood,
        "true_log_likelihood": truth,
        "seconds": fit.seconds,
        "losses": fit.losses,
    }


def moons_log_prob(points: np.ndarray, noise: float) -> np.ndarray:
    """Returns the log density of the moons (nats), `[N]`: half-circles blurred by the noise."""
    angles = np.linspace(0.0, np.pi, 500)
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    arcs = np.concatenate([upper, [1.0, 0.5] - upper])
    squares = (points[:, None, 0] - arcs[:, 0]) ** 2 + (points[:, None, 1] - arcs[:, 1]) ** 2
    log_sum = np.logaddexp.reduce(-0.5 * squares / noise**2, axis=1)
    return log_sum - np.log(len(arcs)) - np.log(2.0 * np.pi * noise**2)


def draw(path: pathlib.Path, log_prob: Any, data: np.ndarray) -> None:
    """Draws the fitted density beside the data."""
    from matplotlib.figure import Figure

    side = np.linspace(-2.5, 2.5, 300)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    density = np.exp(log_prob(grid))

    picture = Figure(figsize=(9.0, 4.5), layout="constrained")
    left, right = picture.subplots(1, 2, sharex=True, sharey=True)
    left.scatter(*data.T, s=1, alpha=0.3, linewidths=0)
    left.set(title="Data", aspect="equal")
    right.pcolormesh(side, side, density, shading="gouraud")
    right.set(title="Density of the fitted flow", aspect="equal", xlim=(-2.5, 2.5))

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
