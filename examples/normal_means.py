"""Normal means: minibatch variational inference, with the loop in your hands.

Ten thousand rows `y_i` in the plane, two unknown means, and a likelihood of unit variance:

    mu ~ N(0, I),  y_i ~ N(mu, I)  for i = 1..N.

The log joint is a sum over rows, so a minibatch of B of them scaled by N / B estimates it without
bias. All that `hkflows` gives here is the flow and `hkf.elbo.negative_elbo`; the loop is a plain
`jax.lax.scan` over optax steps. Run it with

    python examples/normal_means.py

The posterior is known, `N(sum_i y_i / (N + 1), I / (N + 1))`, and the fit is printed beside it.
"""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy import stats

import hkflows as hkf

FLOW = hkf.flows.mean_field(2)


def log_joint(mu: jax.Array, rows: jax.Array, num_rows: int) -> jax.Array:
    """Estimates the log density of the means and all the rows (nats) from some rows, `[B, 2]`."""
    log_prior = jnp.sum(stats.norm.logpdf(mu))
    log_likelihood = jnp.sum(stats.norm.logpdf(rows, mu, 1.0))
    return log_prior + num_rows / len(rows) * log_likelihood


@functools.partial(jax.jit, static_argnames=("num_steps", "batch_size", "num_samples"))
def fit(
    key: jax.Array, data: jax.Array, *, num_steps: int, batch_size: int, num_samples: int
) -> tuple[Any, jax.Array]:
    """Fits the flow, and returns its parameters and the loss of every step, `[num_steps]`."""
    # A minibatch moves the best mean by about as much as the posterior is wide. The schedule ends
    # at zero so that the last steps average hundreds of them. The first gradients are a thousand
    # times the last ones; with its usual memory (0.999) Adam would not forget them in time.
    schedule = optax.cosine_decay_schedule(0.05, num_steps)
    optimizer = optax.adam(schedule, b2=0.95)

    def loss(params: Any, key: jax.Array) -> jax.Array:
        row_key, draw_key = jax.random.split(key)
        rows = data[jax.random.choice(row_key, len(data), (batch_size,))]
        value, _ = hkf.elbo.negative_elbo(
            FLOW.apply(params),
            lambda mu: log_joint(mu, rows, len(data)),
            seed=draw_key,
            num_samples=num_samples,
            estimator="path",
        )
        return value

    def step(state: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        params, opt_state = state
        value, gradient = jax.value_and_grad(loss)(params, key)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), value

    init_key, train_key = jax.random.split(key)
    params = FLOW.init(init_key)
    keys = jax.random.split(train_key, num_steps)
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return params, losses


def main(
    *,
    num_steps: int = 3000,
    num_rows: int = 10_000,
    batch_size: int = 128,
    num_samples: int = 16,
    seed: int = 0,
    figure: pathlib.Path | None = pathlib.Path("figures/normal_means.png"),
) -> dict[str, Any]:
    """Fits the two means, prints them beside the exact posterior, and draws both.

    Args:
        num_steps: optimiser steps.
        num_rows: N.
        batch_size: B.
        num_samples: draws from the flow a step.
        seed: of everything random.
        figure: where to save the picture; `None` for no picture.

    Returns:
        The printed numbers.
    """
    data = np.random.default_rng(seed).normal([0.0, 10.0], 0.1, size=(num_rows, 2))

    fit_key, draw_key = jax.random.split(jax.random.key(seed))
    params, losses = fit(
        fit_key, data, num_steps=num_steps, batch_size=batch_size, num_samples=num_samples
    )
    draws = jax.jit(FLOW.apply(params).sample, static_argnames="sample_shape")(
        seed=draw_key, sample_shape=(100_000,)
    )
    draws = np.asarray(draws, dtype=float)
    means, sds = draws.mean(axis=0), draws.std(axis=0)

    exact_means = data.sum(axis=0) / (num_rows + 1)
    exact_sd = 1.0 / np.sqrt(num_rows + 1)
    mean_errors = (means - exact_means) / exact_sd
    sd_errors = sds / exact_sd - 1.0

    print("            ours               exact           error of the")
    print("          mean      sd       mean      sd    mean/sd     sd")
    for dim in range(2):
        print(
            f"mu[{dim}]  {means[dim]:8.4f}{sds[dim]:8.4f}{exact_means[dim]:11.4f}{exact_sd:8.4f}"
            f"{mean_errors[dim]:+11.3f}{sd_errors[dim]:+7.1%}"
        )
    if figure is not None:
        draw(figure, draws, exact_means, exact_sd)
        print(f"Picture: {figure}")
    return {
        "means": means,
        "sds": sds,
        "exact_means": exact_means,
        "exact_sd": exact_sd,
        "mean_errors": mean_errors,
        "sd_errors": sd_errors,
        "losses": np.asarray(losses),
    }


def draw(path: pathlib.Path, draws: np.ndarray, means: np.ndarray, sd: float) -> None:
    """Draws the histogram of each mean over its exact density."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.0, 3.6), layout="constrained")
    for dim, axes in enumerate(picture.subplots(1, 2)):
        grid = np.linspace(means[dim] - 5 * sd, means[dim] + 5 * sd, 200)
        exact = np.exp(-0.5 * ((grid - means[dim]) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
        axes.hist(draws[:, dim], bins=100, density=True, alpha=0.5, label="flow")
        axes.plot(grid, exact, color="black", label="exact")
        axes.set(xlabel=rf"$\mu_{dim}$", xlim=grid[[0, -1]], yticks=[])
        axes.legend()

    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
