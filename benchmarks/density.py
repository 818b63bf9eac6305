"""What a fit to data takes and what it is worth, here and by FlowJAX and zuko.

Every library fits 5 autoregressive spline layers with 8 bins and two hidden layers of 128 to the
same standardised rows, with its defaults otherwise, early stopping included; ours also couplings,
the others also with more patience before they stop.
It is scored by rows that it has not seen. Each fit runs in a process of its own, so that the time,
from after the imports to the end of the fit, includes all compilation. Seeds, each of which splits
the data anew, are the outer loop: the libraries take turns.

Zuko is measured where it and torch are installed. Only ratios within one run are worth quoting.

    python benchmarks/density.py --json
    python benchmarks/density.py --data wine iris --libraries hkflows zuko --seeds 0
    python benchmarks/density.py --quick
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
from typing import Any

import jax
import numpy as np
from densities.data import DATA, NAMED
from densities.libraries import LIBRARIES, PEERS
from report import Row, in_fresh_process, print_row, write

JSON_PATH = pathlib.Path(__file__).parent / "results" / "density-cpu.json"
PACKAGES = ["hkflows", "flowjax", "zuko", "torch", "jax"]
SECONDS = 1800.0  # that one fit may take


def measure(data: str, library: str, seed: int, quick: bool) -> Row:
    """Fits once and returns a row of numbers."""
    train, test = DATA[data](np.random.default_rng(seed))
    fit = LIBRARIES[library](train, seed, quick)
    log_likelihood = np.asarray(fit.log_prob(test), np.float64)
    return {
        "device": jax.devices()[0].device_kind,
        "shape": train.shape,
        "seconds": fit.seconds,
        "steps": fit.num_steps,
        "nll": float(-log_likelihood.mean()),
        "nll_error": float(log_likelihood.std() / len(log_likelihood) ** 0.5),
    }


def summarise(data: str, library: str, fits: list[Row]) -> Row:
    """Returns the mean likelihood and the median time of a library's fits to some data."""
    row: Row = {"data": data, "library": library, "fits": len(fits)}
    done = [fit for fit in fits if "nll" in fit]
    if done:
        row |= {
            "train": "{} x {}".format(*done[0]["shape"]),
            "nll": statistics.mean(fit["nll"] for fit in done),
            "seconds": statistics.median(fit["seconds"] for fit in done),
            "steps": statistics.median(fit["steps"] for fit in done),
        }
    return row


def compare(rows: list[Row]) -> Row | None:
    """Returns how the first library stands against the better of its peers, on some data."""
    ours, *others = [row for row in rows if "nll" in row]
    peers = [row for row in others if row["library"] in PEERS]
    if ours["library"] != "hkflows" or not peers:
        return None
    peer = min(peers, key=lambda row: row["nll"])
    return {
        "data": ours["data"],
        "better_peer": peer["library"],
        "nll_difference": ours["nll"] - peer["nll"],
        "time_ratio": ours["seconds"] / peer["seconds"],
    }


def main(
    data: list[str], libraries: list[str], seeds: list[int], quick: bool, json_path: str | None
) -> None:
    """Prints a row for each data set and library, and writes all fits to a file if asked."""
    seeds = seeds[:1] if quick else seeds
    installed = [name for name in PACKAGES if importlib.util.find_spec(name)]
    report: dict[str, Any] = {
        "versions": {name: importlib.metadata.version(name) for name in installed},
        "cores": os.cpu_count(),
        "quick": quick,
        "fits": [],
        "summary": [],
        "comparison": [],
    }
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    print("\nThe negative log-likelihood is in nats a test row, the mean of the seeds.\n")
    print_row(["data", "train", "library", "NLL", "s, median", "steps"])
    print("|" + "---|" * 6)
    for name in data:
        fits: dict[str, list[Row]] = {library: [] for library in libraries}
        for seed in seeds:
            for library in libraries:
                row: Row = {"data": name, "library": library, "seed": seed}
                row |= in_fresh_process(__file__, [name, library, seed, quick], SECONDS)
                fits[library].append(row)
                report["fits"].append(row)
        rows = [summarise(name, library, fits[library]) for library in libraries]
        for row in rows:
            numbers = [f"{row['nll']:.3f}", f"{row['seconds']:.1f}"] if "nll" in row else ["", ""]
            print_row(
                [name, row.get("train", ""), row["library"], *numbers, row.get("steps", "failed")]
            )
        report["summary"] += rows
        comparison = compare(rows)
        if comparison is not None:
            report["comparison"].append(comparison)
        write(report, json_path)
    for row in report["fits"]:
        if "error" in row:
            print(f"\n{row['library']} on {row['data']}, seed {row['seed']}: {row['error'][:200]}")
    if report["comparison"]:
        print("\nhkflows against the peer with the better likelihood:\n")
        print_row(["data", "peer", "NLL, ours - theirs", "time, ours / theirs"])
        print("|" + "---|" * 4)
        for row in report["comparison"]:
            numbers = f"{row['nll_difference']:+.3f}", f"{row['time_ratio']:.2f}"
            print_row([row["data"], row["better_peer"], *numbers])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        nargs="+",
        choices=[*DATA, "all"],
        default=NAMED,
        metavar="DATA",
        help=f"by default {' and '.join(NAMED)}; all, or some of " + ", ".join(DATA),
    )
    without_zuko = [name for name in LIBRARIES if not name.startswith("zuko")]
    there = list(LIBRARIES) if importlib.util.find_spec("zuko") else without_zuko
    parser.add_argument("--libraries", nargs="+", choices=there, default=there)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps")
    parser.add_argument("--json", dest="json_path", nargs="?", const=str(JSON_PATH))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    one = options.pop("one")
    if one is not None:
        print(json.dumps(measure(*json.loads(one))))
    else:
        if "all" in options["data"]:
            options["data"] = list(DATA)
        main(**options)
