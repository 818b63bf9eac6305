"""Five parts: preprocessing, a MAF, a rotation, couplings and a uniform base in one flow.

Five numbers between 0 and 255 depend on eight others. Where each is in its box comes from a
rotated mixture: with u in R^5,

    u_i = tanh(w_i . context) + (-1 or 1, a fair coin) + 0.4 noise,  y = 255 sigmoid(Q u).

The flow that is fitted to such data is built from parts, as `hkf.Chain` lists them, from the base
to the data:

    a uniform base on a cube,
    spline couplings on the cube that see the context,
    the cube to all of R^5 (a box preprocessing, backwards),
    a trainable rotation,
    a masked autoregressive layer that sees the context,
    R^5 to the box of the data.

Neither preprocessing has anything to train. Run it with

    python examples/five_parts.py

The true density is known and its score is printed beside that of the fit.
"""

import pathlib
from typing import Any

import distrax
import haiku as hk
import jax
import numpy as np
from scipy import special, stats

import hkflows as hkf

EVENT_SIZE, CONTEXT_SIZE = 5, 8
NOISE = 0.4
_WORLD = np.random.default_rng(5)
ROTATION = stats.special_ortho_group.rvs(EVENT_SIZE, random_state=_WORLD)  # Q
WEIGHTS = _WORLD.normal(size=(EVENT_SIZE, CONTEXT_SIZE)) / np.sqrt(CONTEXT_SIZE)  # w

PIXELS = hkf.box(np.zeros(EVENT_SIZE), np.full(EVENT_SIZE, 255.0))
# The margin keeps the far side of draws at the very faces of the cube finite.
FROM_CUBE = distrax.Inverse(hkf.box(-np.ones(EVENT_SIZE), np.ones(EVENT_SIZE)))


@hk.without_apply_rng
@hk.transform
def flow(context: jax.Array) -> hkf.FlowDistribution:
    """Returns the distribution of five numbers given the context, `[..., 8]`."""
    spline = hkf.RationalQuadratic(num_bins=8, bound=1.0)  # takes the cube to itself
    even = np.arange(EVENT_SIZE) % 2 == 0
    couplings = [
        hkf.Coupling(hkf.MLP([32, 32]), spline, mask=mask, context=context)
        for mask in (even, ~even)
    ]
    bijector = hkf.Chain(
        [
            *couplings,
            FROM_CUBE,
            hkf.Rotation(EVENT_SIZE),
            hkf.MAF(hkf.MADE(EVENT_SIZE, [64, 64]), context=context),
            PIXELS,
        ]
    )
    return hkf.FlowDistribution(hkf.uniform(-np.ones(EVENT_SIZE), np.ones(EVENT_SIZE)), bijector)


def simulate(contexts: np.ndarray, seed: int) -> np.ndarray:
    """Draws five numbers, `[N, 5]`, for each context, `[N, 8]`."""
    rng = np.random.default_rng(seed)
    size = (len(contexts), EVENT_SIZE)
    modes = rng.choice([-1.0, 1.0], size)
    u = np.tanh(contexts @ WEIGHTS.T) + modes + rng.normal(0.0, NOISE, size)
    return 255.0 * special.expit(u @ ROTATION.T)


def true_log_prob(y: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    """Returns the log density that `simulate` draws from (nats), `[N]`."""
    share = y / 255.0
    u = special.logit(share) @ ROTATION - np.tanh(contexts @ WEIGHTS.T)
    modes = [stats.norm.logpdf(u, mode, NOISE) for mode in (-1.0, 1.0)]
    log_det = np.log(255.0 * share * (1.0 - share))
    return np.sum(np.logaddexp(*modes) - np.log(2.0) - log_det, axis=1)


def main(
    *,
    num_steps: int | None = None,
    num_rows: int = 50_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/five_parts.png"),
) -> dict[str, Any]:
    """Fits the flow, prints its held-out log-likelihood, and draws it for one context.

    Args:
        num_steps: the most optimiser steps; `None` for the default recipe.
        num_rows: rows to fit.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    contexts = np.random.default_rng(seed).normal(size=(num_rows + 5000, CONTEXT_SIZE))
    y = simulate(contexts, seed + 1)
    # The flow begins at the box of the data itself.
    fit = hkf.fit_density(
        flow,
        y[5000:],
        context=contexts[5000:],
        key=seed,
        num_steps=num_steps,
        standardise=False,
    )

    unseen, unseen_contexts = y[:5000], contexts[:5000]
    log_likelihood = float(np.mean(fit.log_likelihood(unseen, unseen_contexts)))
    truth = float(np.mean(true_log_prob(unseen, unseen_contexts)))
    draws = fit.sample(seed, 5000, unseen_contexts[0])
    num_inside = int(np.sum(np.all((draws >= 0.0) & (draws <= 255.0), axis=-1)))

    print(f"fitted in {fit.seconds:.1f} s: {fit.stop_reason}")
    print(f"held-out log-likelihood  {log_likelihood:.3f} nats a row")
    print(f"of the true density      {truth:.3f} nats a row")
    print(f"{num_inside} of {len(draws)} draws lie in the box")
    if figure is not None:
        draw(figure, fit, unseen_contexts[0], seed)
        print(f"Picture: {figure}")
    return {
        "log_likelihood": log_likelihood,
        "true_log_likelihood": truth,
        "share_inside": num_inside / len(draws),
        "losses": fit.losses,
    }


def draw(path: pathlib.Path, fit: hkf.DensityFit, context: np.ndarray, seed: int) -> None:
    """Draws two dimensions of u, where the mixture is not rotated, given one context."""
    from matplotlib.figure import Figure

    fitted = fit.sample(seed, 4000, context)
    panels = {"Simulated": simulate(np.tile(context, (4000, 1)), seed), "The fitted flow": fitted}
    picture = Figure(figsize=(9.0, 5.0), layout="constrained")
    for (name, y), axes in zip(panels.items(), picture.subplots(1, 2), strict=True):
        u = special.logit(np.asarray(y, dtype=float) / 255.0) @ ROTATION
        axes.scatter(*u[:, :2].T, s=2, alpha=0.4, linewidths=0)
        axes.set(title=f"{name}, one context", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
        axes.set(xlabel="u1", ylabel="u2", aspect="equal")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
