"""What the rational-quadratic spline costs, here and elsewhere.

On one array of points: forward and inverse with their log-slopes, and the gradients of both with
respect to points and parameters. Either each point has parameters of its own, as in a coupling, or
a column shares them, as in the element-wise arrangement. The calls of all libraries are
interleaved, so that their ratios mean something on a busy machine too; the times do not.

    python benchmarks/splines.py
    python benchmarks/splines.py --shape 2000 64 --num_bins 8 --json out.json
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import distrax
import equinox as eqx
import flowjax.bijections
import jax
import jax.numpy as jnp
import paramax
from flowjax.utils import get_ravelled_pytree_constructor
from report import write

import hkflows as hkf

Array = jax.Array
Direction = Callable[[Array, Array], tuple[Array, Array]]

BOUND = 5.0


class Spline(NamedTuple):
    """The spline of one library: its unconstrained parameters and its two directions."""

    num_params: int
    forward: Direction
    inverse: Direction


def ours(num_bins: int) -> Spline:
    """Returns `hkflows.RationalQuadratic`."""
    tau = hkf.RationalQuadratic(num_bins=num_bins, bound=BOUND)
    return Spline(tau.num_params, tau.forward, tau.inverse)


def from_distrax(num_bins: int) -> Spline:
    """Returns `distrax.RationalQuadraticSpline`."""

    def build(params: Array) -> distrax.RationalQuadraticSpline:
        return distrax.RationalQuadraticSpline(params, -BOUND, BOUND, boundary_slopes="identity")

    return Spline(
        3 * num_bins + 1,
        lambda x, params: build(params).forward_and_log_det(x),
        lambda y, params: build(params).inverse_and_log_det(y),
    )


def from_flowjax(num_bins: int) -> Spline:
    """Returns `flowjax.bijections.RationalQuadraticSpline`, mapped over the points."""
    spline = flowjax.bijections.RationalQuadraticSpline(knots=num_bins - 1, interval=BOUND)
    build, num_params = get_ravelled_pytree_constructor(spline, eqx.is_inexact_array)

    def direction(method: str, points: Array, params: Array) -> tuple[Array, Array]:
        def one(point: Array, params: Array) -> tuple[Array, Array]:
            return getattr(paramax.unwrap(build(params)), method)(point)

        rows = jax.vmap(jax.vmap(one), in_axes=(0, 0 if params.ndim == 3 else None))
        return rows(points, params)

    return Spline(
        num_params,
        functools.partial(direction, "transform_and_log_det"),
        functools.partial(direction, "inverse_and_log_det"),
    )


LIBRARIES = {"hkflows": ours, "distrax": from_distrax, "flowjax": from_flowjax}


def gradient(direction: Direction) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Returns the gradient of a scalar of the result with respect to points and parameters."""

    def total(points: Array, params: Array) -> Array:
        result, log_slope = direction(points, params)
        return jnp.sum(result**2) + jnp.sum(log_slope)

    return jax.grad(total, argnums=(0, 1))


def interleaved(
    functions: Mapping[str, Callable], args: Mapping[str, Any], repeats: int
) -> dict[str, float]:
    """Returns the median seconds of a call of each function, called in turn."""
    compiled = {
        name: jax.jit(function).lower(*args[name]).compile() for name, function in functions.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(1 + repeats):
        for name, function in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*args[name]))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main(shape: tuple[int, int], num_bins: int, repeats: int, json_path: str | None) -> None:
    """Prints a row a setting and direction, and writes the numbers to a file if asked."""
    splines = {name: build(num_bins) for name, build in LIBRARIES.items()}
    points = 1.5 * jax.random.normal(jax.random.key(0), shape)
    report: dict[str, Any] = {
        "device": jax.devices()[0].device_kind,
        "shape": list(shape),
        "num_bins": num_bins,
        "rows": [],
    }
    print(f"device: {report['device']}; {num_bins} bins, points {list(shape)}, times in ms\n")
    print(f"| parameters | what | {' | '.join(splines)} | hkflows / faster of the others |")
    print("|" + "---|" * (len(splines) + 3))
    for setting, batch in {"of each point": shape, "of each column": shape[1:]}.items():
        args = {
            name: (points, jax.random.normal(jax.random.key(1), (*batch, spline.num_params)))
            for name, spline in splines.items()
        }
        for direction in ("forward", "inverse"):
            plain = {name: getattr(spline, direction) for name, spline in splines.items()}
            gradients = {name: gradient(function) for name, function in plain.items()}
            both = {direction: plain, f"{direction}, gradient": gradients}
            for what, functions in both.items():
                seconds = interleaved(functions, args, repeats)
                ratio = seconds["hkflows"] / min(seconds["distrax"], seconds["flowjax"])
                row = {"parameters": setting, "what": what, **seconds, "ratio": ratio}
                report["rows"].append(row)
                times = " | ".join(f"{1e3 * value:.2f}" for value in seconds.values())
                print(f"| {setting} | {what} | {times} | {ratio:.2f} |", flush=True)
    write(report, json_path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=[2000, 64])
    parser.add_argument("--num_bins", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=51)
    parser.add_argument("--json", dest="json_path", default=None)
    arguments = vars(parser.parse_args())
    main(**arguments | {"shape": tuple(arguments["shape"])})
