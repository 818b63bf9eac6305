"""What streaming holds in memory: the peak of a process that draws, scores or diagnoses a fit.

Each in a process of its own, 10 million draws with D = 32 by default. Drawing returns the draws,
which are 1.19 GiB by themselves; the points to score are one and the same, and take no memory.

    python benchmarks/memory.py
    python benchmarks/memory.py --num-draws 1000000
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from report import Row, in_fresh_process, print_row

import hkflows as hkf

D = 32


def fit() -> hkf.PosteriorFit:
    """Returns a short fit of a Gaussian."""
    return hkf.fit_posterior(
        hkf.Target(lambda z: -0.5 * jnp.sum(z**2), D),
        key=0,
        flow=hkf.flows.iaf(D, num_layers=2, hidden_sizes=[64]),
        num_steps=50,
        progress=False,
    )


def sample(num_draws: int) -> None:
    """Draws."""
    assert fit().sample(1, num_draws).shape == (num_draws, D)


def log_prob(num_draws: int) -> None:
    """Scores points."""
    points = np.broadcast_to(np.zeros(D, np.float32), (num_draws, D))
    assert fit().log_prob(points).shape == (num_draws,)


def diagnose(num_draws: int) -> None:
    """Diagnoses."""
    found = fit()
    target = hkf.Target(lambda z: -0.5 * jnp.sum(z**2), D)
    hkf.diagnostics.diagnose(found.distribution, target, seed=0, num_samples=num_draws)


def peak(function: str, num_draws: int) -> Row:
    """Returns the peak of this process's memory (GiB), at its end."""
    PARTS[function](num_draws)
    unit = 1 if sys.platform == "darwin" else 2**10
    return {"GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}


PARTS: dict[str, Callable[[int], None]] = {
    function.__name__: function for function in (sample, log_prob, diagnose)
}


def main(num_draws: int) -> None:
    """Prints a row for each."""
    print(f"device: {jax.devices()[0].device_kind}; {num_draws:,} draws, D = {D}\n")
    print_row(["what", "peak memory (GiB)"])
    print_row(["---"] * 2)
    for name in PARTS:
        row = in_fresh_process(__file__, [name, num_draws], seconds=600.0)
        print_row([name, row.get("error") or f"{row['GiB']:.2f}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-draws", type=int, default=10_000_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(peak(*json.loads(arguments.one))))
    else:
        main(arguments.num_draws)
