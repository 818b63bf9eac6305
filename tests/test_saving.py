"""Fits on disk: all that they hold comes back, and nothing is taken for what it is not."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hkflows as hkf
from hkflows import training
from hkflows.diagnostics import Diagnostics, Parameters
from hkflows.training.gaussians import FORMS

KEY = jax.random.key(0)


def density_fit(flow, context_size=None):
    """A fit that has not been trained: quick to make."""
    params = flow.init(KEY, *([jnp.ones((1, context_size))] if context_size else []))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    losses = np.asarray([2.0, np.nan, 1.0])
    return hkf.DensityFit(flow, params, losses, np.empty(0), -1.0, context_size, 1, "tired", 0.5)


def posterior_fit(flow, params, target):
    numbers = Parameters(("a", "b"), *np.random.default_rng(0).normal(size=(7, 2)))
    diagnostics = Diagnostics(
        "good", "why not", -np.inf, np.nan, 0.5, None, 3.0, 4, 0, 1, 0.0, 0.0, numbers, np.zeros(4)
    )
    stages = (training.Stage("start", -1.0, 0.1, 0.2, 3.0, True, "well"),)
    return hkf.PosteriorFit(target, flow, params, stages, np.zeros(3), diagnostics, 0, "done", 1.0)


@pytest.mark.parametrize(
    "flow",
    [
        hkf.flows.iaf(3, num_layers=1, hidden_sizes=[8], activation=jnp.tanh),
        hkf.flows.nsf(3, num_layers=1, hidden_sizes=(8,), num_bins=np.int64(4), bound=3),
        hkf.flows.maf(
            3, num_layers=1, hidden_sizes=[8], transformer=hkf.RationalQuadratic(num_bins=4)
        ),
        training.default_flow(3),
        *(training.around(training.unmoved(form(3)), form(3)) for form in FORMS.values()),
    ],
    ids=lambda flow: flow.name,
)
def test_what_is_ready_made_needs_nothing_else(tmp_path, flow):
    fit = density_fit(flow)
    fit.save(tmp_path / "fit")
    assert not [path for path in tmp_path.rglob("*") if path.suffix not in ("", ".json", ".npz")]
    read = hkf.load_fit(tmp_path / "fit")
    if flow.name != "around":  # Gaussians are equal to themselves alone
        assert read.flow == flow
    for field in ("params", "losses", "validation_losses"):
        jax.tree.map(np.testing.assert_array_equal, getattr(read, field), getattr(fit, field))
    assert (read.context_size, read.num_skipped, read.stop_reason) == (None, 1, "tired")
    jax.tree.map(np.testing.assert_array_equal, read.distribution, fit.distribution)


def test_equal_arguments_make_equal_flows():
    assert hkf.flows.nsf(2, hidden_sizes=[8]) == hkf.flows.nsf(2, hidden_sizes=(8,))
    assert hash(hkf.flows.nsf(2, hidden_sizes=[8])) == hash(hkf.flows.nsf(2, hidden_sizes=(8,)))
    assert hkf.flows.nsf(2) != hkf.flows.nsf(2, num_bins=4)
    assert hkf.flows.nsf(2) != hkf.flows.nsf(3)
    assert isinstance(hkf.flows.nsf(2), hk.Transformed)


def test_a_flow_of_the_users_own_and_a_target_are_to_be_given(tmp_path):
    @hk.without_apply_rng
    @hk.transform
    def own(context=None):
        bijector = hkf.Chain([hkf.IAF(hkf.MADE(2, [4])), hkf.Elementwise(2, hkf.Affine())])
        return hkf.FlowDistribution(hkf.standard_normal(2), bijector)

    target = hkf.Target(lambda z: -jnp.sum(z**2), 2, lambda z: {"a": z[0], "b": jnp.exp(z[1])})
    fit = posterior_fit(own, own.init(KEY), target)
    fit.save(tmp_path / "own")
    for missing, given in (("flow", {"target": target}), ("target", {"flow": own})):
        with pytest.raises(ValueError, match=f"`{missing}` must be given"):
            hkf.load_fit(tmp_path / "own", **given)
    with pytest.raises(ValueError, match="`flow` must be that"):
        hkf.load_fit(tmp_path / "own", target=target, flow=hkf.flows.maf(2))
    with pytest.raises(ValueError, match="event shape"):
        hkf.load_fit(tmp_path / "own", target=hkf.Target(lambda z: z[0], 3), flow=own)
    for names, difference in (("ac", "`b` there and `c` here"), ("a", "`b` there and `None` here")):
        other = hkf.Target(
            target.log_density, 2, lambda z, names=names: dict(zip(names, z, strict=False))
        )
        with pytest.raises(ValueError, match=difference):
            hkf.load_fit(tmp_path / "own", target=other, flow=own)
    read = hkf.load_fit(tmp_path / "own", target=target, flow=own)
    jax.tree.map(np.testing.assert_array_equal, read.sample(1, 5), fit.sample(1, 5))
    assert read.summary() == fit.summary()
    assert (
        repr(read)
        == repr(fit)
        == ("PosteriorFit(event_size=2, verdict='good', elbo=-inf, ess=3 of 4)")
    )
    assert read.stages == fit.stages

    # A ready-made flow with a function of the user's is of the user's own.
    lambda_flow = hkf.flows.maf(2, num_layers=1, activation=lambda x: x)
    density_fit(lambda_flow, context_size=2).save(tmp_path / "lambda")
    assert hkf.load_fit(tmp_path / "lambda", flow=lambda_flow).context_size == 2
    density_fit(hkf.flows.mean_field(2)).save(tmp_path / "plain")
    with pytest.raises(ValueError, match="`target` must not be given"):
        hkf.load_fit(tmp_path / "plain", target=target)


def draws(fit):
    return fit.distribution.sample(seed=7, sample_shape=(9,))


def draw_in_a_child(folder):
    fit = hkf.load_fit(pathlib.Path(folder) / "fit")
    np.save(pathlib.Path(folder) / "draws.npy", draws(fit))


def test_a_fresh_process_draws_the_same(tmp_path):
    flow = hkf.flows.nsf(2, num_layers=2, hidden_sizes=(8,), num_bins=4, activation=jax.nn.silu)
    fit = density_fit(flow)
    fit.save(tmp_path / "fit")
    tests = pathlib.Path(__file__).parent
    script = "import conftest, sys, test_saving as t; t.draw_in_a_child(sys.argv[1])"
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        timeout=300,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "draws.npy"), draws(fit))


def test_dtypes_come_back(tmp_path, x64):
    fit = density_fit(hkf.flows.mean_field(2))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), fit.params)
    for name, params in (("half", half), ("double", fit.params)):
        dataclasses.replace(fit, params=params).save(tmp_path / name)
        read = hkf.load_fit(tmp_path / name).params
        assert jax.tree.map(lambda a: a.dtype, read) == jax.tree.map(lambda a: a.dtype, params)
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        hkf.load_fit(tmp_path / "double")


def test_nothing_is_overwritten_and_damage_is_noticed(tmp_path):
    fit = density_fit(hkf.flows.mean_field(2))
    fit.save(tmp_path / "fit")
    with pytest.raises(ValueError, match="`path` must be a new or an empty folder"):
        fit.save(tmp_path / "fit")
    with pytest.raises(ValueError, match="`path` must be a folder"):
        hkf.load_fit(tmp_path)
    description = tmp_path / "fit" / "description.json"
    text = description.read_text()
    for changed in (
        text.replace("tired", "awake"),
        text[: len(text) // 2],
        "[]",
        json.dumps({**json.loads(text), "format": 1}),
    ):
        description.write_text(changed)
        with pytest.raises(ValueError, match=r"damaged|format 2"):
            hkf.load_fit(tmp_path / "fit")
    description.write_text(text)
    arrays = tmp_path / "fit" / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        hkf.load_fit(tmp_path / "fit")
