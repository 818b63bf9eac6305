"""Two circles: what splines can say alone, and what they say when one dimension sees the other.

The data are scikit-learn's two concentric circles with a little noise, standardised. Three flows
are fitted to them by maximum likelihood:

- splines element by element, a monotone map for each dimension: they get both marginals right and
  the joint density wrong, since in them the dimensions are independent;
- spline couplings, in which one dimension bends the other: the joint density too;
- the factorisation p(x1) p(x2 | x1), a spline for x1 and a spline for x2 with x1 as its context.

Run it with

    python examples/circles.py

The density that the circles come from is known, so that what a fit lacks can be told: for the
first it cannot fall below the mutual information of the dimensions.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats
from sklearn import datasets

import hkflows as hkf

LogProb = Callable[[np.ndarray], jax.Array]  # [N, 2] -> [N], nats
Sample = Callable[[jax.Array, int], jax.Array]  # key, N -> [N, 2]

RADII = (1.0, 0.5)
SPLINE = hkf.RationalQuadratic(num_bins=16, bound=3.0)


@hk.without_apply_rng
@hk.transform
def element_by_element() -> hkf.FlowDistribution:
    """Returns a spline for each dimension."""
    return hkf.FlowDistribution(hkf.standard_normal(2), hkf.Elementwise(2, SPLINE))


COUPLINGS = hkf.flows.nsf(2, num_bins=16, bound=3.0)
ONE = hkf.flows.nsf(1, num_layers=1, num_bins=16, bound=3.0)  # with a context or without


def main(
    *,
    num_steps: int | None = None,
    num_points: int = 10_000,
    noise: float = 0.08,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/circles.png"),
) -> dict[str, Any]:
    """Fits the three flows, prints how well each knows joint and marginals, and draws them.

    Args:
        num_steps: the most optimiser steps of each fit; `None` for the default recipe.
        num_points: points to fit, and as many again to score.
        noise: the standard deviation of the noise, before the data are standardised.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers: for each flow the held-out log-likelihood, and the Kolmogorov-Smirnov
        distances of its marginals from the held-out ones; the log-likelihood of the truth.
    """
    circles, _ = datasets.make_circles(num_points, noise=noise, factor=RADII[1], random_state=seed)
    unseen, _ = datasets.make_circles(
        num_points, noise=noise, factor=RADII[1], random_state=seed + 1
    )
    center, scale = circles.mean(axis=0), circles.std(axis=0)
    data, held_out = (circles - center) / scale, (unseen - center) / scale
    # Per standardised unit, hence the log scale.
    truth = float(np.mean(circles_log_prob(unseen, noise) + np.sum(np.log(scale))))

    def fit(flow: hk.Transformed, rows: np.ndarray, **context: np.ndarray) -> hkf.DensityFit:
        return hkf.fit_density(flow, rows, key=seed, num_steps=num_steps, **context)

    first, second = data[:, :1], data[:, 1:]
    flows = {
        "element by element": joint(fit(element_by_element, data)),
        "couplings": joint(fit(COUPLINGS, data)),
        "p(x1) p(x2 | x1)": factorised(fit(ONE, first), fit(ONE, second, context=first)),
    }

    result: dict[str, Any] = {"true_log_likelihood": truth}
    pictures = {"data": data}
    print("                     held-out log-likelihood   distance of the marginals")
    for name, (log_prob, sample) in flows.items():
        log_likelihood = float(np.mean(log_prob(held_out)))
        draws = np.asarray(sample(jax.random.key(seed), num_points))
        distances = [
            stats.ks_2samp(*columns).statistic for columns in zip(draws.T, held_out.T, strict=True)
        ]
        print(f"{name:21}{log_likelihood:14.3f}{distances[0]:22.3f}{distances[1]:8.3f}")
        result[name] = {"log_likelihood": log_likelihood, "distances": distances}
        pictures[name] = draws
    print(f"{'the truth':21}{truth:14.3f} nats a point")
    if figure is not None:
        draw(figure, pictures)
        print(f"Picture: {figure}")
    return result


def joint(fit: hkf.DensityFit) -> tuple[LogProb, Sample]:
    """Returns the log density and the sampler of a fit to both dimensions."""
    q = fit.distribution

    def sample(key: jax.Array, n: int) -> jax.Array:
        return q.sample(seed=key, sample_shape=(n,))

    return jax.jit(q.log_prob), jax.jit(sample, static_argnums=1)


def factorised(first: hkf.DensityFit, second: hkf.DensityFit) -> tuple[LogProb, Sample]:
    """Returns the log density and the sampler of p(x1) p(x2 | x1)."""

    def log_prob(points: jax.Array) -> jax.Array:
        x1, x2 = points[:, :1], points[:, 1:]
        return first.distribution.log_prob(x1) + second.condition(x1).log_prob(x2)

    def sample(key: jax.Array, n: int) -> jax.Array:
        keys = jax.random.split(key)
        x1 = first.distribution.sample(seed=keys[0], sample_shape=(n,))
        x2 = second.condition(x1).sample(seed=keys[1])
        return jnp.concatenate([x1, x2], axis=1)

    return jax.jit(log_prob), jax.jit(sample, static_argnums=1)


def circles_log_prob(points: np.ndarray, noise: float) -> np.ndarray:
    """Returns the log density of the circles (nats), `[N]`: each a circle blurred by the noise.

    The mean over the angle of a normal density around the circle is a Bessel function,
    `exp(-(d^2 + r^2) / (2 s^2)) I_0(d r / s^2) / (2 pi s^2)` at the distance d from the centre.
    """
    distance = np.linalg.norm(points, axis=1)[:, None]
    squares = (distance - np.array(RADII)) ** 2 / noise**2
    bessel = special.i0e(distance * np.array(RADII) / noise**2)  # times exp(-d r / s^2)
    blurred = np.logaddexp.reduce(np.log(bessel) - 0.5 * squares, axis=1)
    return blurred - np.log(len(RADII) * 2.0 * np.pi * noise**2)


def draw(path: pathlib.Path, pictures: dict[str, np.ndarray]) -> None:
    """Draws the data and the draws of each flow, with their marginals."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(13.0, 4.4), layout="constrained")
    axes = picture.subplots(
        2, len(pictures), sharex=True, height_ratios=[1, 4], gridspec_kw={"hspace": 0.0}
    )
    bins = np.linspace(-2.5, 2.5, 80)
    for (name, points), (top, below) in zip(pictures.items(), axes.T, strict=True):
        top.hist(points[:, 0], bins=bins, density=True)
        top.set(title=name, yticks=[], ylim=(0.0, 0.6))
        below.scatter(*points.T, s=1, alpha=0.3, linewidths=0)
        below.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), xlabel="x1")
    axes[1, 0].set(ylabel="x2")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
