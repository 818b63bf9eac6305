"""Diabetes: linear regression in raw units, against the exact posterior and the exact evidence.

Ten measurements of 442 patients, and how far their disease went in a year (scikit-learn's diabetes
data). Nothing is centred or scaled: the columns are years, mmHg and mg/dl, and the intercept is all
but determined by the slopes. The prior is conjugate:

    variance ~ InverseGamma(2, 2000),  coefficient_j ~ N(0, 100 variance),
    y_i ~ N(x_i . coefficients, variance).

So the posterior and the evidence are known in closed form, and the fit is printed beside them. Run
it with

    python examples/diabetes.py
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats
from scipy import special
from sklearn import datasets

import hkflows as hkf

SHAPE, RATE = 2.0, 2000.0  # of the variance's prior
WIDTH = 100.0  # prior variance of a coefficient, in units of the noise's

DATA = datasets.load_diabetes(scaled=False)
NAMES = ["intercept", *DATA.feature_names, "variance"]
X = np.column_stack([np.ones(len(DATA.data)), DATA.data])  # [442, 11]
Y = DATA.target


def log_joint(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the log density of the parameters and the data (nats), a scalar."""
    coefficients, variance = theta["coefficients"], theta["variance"]
    log_prior = (
        # The inverse gamma: the gamma of the reciprocal, times the Jacobian.
        stats.gamma.logpdf(1.0 / variance, SHAPE, scale=1.0 / RATE)
        - 2.0 * jnp.log(variance)
        + jnp.sum(stats.norm.logpdf(coefficients, 0.0, jnp.sqrt(WIDTH * variance)))
    )
    return log_prior + jnp.sum(stats.norm.logpdf(Y, X @ coefficients, jnp.sqrt(variance)))


TARGET = hkf.Target.from_log_joint(
    log_joint,
    {"coefficients": hkf.supports.real(X.shape[1]), "variance": hkf.supports.positive()},
)


def exact() -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the posterior means and sds, `[12]` each, and the log evidence (nats).

    The posterior is again normal-inverse-gamma (Gelman et al., "Bayesian data analysis", chapter
    14); a coefficient on its own has a Student t, and the evidence is a multivariate t.
    """
    N, D = X.shape
    precision = X.T @ X + np.eye(D) / WIDTH
    covariance = np.linalg.inv(precision)  # in units of the variance
    mean = covariance @ (X.T @ Y)
    shape = SHAPE + 0.5 * N
    rate = RATE + 0.5 * (Y @ Y - mean @ precision @ mean)

    variance = rate / (shape - 1.0)
    means = np.append(mean, variance)
    sds = np.append(np.sqrt(variance * np.diag(covariance)), variance / np.sqrt(shape - 2.0))
    log_evidence = (
        -0.5 * N * np.log(2.0 * np.pi)
        - 0.5 * np.linalg.slogdet(precision)[1]
        - 0.5 * D * np.log(WIDTH)
        + SHAPE * np.log(RATE)
        - shape * np.log(rate)
        + special.gammaln(shape)
        - special.gammaln(SHAPE)
    )
    return means, sds, float(log_evidence)


def main(
    *,
    num_steps: int | None = None,
    num_draws: int = 100_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/diabetes.png"),
) -> dict[str, Any]:
    """Fits the posterior, prints it beside the exact one, and draws both.

    Args:
        num_steps: optimiser steps of the flow; `None` for the default recipe.
        num_draws: draws from the fit for the means and standard deviations.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    fit = hkf.fit_posterior(TARGET, key=fit_key, num_steps=num_steps)

    draws = fit.sample(draw_key, num_draws)
    table = np.column_stack([draws["coefficients"], draws["variance"]]).astype(float)
    means, sds = table.mean(axis=0), table.std(axis=0)
    exact_means, exact_sds, exact_log_evidence = exact()
    mean_errors = (means - exact_means) / exact_sds
    sd_errors = sds / exact_sds - 1.0

    print("                    ours                exact             error of the")
    print("                mean        sd      mean        sd    mean/sd      sd")
    for name, *row in zip(
        NAMES, means, sds, exact_means, exact_sds, mean_errors, sd_errors, strict=True
    ):
        print("{:10}{:10.2f}{:10.3f}{:10.2f}{:10.3f}{:+11.3f}{:+8.1%}".format(name, *row))
    found = fit.diagnostics
    print()
    print(f"verdict: {found.verdict}. {found.reason}")
    for stage in fit.stages:
        print(f"{stage.name + ':':9} {'kept' if stage.kept else 'dropped'}, {stage.note}")
    print(f"ELBO                    {found.elbo:.3f} +- {found.elbo_standard_error:.1g} nats")
    print(f"log evidence            {found.log_evidence:.3f} nats, from the weights")
    print(f"log evidence, exact     {exact_log_evidence:.3f} nats")
    if figure is not None:
        draw(figure, table, exact_means, exact_sds)
        print(f"Picture: {figure}")
    return {
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "elbo": found.elbo,
        "log_evidence": found.log_evidence,
        "exact_log_evidence": exact_log_evidence,
        "verdict": found.verdict,
        "rounding": found.rounding,
    }


def draw(path: pathlib.Path, table: np.ndarray, means: np.ndarray, sds: np.ndarray) -> None:
    """Draws the histogram of every parameter, in exact standard deviations from the exact mean."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11.0, 6.0), layout="constrained")
    grid = np.linspace(-4.0, 4.0, 200)
    for name, column, mean, sd, axes in zip(
        NAMES, table.T, means, sds, picture.subplots(3, 4, sharex=True).flat, strict=True
    ):
        axes.hist((column - mean) / sd, bins=grid[::3], density=True, alpha=0.5)
        # The Student t has 446 degrees of freedom: it cannot be told from a normal here.
        axes.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2.0 * np.pi), color="black")
        axes.set(title=name, yticks=[])
    picture.suptitle("The fit, and the exact posterior's normal approximation (line)")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
