"""Horseshoe: sparse logistic regression on real data, and what to do when the fit says no.

Thirty measurements of 569 tumours, malignant or benign (scikit-learn's breast cancer data). They
are nearly separable and strongly correlated, and a regularised horseshoe says that few coefficients
matter and that none is huge (Piironen & Vehtari 2017, arXiv:1707.01694):

    coefficient_j = z_j s_j / sqrt(1 + (s_j / 2)^2),  s_j = tau local_j,
    z_j ~ N(0, 1),  local_j ~ HalfCauchy(1),  tau ~ HalfCauchy(0.1).

That is a posterior of 62 dimensions, with many funnels, and with more than one way to choose among
correlated measurements. Run it with

    python examples/horseshoe.py

It prints the verdict on the fit, which is not to trust it: the weights of its draws are uneven.
Then Markov chains in the base space of the flow, whose draws are exact in the limit, show how far
off the fit is, and say whether they agree with one another. The means and standard deviations are
close. What the fit lacks is the spike of the coefficients at zero, as the picture shows.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats
from sklearn import datasets

import hkflows as hkf
from hkflows.integrations import blackjax

DATA = datasets.load_breast_cancer()
X = (DATA.data - DATA.data.mean(axis=0)) / DATA.data.std(axis=0)  # [569, 30]
SLAB = 2.0  # standard deviation of a coefficient that is not shrunk
SIGNS = 1.0 - 2.0 * DATA.target  # +1 for malignant


def coefficients(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the coefficients, `[30]`."""
    spread = theta["tau"] * theta["local"]
    return theta["z"] * spread / jnp.sqrt(1.0 + (spread / SLAB) ** 2)


def log_joint(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the log density of the parameters and the data (nats), up to a constant."""
    log_prior = (
        jnp.sum(stats.norm.logpdf(theta["z"]))
        + jnp.sum(stats.cauchy.logpdf(theta["local"]))
        + stats.cauchy.logpdf(theta["tau"], 0.0, 0.1)
        + stats.norm.logpdf(theta["intercept"], 0.0, 10.0)
    )
    logits = theta["intercept"] + X @ coefficients(theta)
    return log_prior + jnp.sum(jax.nn.log_sigmoid(SIGNS * logits))


def target() -> hkf.Target:
    """Returns the posterior, with the coefficients for its parameters."""
    everything = hkf.Target.from_log_joint(
        log_joint,
        {
            "z": hkf.supports.real(30),
            "local": hkf.supports.positive(30),
            "tau": hkf.supports.positive(),
            "intercept": hkf.supports.real(),
        },
    )

    def constrain(vector: jax.Array) -> jax.Array:
        return coefficients(everything.constrain(vector))

    # What the flow sees stays the same; draws and diagnostics are of what we ask for.
    return dataclasses.replace(everything, constrain=constrain)


def main(
    *,
    num_steps: int | None = None,
    num_chains: int = 4,
    num_chain_draws: int = 2000,
    num_warmup: int = 1000,
    num_shown: int = 8,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/horseshoe.png"),
) -> dict[str, Any]:
    """Fits the posterior, prints the strongest coefficients, and checks them by Markov chains.

    Args:
        num_steps: optimiser steps of the flow; `None` for the default recipe.
        num_chains: Markov chains.
        num_chain_draws: draws of each.
        num_warmup: steps of each before these.
        num_shown: coefficients to print.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    fit_key, draw_key, chain_key = jax.random.split(jax.random.key(seed), 3)
    fit = hkf.fit_posterior(target(), key=fit_key, num_steps=num_steps)
    print(fit.summary().split("\n\nparameter")[0])

    draws = np.asarray(fit.sample(draw_key, 20_000), dtype=float)
    chains = blackjax.sample_nuts(
        fit.target,
        fit.distribution,
        key=chain_key,
        num_chains=num_chains,
        num_draws=num_chain_draws,
        num_warmup=num_warmup,
    )
    print("\nMarkov chains in the flow's base space:")
    print(chains.summary())

    long = np.asarray(chains.parameters, dtype=float).reshape(-1, X.shape[1])
    means, sds = draws.mean(axis=0), draws.std(axis=0)
    nuts_means, nuts_sds = long.mean(axis=0), long.std(axis=0)
    mean_errors = (means - nuts_means) / nuts_sds
    sd_errors = sds / nuts_sds - 1.0
    strongest = np.argsort(-np.abs(nuts_means))[:num_shown]

    print("\n                              fit             chains        error of the")
    print("                           mean     sd     mean     sd    mean/sd     sd")
    for j in strongest:
        print(
            f"{DATA.feature_names[j]:24}{means[j]:7.2f}{sds[j]:7.2f}{nuts_means[j]:9.2f}"
            f"{nuts_sds[j]:7.2f}{mean_errors[j]:+11.3f}{sd_errors[j]:+7.0%}"
        )
    print(
        f"\nOf all 30: means within {np.abs(mean_errors).max():.2f} sd of the chains', "
        f"sds within {np.abs(sd_errors).max():.0%}. The fit's own verdict: "
        f"{fit.diagnostics.verdict}."
    )
    if figure is not None:
        draw(figure, draws[:, strongest], long[:, strongest], DATA.feature_names[strongest])
        print(f"Picture: {figure}")
    return {
        "verdict": fit.diagnostics.verdict,
        "ess": fit.diagnostics.ess / fit.diagnostics.num_samples,
        "elbos": {stage.name: stage.elbo for stage in fit.stages},
        "means": means,
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "rhat": chains.rhat,
        "converged": chains.converged,
        "losses": fit.losses,
    }


def draw(path: pathlib.Path, draws: np.ndarray, chains: np.ndarray, names: list[str]) -> None:
    """Draws the histograms of the strongest coefficients: the fit's and the chains'."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(12.0, 5.0), layout="constrained")
    panels = picture.subplots(2, -(-len(names) // 2), squeeze=False).flat
    for fitted, long, name, axes in zip(draws.T, chains.T, names, panels, strict=False):
        bins = np.linspace(*np.percentile(long, [0.2, 99.8]), 60)
        axes.hist(fitted, bins=bins, density=True, histtype="step", label="fit")
        axes.hist(long, bins=bins, density=True, histtype="step", label="Markov chains")
        axes.set(title=name, yticks=[])
    picture.legend(
        *picture.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
    )

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
