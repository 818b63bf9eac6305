"""Minibatches: Poisson regression on 100,000 rows, in chunks and in batches.

The data are made up: counts `y_i` whose log rate is linear in eight correlated features,

    weights ~ N(0, I),  intercept ~ N(0, 1),  y_i ~ Poisson(exp(intercept + x_i . weights)).

`hkflows.elbo.minibatch` makes of the prior and of the likelihood of some rows an unbiased estimate
of the log joint density, and `hkflows.fit_posterior` takes the data beside the target. Its first
two stages and the diagnostics go through all rows in chunks; the flow sees `batch_size` a step. Run
it with

    python examples/minibatch.py

With so many rows the posterior is all but the Gaussian of the Laplace approximation, which Newton's
method on all rows finds, and the fit is printed beside it. So the Gaussian of the second stage
leaves the flow nothing to gain: the table of the stages says that it was not trained. With
`main(num_steps=1000)` it is all the same, and dropped unless it helps.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import hkflows as hkf

NUM_FEATURES = 8
SUPPORTS = {"intercept": hkf.supports.real(), "weights": hkf.supports.real(NUM_FEATURES)}
NAMES = ["intercept", *(f"weights[{feature}]" for feature in range(NUM_FEATURES))]


def simulate(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns features, `[N, 8]`, and counts, `[N]`."""
    rng = np.random.default_rng(seed)
    # Neighbouring features have a correlation of 0.7.
    places = np.arange(NUM_FEATURES)
    covariance = 0.7 ** np.abs(places[:, None] - places)
    features = rng.multivariate_normal(np.zeros(NUM_FEATURES), covariance, size=num_rows)
    rate = np.exp(0.5 + features @ (0.2 * rng.standard_normal(NUM_FEATURES)))
    return features, rng.poisson(rate).astype(float)


def log_prior(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the log density of the parameters (nats), a scalar."""
    return stats.norm.logpdf(theta["intercept"]) + jnp.sum(stats.norm.logpdf(theta["weights"]))


def log_likelihood(theta: dict[str, jax.Array], rows: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Returns the log probability of some counts (nats), `[B]`, up to constants."""
    features, counts = rows
    log_rate = theta["intercept"] + features @ theta["weights"]
    return counts * log_rate - jnp.exp(log_rate)


def laplace(features: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the posterior's mode and the sds of the Gaussian there, by Newton's method."""
    X = np.column_stack([np.ones(len(features)), features])
    mode = np.zeros(X.shape[1])
    mode[0] = np.log(counts.mean())
    for _ in range(20):
        rate = np.exp(X @ mode)
        precision = (X * rate[:, None]).T @ X + np.eye(X.shape[1])
        mode += np.linalg.solve(precision, X.T @ (counts - rate) - mode)
    return mode, np.sqrt(np.diag(np.linalg.inv(precision)))


def main(
    *,
    num_rows: int = 100_000,
    batch_size: int = 256,
    num_steps: int | None = None,
    num_draws: int = 20_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/minibatch.png"),
) -> dict[str, Any]:
    """Fits the posterior, prints it beside the Laplace approximation, and draws both.

    Args:
        num_rows: N.
        batch_size: B.
        num_steps: optimiser steps of the flow; `None` for the default recipe.
        num_draws: draws from the fit for the means and standard deviations.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    data = simulate(num_rows, seed)
    log_joint = hkf.elbo.minibatch(log_prior, log_likelihood, num_data=num_rows)
    target = hkf.Target.from_log_joint(log_joint, SUPPORTS)

    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    fit = hkf.fit_posterior(
        target, key=fit_key, data=data, batch_size=batch_size, num_steps=num_steps
    )
    draws = fit.sample(draw_key, num_draws)
    table = np.column_stack([draws["intercept"], draws["weights"]]).astype(float)
    means, sds = table.mean(axis=0), table.std(axis=0)
    mode, laplace_sds = laplace(*data)
    mean_errors = (means - mode) / laplace_sds
    sd_errors = sds / laplace_sds - 1.0

    print(fit.summary().split("\n\nparameter")[0])
    print("\n                    ours              Laplace         error of the")
    print("               mean       sd     mean       sd    mean/sd     sd")
    for name, *row in zip(
        NAMES, means, sds, mode, laplace_sds, mean_errors, sd_errors, strict=True
    ):
        print("{:10}{:9.4f}{:9.4f}{:9.4f}{:9.4f}{:+11.3f}{:+7.1%}".format(name, *row))
    if figure is not None:
        draw(figure, table, mode, laplace_sds)
        print(f"Picture: {figure}")
    return {
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "verdict": fit.diagnostics.verdict,
        "stages": fit.stages,
        "losses": fit.losses,
    }


def draw(path: pathlib.Path, table: np.ndarray, means: np.ndarray, sds: np.ndarray) -> None:
    """Draws the histogram of every parameter over the Laplace approximation."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.0, 6.0), layout="constrained")
    for name, column, mean, sd, axes in zip(
        NAMES, table.T, means, sds, picture.subplots(3, 3).flat, strict=True
    ):
        grid = np.linspace(mean - 4.0 * sd, mean + 4.0 * sd, 200)
        normal = np.exp(-0.5 * ((grid - mean) / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))
        axes.hist(column, bins=60, density=True, alpha=0.5, label="flow")
        axes.plot(grid, normal, color="black", label="Laplace")
        axes.set(title=name, yticks=[])
    picture.axes[0].legend(frameon=False)

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
