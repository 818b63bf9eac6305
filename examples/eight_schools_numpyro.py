"""Eight schools from NumPyro: a model as it stands, fitted by a flow.

`hkflows.Target.from_numpyro` takes a NumPyro model and its arguments. Sites keep their names and
shapes, priors and supports are the model's own, and deterministic sites are among the draws. Run it
with

    python examples/eight_schools_numpyro.py

It prints the fitted means and standard deviations beside those of 10,000 draws of Stan, the
reference of posteriordb (`eight_schools-eight_schools_noncentered`).
"""

import pathlib
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

import hkflows as hkf
from hkflows.integrations import plotting

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

REFERENCE = {"mu": (4.4105, 3.3091), "tau": (3.6021, 3.1983), "theta[0]": (6.1505, 5.6156)}


def model(standard_errors: np.ndarray, effects: np.ndarray | None = None) -> None:
    """Says how the effects of the schools come about."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", len(standard_errors)):
        theta_trans = numpyro.sample("theta_trans", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * theta_trans)
        numpyro.sample("effects", dist.Normal(theta, standard_errors), obs=effects)


def main(
    *,
    num_steps: int | None = None,
    num_draws: int = 100_000,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/eight_schools_numpyro.png"),
) -> dict[str, Any]:
    """Fits the model, prints how it compares with the reference, and draws it.

    Args:
        num_steps: optimiser steps of the flow; `None` for the default recipe.
        num_draws: draws from the fit for the means and standard deviations.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    target = hkf.Target.from_numpyro(model, STANDARD_ERRORS, effects=EFFECTS)
    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    fit = hkf.fit_posterior(target, key=fit_key, num_steps=num_steps)
    print(fit.summary())

    draws = fit.sample(draw_key, num_draws)  # mu, tau, theta_trans and theta
    columns = {"mu": draws["mu"], "tau": draws["tau"], "theta[0]": draws["theta"][:, 0]}
    errors = {}
    print("\n                ours         reference       error of the")
    print("            mean     sd     mean     sd    mean/sd     sd")
    for name, (reference_mean, reference_sd) in REFERENCE.items():
        mean, sd = float(np.mean(columns[name])), float(np.std(columns[name]))
        errors[name] = (mean - reference_mean) / reference_sd, sd / reference_sd - 1.0
        print(
            f"{name:9}{mean:7.2f}{sd:7.2f}{reference_mean:9.2f}{reference_sd:7.2f}"
            f"{errors[name][0]:+11.3f}{errors[name][1]:+7.1%}"
        )
    if figure is not None:
        figure.parent.mkdir(parents=True, exist_ok=True)
        some = {name: values[:2000] for name, values in columns.items()}
        plotting.plot_pairs(some).savefig(figure, dpi=150)
        print(f"Picture: {figure}")
    return {
        "errors": errors,
        "draws": draws,
        "elbo": fit.diagnostics.elbo,
        "log_evidence": fit.diagnostics.log_evidence,
        "verdict": fit.diagnostics.verdict,
    }


if __name__ == "__main__":
    main()
