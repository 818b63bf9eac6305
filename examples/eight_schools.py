"""Eight schools: a real posterior, fitted in seconds and held against long MCMC.

Eight schools coached their pupils for a test. School `j` saw an effect `y_j` with a standard error
`sigma_j`; the true effects `theta_j = mu + tau theta_trans_j` share a mean and a spread (Rubin
1981; Gelman et al., "Bayesian data analysis", section 5.5):

    theta_trans_j ~ N(0, 1),  mu ~ N(0, 5),  tau ~ HalfCauchy(5),  y_j ~ N(theta_j, sigma_j).

You write the log joint density in your own parameters and say where each of them may lie;
`hkflows.fit_posterior` does the rest. Run it with

    python examples/eight_schools.py

It prints the fitted means and standard deviations beside those of 10,000 draws of Stan, the
reference of posteriordb (`eight_schools-eight_schools_noncentered`), and whether the two agree.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import hkflows as hkf

EFFECTS = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

NAMES = [*(f"theta[{school}]" for school in range(1, 9)), "mu", "tau"]
REFERENCE_MEANS = np.array(
    [6.1505, 4.9396, 3.9059, 4.7960, 3.6144, 4.0511, 6.3172, 4.8840, 4.4105, 3.6021]
)
REFERENCE_SDS = np.array(
    [5.6156, 4.6453, 5.2804, 4.7707, 4.6145, 4.7960, 5.0026, 5.3174, 3.3091, 3.1983]
)

# What counts as agreement. The reference's own error is about 0.01 of a standard deviation.
MAX_MEAN_ERROR = 0.06  # in standard deviations of the reference
MAX_SD_ERROR = 0.06  # relative
MIN_ESS = 0.95  # a fraction of the draws
MAX_KHAT = 0.7  # or nearly all draws are effective, and the tail has nothing to say:
CLEAR_ESS = 0.99


def log_joint(theta: dict[str, jax.Array]) -> jax.Array:
    """Returns the log density of the parameters and the data (nats), a scalar."""
    mu, tau, theta_trans = theta["mu"], theta["tau"], theta["theta_trans"]
    log_prior = (
        jnp.sum(stats.norm.logpdf(theta_trans))
        + stats.norm.logpdf(mu, 0.0, 5.0)
        + stats.cauchy.logpdf(tau, 0.0, 5.0)
        + jnp.log(2.0)  # half of the Cauchy
    )
    effects = mu + tau * theta_trans
    return log_prior + jnp.sum(stats.norm.logpdf(EFFECTS, effects, STANDARD_ERRORS))


TARGET = hkf.Target.from_log_joint(
    log_joint,
    {
        "mu": hkf.supports.real(),
        "tau": hkf.supports.positive(),
        "theta_trans": hkf.supports.real(8),
    },
)


def main(
    *,
    num_steps: int | None = None,
    num_draws: int = 100_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/eight_schools.png"),
) -> dict[str, Any]:
    """Fits the posterior, prints how it compares with the reference, and draws it.

    Args:
        num_steps: optimiser steps; `None` for the default recipe.
        num_draws: draws from the fit for the means and standard deviations.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    fit = hkf.fit_posterior(TARGET, key=fit_key, num_steps=num_steps)

    draws = fit.sample(draw_key, num_draws)  # in the parameters of `log_joint`
    mu, tau = draws["mu"][:, None], draws["tau"][:, None]
    table = np.asarray(jnp.concatenate([mu + tau * draws["theta_trans"], mu, tau], axis=1))
    means, sds = table.mean(axis=0), table.std(axis=0)
    mean_errors = (means - REFERENCE_MEANS) / REFERENCE_SDS
    sd_errors = sds / REFERENCE_SDS - 1.0

    print("                  ours         reference       error of the")
    print("              mean     sd     mean     sd    mean/sd     sd")
    for name, *row in zip(
        NAMES, means, sds, REFERENCE_MEANS, REFERENCE_SDS, mean_errors, sd_errors, strict=True
    ):
        print("{:8}  {:8.2f}{:7.2f}{:9.2f}{:7.2f}{:+11.3f}{:+7.1%}".format(name, *row))
    print()
    print(fit.summary())

    ess = fit.diagnostics.ess / fit.diagnostics.num_samples
    khat = fit.diagnostics.khat
    agrees = bool(
        np.all(np.abs(mean_errors) <= MAX_MEAN_ERROR)
        and np.all(np.abs(sd_errors) <= MAX_SD_ERROR)
        and ess >= MIN_ESS
        and (ess >= CLEAR_ESS or (khat is not None and khat < MAX_KHAT))
    )
    print()
    print(
        f"{'Agrees' if agrees else 'DOES NOT AGREE'} with the reference: "
        f"means within {np.abs(mean_errors).max():.3f} sd (limit {MAX_MEAN_ERROR}), "
        f"sds within {np.abs(sd_errors).max():.1%} (limit {MAX_SD_ERROR:.0%}), "
        f"ESS {ess:.1%} of the draws (limit {MIN_ESS:.0%})."
    )
    if figure is not None:
        draw(figure, table, fit.losses)
        print(f"Picture: {figure}")

    return {
        "means": means,
        "sds": sds,
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "elbo": fit.diagnostics.elbo,
        "log_evidence": fit.diagnostics.log_evidence,
        "khat": khat,
        "ess": ess,
        "seconds": fit.seconds,
        "agrees": agrees,
        "losses": fit.losses,
    }


def draw(path: pathlib.Path, table: np.ndarray, losses: np.ndarray) -> None:
    """Draws the funnel, the intervals beside the reference, and the loss."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(14.0, 4.2), layout="constrained")
    funnel, intervals, curve = picture.subplots(1, 3)

    theta_1, log_tau = table[:5000, 0], np.log(table[:5000, -1])
    funnel.scatter(theta_1, log_tau, s=3, alpha=0.4, linewidths=0)
    funnel.set(
        xlabel=r"$\theta_1$",
        ylabel=r"$\log\,\tau$",
        xlim=(-20, 40),
        ylim=(-4, 4),
        title="Draws of the fitted flow",
    )

    rows = np.arange(len(NAMES))
    for offset, mean, sd, label in (
        (-0.15, table.mean(axis=0), table.std(axis=0), "flow"),
        (0.15, REFERENCE_MEANS, REFERENCE_SDS, "Stan, 10,000 draws"),
    ):
        intervals.errorbar(mean, rows + offset, xerr=sd, fmt="o", markersize=4, label=label)
    intervals.set(yticks=rows, yticklabels=NAMES, title="Mean and standard deviation")
    intervals.invert_yaxis()
    intervals.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)

    curve.plot(losses, linewidth=0.5)
    low, high = np.percentile(losses, [0, 98])  # without the first steps, far above
    curve.set(xlabel="step", ylabel="negative ELBO (nats)", ylim=(low, high), title="Loss")

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
