"""One fit by each library, with its defaults and nothing tuned to the data.

The peers are there twice, as it takes patience to get the best of them.

Every function imports its library before its clock starts and stops it when the fit is there, so
the seconds include tracing and compilation but no imports.
"""

import copy
import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NUM_LAYERS = 5
WIDTH = 128  # of two hidden layers
NUM_BINS = 8
QUICK_STEPS = 20
PATIENCE, LONG_PATIENCE = 5, 20  # epochs; the first is FlowJAX's default
ZUKO_BATCH, ZUKO_RATE, ZUKO_EPOCHS = 256, 1e-3, 200


class Fit(NamedTuple):
    """A fitted density.

    Attributes:
        log_prob: maps rows, `[N, D]`, to their log densities, `[N]`.
        seconds: from after the imports to the end of the fit, compilation included.
        num_steps: optimiser steps.
    """

    log_prob: Callable[[np.ndarray], np.ndarray]
    seconds: float
    num_steps: int


def fit_hkflows(rows: np.ndarray, seed: int, quick: bool, *, coupling: bool) -> Fit:
    """Fits by `hkflows.fit_density`."""
    import hkflows as hkf

    start = time.perf_counter()
    flow = hkf.flows.nsf(
        rows.shape[1],
        num_layers=NUM_LAYERS,
        hidden_sizes=(WIDTH, WIDTH),
        num_bins=NUM_BINS,
        coupling=coupling,
    )
    num_steps = QUICK_STEPS if quick else None
    fit = hkf.fit_density(flow, rows, key=seed, num_steps=num_steps, progress=False)
    jax.block_until_ready(fit.params)
    return Fit(fit.log_likelihood, time.perf_counter() - start, len(fit.losses))


def fit_flowjax(rows: np.ndarray, seed: int, quick: bool, *, patience: int) -> Fit:
    """Fits a masked autoregressive spline flow by `flowjax.train.fit_to_data`."""
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow
    from flowjax.train import fit_to_data

    start = time.perf_counter()
    flow_key, fit_key = jax.random.split(jax.random.key(seed))
    flow = masked_autoregressive_flow(
        flow_key,
        base_dist=Normal(jnp.zeros(rows.shape[1])),
        transformer=RationalQuadraticSpline(knots=NUM_BINS, interval=4),
        flow_layers=NUM_LAYERS,
        nn_width=WIDTH,
        nn_depth=2,
    )
    epochs = {"max_epochs": 1} if quick else {}
    flow, losses = fit_to_data(
        fit_key, flow, rows, show_progress=False, max_patience=patience, **epochs
    )
    jax.block_until_ready([leaf for leaf in jax.tree.leaves(flow) if isinstance(leaf, jax.Array)])
    seconds = time.perf_counter() - start
    num_train = len(rows) - round(0.1 * len(rows))
    steps = len(losses["train"]) * max(num_train // 100, 1)
    return Fit(lambda y: np.asarray(flow.log_prob(y)), seconds, steps)


def fit_zuko(rows: np.ndarray, seed: int, quick: bool, *, patience: int) -> Fit:
    """Fits `zuko.flows.NSF`.

    Zuko has no training loop. This one is that of its tutorials, Adam with learning rate 1e-3, with
    early stopping as FlowJAX has it, with at least twice the patience.
    """
    import torch
    import zuko

    start = time.perf_counter()
    torch.manual_seed(seed)
    flow = zuko.flows.NSF(
        rows.shape[1], transforms=NUM_LAYERS, bins=NUM_BINS, hidden_features=(WIDTH, WIDTH)
    )
    optimizer = torch.optim.Adam(flow.parameters(), lr=ZUKO_RATE)
    shuffled = torch.as_tensor(rows)[torch.randperm(len(rows))]
    held_out, train = shuffled.tensor_split([round(0.1 * len(rows))])
    best, best_state, since_best, num_steps = float("inf"), flow.state_dict(), 0, 0
    for _ in range(1 if quick else ZUKO_EPOCHS):
        for batch in train[torch.randperm(len(train))].split(ZUKO_BATCH):
            optimizer.zero_grad()
            loss = -flow().log_prob(batch).mean()
            loss.backward()
            optimizer.step()
            num_steps += 1
        with torch.no_grad():
            score = -float(flow().log_prob(held_out).mean())
        since_best += 1
        if score < best:
            best, best_state, since_best = score, copy.deepcopy(flow.state_dict()), 0
        elif since_best > patience:
            break
    flow.load_state_dict(best_state)
    seconds = time.perf_counter() - start

    def log_prob(y: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return flow().log_prob(torch.as_tensor(y)).numpy()

    return Fit(log_prob, seconds, num_steps)


LIBRARIES: dict[str, Callable[[np.ndarray, int, bool], Fit]] = {
    "hkflows": functools.partial(fit_hkflows, coupling=False),
    "hkflows-coupling": functools.partial(fit_hkflows, coupling=True),
    "flowjax": functools.partial(fit_flowjax, patience=PATIENCE),
    "flowjax-patient": functools.partial(fit_flowjax, patience=LONG_PATIENCE),
    "zuko": functools.partial(fit_zuko, patience=2 * PATIENCE),
    "zuko-patient": functools.partial(fit_zuko, patience=LONG_PATIENCE),
}
PEERS = ["flowjax", "flowjax-patient", "zuko", "zuko-patient"]
