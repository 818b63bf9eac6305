"""What the two directions of an affine masked autoregressive flow cost, here and elsewhere.

For each library and size: the time of the parallel direction (scoring) and of the sequential one
(sampling), log-det included, of the gradients of both with respect to parameters and input, the
time to compile, and the temporary memory of the compiled gradient. All run on the same sizes in one
process, zuko where it and torch are installed. Only ratios within one run are worth quoting.

    python benchmarks/sequential.py
    python benchmarks/sequential.py --sizes 16 64 --libraries hkflows flowjax --json out.json
"""

import argparse
import functools
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flowjax.bijections
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import surjectors
import surjectors.nn
import tensorflow_probability.substrates.jax.bijectors as tfb
from report import write

import hkflows as hkf
from hkflows.kernels import degrees

Array = jax.Array
Direction = Callable[[Any, Array], tuple[Array, Array]]

# Event size, hidden width (two layers), batch: the sizes of the published numbers.
SIZES = {16: (128, 1024), 64: (512, 1024), 256: (1024, 256)}


class Flow(NamedTuple):
    """One layer of one library: its parameters and its two directions."""

    params: Any
    parallel: Direction
    sequential: Direction


def ours(transformer: hkf.Transformer, event_size: int, width: int) -> Flow:
    """Returns `hkflows.MAF`."""
    build = hk.without_apply_rng(
        hk.transform(lambda: hkf.MAF(hkf.MADE(event_size, [width, width]), transformer))
    )
    return Flow(
        perturb(build.init(jax.random.key(0))),
        lambda params, y: build.apply(params).inverse_and_log_det(y),
        lambda params, x: build.apply(params).forward_and_log_det(x),
    )


def from_surjectors(event_size: int, width: int) -> Flow:
    """Returns `surjectors.MaskedAutoregressive`."""

    def bijector_fn(params: Array) -> surjectors.ScalarAffine:
        shift, log_scale = params[..., 0], params[..., 1]
        return surjectors.ScalarAffine(shift, log_scale)

    def call(method: str, value: Array) -> tuple[Array, Array]:
        made = surjectors.nn.MADE(event_size, [width, width], 2)
        layer = surjectors.MaskedAutoregressive(made, bijector_fn)
        return getattr(layer, method)(value)

    transformed = hk.without_apply_rng(hk.transform(call))
    params = transformed.init(
        jax.random.key(0), "inverse_and_likelihood_contribution", jnp.zeros((1, event_size))
    )
    return Flow(
        perturb(params),
        lambda params, y: transformed.apply(params, "inverse_and_likelihood_contribution", y),
        lambda params, x: transformed.apply(params, "forward_and_likelihood_contribution", x),
    )


def from_flowjax(event_size: int, width: int) -> Flow:
    """Returns `flowjax.bijections.MaskedAutoregressive`."""
    layer = flowjax.bijections.MaskedAutoregressive(
        jax.random.key(0),
        transformer=flowjax.bijections.Affine(),
        dim=event_size,
        nn_width=width,
        nn_depth=2,
    )
    params, static = eqx.partition(layer, eqx.is_inexact_array)

    def direction(method: str, params: Any, value: Array) -> tuple[Array, Array]:
        bijection = paramax.unwrap(eqx.combine(params, static))
        return jax.vmap(getattr(bijection, method))(value)

    # Its transform conditions on the input, so its inverse is the sequential direction.
    return Flow(
        perturb(params),
        functools.partial(direction, "transform_and_log_det"),
        functools.partial(direction, "inverse_and_log_det"),
    )


def from_tfp(event_size: int, width: int) -> Flow:
    """Returns `tfb.MaskedAutoregressiveFlow`; its JAX substrate has no network, so a plain one."""
    inputs = np.arange(1, event_size + 1)
    hidden = degrees.hidden_degrees(width, event_size, conditional=False)
    masks = [
        degrees.mask(inputs, hidden),
        degrees.mask(hidden, hidden),
        degrees.mask(hidden, np.repeat(inputs, 2), strict=True),
    ]

    def network(params: Any, u: Array) -> tuple[Array, Array]:
        for index, ((weight, bias), mask) in enumerate(zip(params, masks, strict=True)):
            u = (jax.nn.relu(u) if index else u) @ (weight * mask) + bias
        u = u.reshape(*u.shape[:-1], event_size, 2)
        return u[..., 0], u[..., 1]

    def direction(method: str, params: Any, value: Array) -> tuple[Array, Array]:
        bijector = tfb.MaskedAutoregressiveFlow(functools.partial(network, params))
        result = getattr(bijector, method)(value)
        return result, getattr(bijector, f"{method}_log_det_jacobian")(value, 1)

    params = [(jnp.zeros(mask.shape), jnp.zeros(mask.shape[1])) for mask in masks]
    return Flow(
        perturb(params),
        functools.partial(direction, "inverse"),
        functools.partial(direction, "forward"),
    )


LIBRARIES = {
    "hkflows": functools.partial(ours, hkf.Affine()),
    "hkflows spline": functools.partial(ours, hkf.RationalQuadratic()),
    "surjectors": from_surjectors,
    "flowjax": from_flowjax,
    "tfp": from_tfp,
}


def zuko_row(event_size: int, repeats: int, gradients: bool) -> dict[str, Any]:
    """Measures zuko's masked autoregressive transform, which runs in torch, uncompiled."""
    import torch
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform

    width, batch = SIZES[event_size]
    layer = MaskedAutoregressiveTransform(event_size, hidden_features=(width, width))
    value = torch.randn(batch, event_size, requires_grad=gradients)

    def parallel() -> Any:
        return layer().call_and_ladj(value)

    def sequential() -> Any:
        return layer().inv.call_and_ladj(value)

    def gradient(direction: Callable) -> Callable:
        def run() -> None:
            result, log_det = direction()
            ((result**2).sum() + log_det.sum()).backward()

        return run

    with torch.no_grad():
        row = {
            "parallel": {"run": median_seconds(parallel, repeats)},
            "sequential": {"run": median_seconds(sequential, repeats)},
        }
    if gradients:
        row["parallel gradient"] = {"run": median_seconds(gradient(parallel), repeats)}
        row["sequential gradient"] = {"run": median_seconds(gradient(sequential), repeats)}
    return row


def perturb(params: Any) -> Any:
    """Adds noise of a trained network's size, so that no layer is zero."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [
        leaf + 0.1 * jax.random.normal(key, leaf.shape) / max(1, leaf.shape[0]) ** 0.5
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)


def measure(function: Callable, *args: Any, repeats: int) -> dict[str, float]:
    """Returns the seconds to compile, the median seconds to run, and temporary bytes."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    compile_seconds = time.perf_counter() - start
    return {
        "compile": compile_seconds,
        "run": median_seconds(lambda: jax.block_until_ready(compiled(*args)), repeats),
        "bytes": compiled.memory_analysis().temp_size_in_bytes,
    }


def median_seconds(function: Callable[[], Any], repeats: int) -> float:
    """Returns the median time of a call after a first one; at most about 20 s of calls."""
    function()
    seconds = []
    while len(seconds) < repeats and sum(seconds) < 20.0:
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def benchmark(library: str, event_size: int, repeats: int, gradients: bool) -> dict[str, Any]:
    """Measures one library at one size."""
    if library == "zuko":
        return zuko_row(event_size, repeats, gradients)
    width, batch = SIZES[event_size]
    flow = LIBRARIES[library](event_size, width)
    value = jax.random.normal(jax.random.key(2), (batch, event_size))

    def gradient(direction: Direction) -> Callable:
        def total(params: Any, value: Array) -> Array:
            result, log_det = direction(params, value)
            return jnp.sum(result**2) + jnp.sum(log_det)

        return jax.grad(total, argnums=(0, 1))

    functions = {"parallel": flow.parallel, "sequential": flow.sequential}
    if gradients:
        functions["parallel gradient"] = gradient(flow.parallel)
        functions["sequential gradient"] = gradient(flow.sequential)
    return {
        name: measure(function, flow.params, value, repeats=repeats)
        for name, function in functions.items()
    }


def time_ratio(first: Callable, second: Callable, *args: Any, repeats: int) -> float:
    """Returns the median time of one function over that of another, their calls interleaved."""
    compiled = [jax.jit(function).lower(*args).compile() for function in (first, second)]
    seconds: list[list[float]] = [[], []]
    for _ in range(1 + repeats):
        for function, times in zip(compiled, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function(*args))
            times.append(time.perf_counter() - start)
    one, other = (statistics.median(times[1:]) for times in seconds)
    return one / other


def path_against_total(repeats: int) -> float:
    """Returns the time of a path ELBO gradient over that of a total one: 4-layer IAF, D = 64."""
    flow = hkf.flows.iaf(64, num_layers=4, hidden_sizes=[256, 256])
    params = perturb(flow.init(jax.random.key(0)))

    def gradient(estimator: hkf.elbo.Estimator) -> Callable:
        def loss(params: Any, seed: Array) -> Array:
            return hkf.elbo.negative_elbo(
                flow.apply(params),
                lambda y: -0.5 * jnp.sum(y**2),
                seed=seed,
                num_samples=256,
                estimator=estimator,
            )[0]

        return jax.grad(loss)

    args = params, jax.random.key(3)
    return time_ratio(gradient("path"), gradient("total"), *args, repeats=repeats)


def parallel_against_tfp(event_size: int, repeats: int) -> float:
    """Returns the time of our parallel direction over that of TFP's, on equal networks."""
    width, batch = SIZES[event_size]
    flows = [LIBRARIES[library](event_size, width) for library in ("hkflows", "tfp")]
    value = jax.random.normal(jax.random.key(2), (batch, event_size))
    ours, theirs = (functools.partial(flow.parallel, flow.params) for flow in flows)
    return time_ratio(ours, theirs, value, repeats=5 * repeats)


def main(sizes: list[int], libraries: list[str], repeats: int, json_path: str | None) -> None:
    """Prints a row a library and size, and writes the numbers to a file if asked."""
    report: dict[str, Any] = {"device": jax.devices()[0].device_kind, "rows": []}
    print(f"device: {report['device']}; S = sequential, P = parallel, times in ms\n")
    head = (
        "| D | library | P | S | S / P | S, ours = 1 | compile S (s) | grad S / grad P | "
        "memory grad S / grad P |"
    )
    print(head)
    print("|" + "---|" * (head.count("|") - 1))
    for event_size in sizes:
        baseline = None
        for library in libraries:
            # Unrolled or D-pass gradients at the largest size would take most of an hour.
            gradients = library.startswith("hkflows") or event_size <= 64
            row = benchmark(library, event_size, repeats, gradients)
            report["rows"].append({"event_size": event_size, "library": library, **row})
            parallel, sequential = row["parallel"], row["sequential"]
            baseline = baseline or sequential["run"]
            cells = [
                event_size,
                library,
                f"{1e3 * parallel['run']:.2f}",
                f"{1e3 * sequential['run']:.2f}",
                f"{sequential['run'] / parallel['run']:.2f}",
                f"{sequential['run'] / baseline:.1f}",
                f"{sequential['compile']:.2f}" if "compile" in sequential else "",
            ]
            for unit in ("run", "bytes"):
                if gradients and unit in row["sequential gradient"]:
                    ratio = row["sequential gradient"][unit] / row["parallel gradient"][unit]
                    cells.append(f"{ratio:.2f}")
                else:
                    cells.append("")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            write(report, json_path)
    if "hkflows" in libraries:
        report["path / total"] = path_against_total(repeats)
        print(f"\npath / total ELBO gradient, 4-layer IAF: {report['path / total']:.2f}")
    if {"hkflows", "tfp"} <= set(libraries):
        ratios = {event_size: parallel_against_tfp(event_size, repeats) for event_size in sizes}
        report["parallel, hkflows / tfp"] = ratios
        text = ", ".join(f"D = {size}: {ratio:.2f}" for size, ratio in ratios.items())
        print(f"parallel direction, hkflows / tfp, calls interleaved: {text}")
    write(report, json_path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    everyone = [*LIBRARIES, *(["zuko"] if importlib.util.find_spec("zuko") else [])]
    parser.add_argument("--libraries", nargs="+", choices=everyone, default=everyone)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--json", dest="json_path", default=None)
    main(**vars(parser.parse_args()))
