"""Noisy channels: one fit that answers every observation, against the exact posterior.

A number is drawn and sent through three channels, each of which adds noise of its own:

    x ~ N(0, 1),  c_i ~ N(x, 1)  for i = 1..3.

Pairs of both are all that the fit sees: a spline flow q(x | c), with the channels as its context,
is fitted to them by maximum likelihood. That is amortised inference: afterwards the posterior of
any new c is there without a further fit. Run it with

    python examples/noisy_channels.py

The posterior is known, `N(sum_i c_i / 4, 1 / 4)`, and the fit is scored by its KL divergence from
it, integrated numerically for each of many new c.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from scipy import stats

import hkflows as hkf

NUM_CHANNELS = 3
FLOW = hkf.flows.nsf(1, num_layers=1, hidden_sizes=(32, 32))


def simulate(num_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns numbers, `[N, 1]`, and what the channels made of them, `[N, 3]`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_pairs, 1))
    return x, rng.normal(x, 1.0, size=(num_pairs, NUM_CHANNELS))


def exact(channels: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the mean, `[N]`, and the sd of the posterior given `channels`, `[N, 3]`."""
    precision = 1.0 + NUM_CHANNELS
    return channels.sum(axis=1) / precision, 1.0 / np.sqrt(precision)


def main(
    *,
    num_steps: int | None = None,
    num_pairs: int = 100_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/noisy_channels.png"),
) -> dict[str, Any]:
    """Fits the posterior of every c, prints how far from exact it is, and draws a few.

    Args:
        num_steps: the most optimiser steps; `None` for the default recipe.
        num_pairs: pairs to fit.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    x, channels = simulate(num_pairs, seed)
    fit = hkf.fit_density(FLOW, x, context=channels, key=seed, num_steps=num_steps)

    _, unseen = simulate(1000, seed + 1)
    means, sd = exact(unseen)
    standard = np.linspace(-6.0, 6.0, 201)
    grid = means + sd * standard[:, None]  # [G, N]: around each mean
    log_q = np.asarray(jax.jit(fit.condition(unseen).log_prob)(grid[..., None]), dtype=float)
    log_p = stats.norm.logpdf(grid, means, sd)
    step = sd * (standard[1] - standard[0])
    kl = np.sum(np.exp(log_p) * (log_p - log_q), axis=0) * step
    q = np.exp(log_q) * step
    fit_means = np.sum(q * grid, axis=0)
    fit_sds = np.sqrt(np.sum(q * (grid - fit_means) ** 2, axis=0))
    mean_errors, sd_errors = (fit_means - means) / sd, fit_sds / sd - 1.0

    print(f"fitted in {fit.seconds:.1f} s: {fit.stop_reason}")
    print("over 1000 new observations                mean     worst")
    print(f"KL of q from the exact posterior     {kl.mean():9.5f} {kl.max():9.5f} nats")
    for name, errors in (("mean, in sds", mean_errors), ("sd", sd_errors)):
        size = np.abs(errors)
        print(f"error of the {name:23} {size.mean():9.5f} {size.max():9.5f}")
    if figure is not None:
        draw(figure, fit, unseen[:5])
        print(f"Picture: {figure}")
    return {
        "kl": kl,
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "losses": fit.losses,
    }


def draw(path: pathlib.Path, fit: hkf.DensityFit, channels: np.ndarray) -> None:
    """Draws the fitted and the exact posteriors of a few observations."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8.0, 4.0), layout="constrained")
    axes = picture.subplots()
    grid = np.linspace(-4.0, 4.0, 400)
    log_q = jax.jit(fit.condition(channels).log_prob)(grid[:, None, None])
    means, sd = exact(channels)
    for mean, density in zip(means, np.exp(log_q).T, strict=True):
        (line,) = axes.plot(grid, density)
        axes.plot(grid, stats.norm.pdf(grid, mean, sd), "k:")
        axes.axvline(mean, color=line.get_color(), alpha=0.3)
    axes.set(xlabel="x", yticks=[], title="q(x | c) of five observations; dotted: exact")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
