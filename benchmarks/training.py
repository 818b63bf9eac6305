"""What training costs, here and elsewhere: on the same work, each library by its own loop.

Steps a second of an ELBO and of a likelihood, with affine maps and with splines, compilation apart;
draws a second of what was fitted; the seconds from `python script.py` to the end of a first fit of
200 steps; and what depth costs to compile and to run. The libraries take turns, so that their
ratios mean something on a busy machine too. Surjectors has no inverse autoregressive ELBO that is
not sequential, NumPyro no likelihood of data; zuko is measured where it and torch are installed.

    python benchmarks/training.py --json
    python benchmarks/training.py --parts speed --works elbo --quick
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from report import Row, print_row, write
from trainers import Trainer

JSON_PATH = pathlib.Path(__file__).parent / "results" / "training-cpu.json"
PACKAGES = ["hkflows", "surjectors", "flowjax", "numpyro", "zuko", "torch", "jax"]
PARTS = ["speed", "cold", "depth"]
WORKS = ["elbo", "likelihood"]
NUM_DRAWS = {"elbo": 10_000, "likelihood": 1000}
COLD_STEPS = 200
DEPTHS = [4, 16, 64]


def libraries(work: str, *, spline: bool) -> dict[str, Callable[[bool], Trainer]]:
    """Returns the libraries that can do some work."""
    module = importlib.import_module(f"trainers.{work}")
    return {
        name: make
        for name, make in module.LIBRARIES.items()
        if importlib.util.find_spec(name) and not (spline and name in module.NO_SPLINE)
    }


def seconds_of(function: Callable[[], Any]) -> float:
    """Returns what a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Returns the seconds of the first call of each function and the median of the others."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(1 + repeats):
        for name, function in functions.items():
            seconds[name].append(seconds_of(function))
    return {name: [times[0], statistics.median(times[1:])] for name, times in seconds.items()}


def speed(works: list[str], num_steps: int, repeats: int) -> Iterator[Row]:
    """Prints and yields steps and draws a second."""
    print(f"\n{num_steps} steps a training\n")
    head = ["work", "maps", "library", "steps / s", "ours / theirs", "first call (s)"]
    print_row([*head, "draws / s", "ours / theirs"])
    print("|" + "---|" * (len(head) + 2))
    for work in works:
        for spline in (False, True):
            trainers = {name: make(spline) for name, make in libraries(work, spline=spline).items()}
            train = {
                name: functools.partial(trainer.train, num_steps)
                for name, trainer in trainers.items()
            }
            draw = {
                name: functools.partial(trainer.draw, NUM_DRAWS[work])
                for name, trainer in trainers.items()
            }
            training, drawing = interleaved(train, repeats), interleaved(draw, repeats)
            for name in trainers:
                first, again = training[name]
                row = {
                    "work": work,
                    "maps": "splines" if spline else "affine",
                    "library": name,
                    "steps a second": num_steps / again,
                    "steps, ours / theirs": again / training["hkflows"][1],
                    "first call": first,
                    "draws a second": NUM_DRAWS[work] / drawing[name][1],
                    "draws, ours / theirs": drawing[name][1] / drawing["hkflows"][1],
                }
                print_row([f"{v:.3g}" if isinstance(v, float) else v for v in row.values()])
                yield row


def cold(works: list[str], repeats: int) -> Iterator[Row]:
    """Prints and yields the seconds of whole processes, from nothing to a fit of 200 steps."""
    print(f"\nSeconds of a process that does {COLD_STEPS} steps, affine maps\n")
    print_row(["work", "library", "seconds", "theirs / ours"])
    print("|" + "---|" * 4)
    for work in works:
        seconds: dict[str, list[float]] = {name: [] for name in libraries(work, spline=False)}
        for _ in range(repeats):
            for name, times in seconds.items():
                command = [sys.executable, __file__, "--one", work, name]
                times.append(seconds_of(functools.partial(subprocess.run, command, check=True)))
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        for name, median in medians.items():
            row = {"work": work, "library": name, "seconds": median}
            row["theirs / ours"] = median / medians["hkflows"]
            print_row([f"{v:.3g}" if isinstance(v, float) else v for v in row.values()])
            yield row


def depth(depths: list[int], repeats: int) -> Iterator[Row]:
    """Prints and yields what the gradient of a likelihood costs to compile and run, by depth."""
    import haiku as hk
    import jax

    import hkflows as hkf

    D, width, batch = 16, 64, 256
    y = jax.random.normal(jax.random.key(0), (batch, D))

    def layer(order: str) -> hkf.MAF:
        return hkf.MAF(hkf.MADE(D, (width, width), order=order))

    def pair(context: None = None) -> hkf.Chain:
        return hkf.Chain([layer("natural"), layer("reverse")])

    def flow(bijector: Callable[[], Any]) -> hk.Transformed:
        build = lambda: hkf.FlowDistribution(hkf.standard_normal(D), bijector())  # noqa: E731
        return hk.without_apply_rng(hk.transform(build))

    def kinds(num_layers: int) -> dict[str, hk.Transformed]:
        turns = num_layers // 2
        return {
            "ready-made": hkf.flows.maf(D, num_layers=num_layers, hidden_sizes=(width, width)),
            "unrolled": flow(lambda: hkf.Chain([pair() for _ in range(turns)])),
            "scanned": flow(lambda: hkf.Repeated(pair, turns)),
        }

    print(f"\nGradient of the likelihood of {batch} rows, D = {D}, hidden 2 x {width}\n")
    print_row(["layers", "kind", "compile (s)", "step (ms)"])
    print("|" + "---|" * 4)
    for num_layers in depths:
        compiled, compile_seconds = {}, {}
        for kind, transformed in kinds(num_layers).items():
            params = transformed.init(jax.random.key(0))

            def loss(params: Any, y: Any, transformed: hk.Transformed = transformed) -> Any:
                return hkf.likelihood.negative_log_likelihood(transformed.apply(params), y)

            start = time.perf_counter()
            program = jax.jit(jax.value_and_grad(loss)).lower(params, y).compile()
            compile_seconds[kind] = time.perf_counter() - start
            compiled[kind] = functools.partial(
                lambda program, params: jax.block_until_ready(program(params, y)), program, params
            )
        run = interleaved(compiled, 10 * repeats)
        for kind, (_, seconds) in run.items():
            row = {"layers": num_layers, "kind": kind, "compile": compile_seconds[kind]}
            row["step"] = 1e3 * seconds
            print_row([f"{v:.3g}" if isinstance(v, float) else v for v in row.values()])
            yield row


def main(
    parts: list[str], works: list[str], repeats: int, quick: bool, json_path: str | None
) -> None:
    """Prints the tables asked for, and writes them to a file if asked."""
    import jax

    num_steps, depths = (14, DEPTHS[:1]) if quick else (490, DEPTHS)  # in epochs of 7 steps
    repeats = 1 if quick else repeats
    installed = [name for name in PACKAGES if importlib.util.find_spec(name)]
    report: dict[str, Any] = {
        "versions": {name: importlib.metadata.version(name) for name in installed},
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
    }
    print(f"device: {report['device']}")
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    measure = {
        "speed": lambda: speed(works, num_steps, repeats),
        "cold": lambda: cold(works, repeats),
        "depth": lambda: depth(depths, repeats),
    }
    for part in parts:
        report[part] = []
        for row in measure[part]():
            report[part].append(row)
            write(report, json_path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few steps, once")
    parser.add_argument("--json", dest="json_path", nargs="?", const=str(JSON_PATH))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    one = options.pop("one")
    if one is not None:
        work, library = one
        libraries(work, spline=False)[library](False).train(COLD_STEPS)
    else:
        main(**options)
