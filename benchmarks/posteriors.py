"""What a fit to a posterior takes and what it is worth, here and by FlowJAX and NumPyro.

Every target has a known log evidence and known marginals. Every library gets the same density and
its recommended settings; where these leave a choice, all are tried and the one with the best ELBO
counts, with its own time only. Each fit runs in a process of its own, so that the time, from after
the imports to the end of the fit, includes all compilation. Ours includes its diagnostics.

The gap is that between the ELBO, from 20,000 fresh draws, and log Z. The errors are the largest of
a mean, in posterior standard deviations, and of a standard deviation; exact draws have both of
about 0.02. On the funnel, quantiles stand for both.

The targets named `/rescaled` have scales between 1e-3 and 1e3 and correlations of 0.99, those named
`/shifted` are moved by 1000 standard deviations as well. Where such a density is not finite at the
origin in float32 and the fit fails, the table says so.

All of it takes many hours, with `--first` a third of that. Only ratios within one run are worth
quoting.

    python benchmarks/posteriors.py --json
    python benchmarks/posteriors.py --targets funnel banana --libraries hkflows numpyro-iaf
    python benchmarks/posteriors.py --quick
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import statistics
from typing import Any

from inference.libraries import LIBRARIES
from inference.measure import measure
from inference.targets import PLAIN, TARGETS
from report import Row, in_fresh_process, print_row, write

JSON_PATH = pathlib.Path(__file__).parent / "results" / "posteriors-cpu.json"
PACKAGES = ["hkflows", "flowjax", "numpyro", "jax"]
QUICK_TARGETS = ["eight-schools-non-centred", "banana"]
SECONDS = 1800.0  # that one fit may take
CLOSE = 0.05  # nats: of gaps that differ by less neither is better

COLUMNS = {
    "target": "target",
    "library": "library",
    "setting": "setting",
    "seconds": "s",
    "steps": "steps",
    "elbo": "ELBO",
    "gap": "gap",
    "ess": "ESS",
    "khat": "k-hat",
    "mean_error": "mean error (sd)",
    "sd_error": "sd error",
    "verdict": "its verdict",
}
FORMATS = {
    "seconds": "{:.1f}",
    "elbo": "{:.3f}",
    "gap": "{:.3f}",
    "ess": "{:.1%}",
    "khat": "{:.2f}",
    "mean_error": "{:.3f}",
    "sd_error": "{:.1%}",
}


def best(rows: list[Row]) -> Row:
    """Returns the row with the best ELBO, or the first if none has one."""
    return max(rows, key=lambda row: row.get("elbo", -math.inf))


def cells(row: Row) -> list[str]:
    """Returns the row of the table."""
    result = []
    for name in COLUMNS:
        value = row.get(name)
        if name == "elbo" and value is None:
            result.append("nan" if row.get("finite_at_origin", True) else "no finite start")
        elif value is None:
            result.append("")
        else:
            result.append(FORMATS.get(name, "{}").format(value))
    return result


def compare(rows: list[Row]) -> list[Row]:
    """Returns how every library stands against hkflows, over the targets that both did."""
    ours = {row["target"]: row for row in rows if row["library"] == "hkflows"}
    result = []
    for library in dict.fromkeys(row["library"] for row in rows):
        pairs = [(row, ours[row["target"]]) for row in rows if row["library"] == library]
        done = [pair for pair in pairs if all("gap" in row for row in pair)]
        ratios = [row["seconds"] / our["seconds"] for row, our in done]
        excess = [row["gap"] - our["gap"] for row, our in done]
        result.append(
            {
                "library": library,
                "targets": len(pairs),
                "done": sum("gap" in row for row, _ in pairs),
                "reliable": sum(row.get("khat", math.inf) < 0.7 for row, _ in pairs),
                "time_ratio": statistics.geometric_mean(ratios) if done else None,
                "median_gap": statistics.median(row["gap"] for row, _ in done) if done else None,
                "better_than_ours": sum(value < -CLOSE for value in excess),
                "worse_than_ours": sum(value > CLOSE for value in excess),
            }
        )
    return result


def print_comparison(rows: list[Row]) -> None:
    """Prints the table of `compare`."""
    print(f"\nOver targets; a gap is better or worse if by more than {CLOSE} nats.\n")
    print_row(
        ["library", "finite", "k-hat < 0.7", "time, ours = 1", "median gap", "better", "worse"]
    )
    print("|" + "---|" * 7)
    for row in rows:
        of = f"of {row['targets']}"
        print_row(
            [
                row["library"],
                f"{row['done']} {of}",
                f"{row['reliable']} {of}",
                "" if row["time_ratio"] is None else f"{row['time_ratio']:.2f}",
                "" if row["median_gap"] is None else f"{row['median_gap']:.3f}",
                row["better_than_ours"],
                row["worse_than_ours"],
            ]
        )


def main(
    targets: list[str] | None,
    libraries: list[str],
    seed: int,
    first: bool,
    quick: bool,
    json_path: str | None,
) -> None:
    """Prints a row for each target and library, and writes all fits to a file if asked."""
    targets = targets or (QUICK_TARGETS if quick else list(TARGETS))
    report: dict[str, Any] = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cores": os.cpu_count(),
        "first": first,
        "quick": quick,
        "best": [],
        "fits": [],
    }
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()) + "\n")
    print_row(list(COLUMNS.values()))
    print("|" + "---|" * len(COLUMNS))
    errors = []
    for target in targets:
        for library in libraries:
            settings = list(LIBRARIES[library])[: 1 if first or quick else None]
            fits = []
            for setting in settings:
                row: Row = {"target": target, "library": library, "setting": setting, "seed": seed}
                arguments = [library, setting, target, seed, quick]
                fits.append(row | in_fresh_process(__file__, arguments, SECONDS))
            report["fits"] += fits
            report["best"].append(best(fits))
            print_row(cells(report["best"][-1]))
            errors += [fit for fit in fits if "error" in fit]
            if "hkflows" in libraries[: libraries.index(library) + 1]:
                report["comparison"] = compare(report["best"])
            write(report, json_path)
    for row in errors:
        message = row["error"].splitlines()[0][:200]
        print(f"\n{row['library']}, {row['setting']}, on {row['target']}: {message}")
    if "comparison" in report:
        print_comparison(report["comparison"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=[*TARGETS, "plain"],
        metavar="TARGET",
        help="'plain' for those in their own units; " + ", ".join(TARGETS),
    )
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", action="store_true", help="only the first setting of a library")
    parser.add_argument(
        "--quick", action="store_true", help="that, few steps, and two targets by default"
    )
    parser.add_argument("--json", dest="json_path", nargs="?", const=str(JSON_PATH))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    one = options.pop("one")
    if one is not None:
        print(json.dumps(measure(*json.loads(one))))
    else:
        if options["targets"] and "plain" in options["targets"]:
            options["targets"] = [*PLAIN, *(x for x in options["targets"] if x not in PLAIN)]
            options["targets"].remove("plain")
        main(**options)
