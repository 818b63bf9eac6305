"""Checkpoints: what is resumed, what is refused, and what survives the end of a process."""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hkflows as hkf
from hkflows.training.loop import minimise
from hkflows.training.posterior import first_stages, recipe

DATA = np.random.default_rng(0).normal(size=(200, 2)) ** 3
# Without held-out rows, so that no fit ends early.
SETTINGS = {"num_steps": 400, "batch_size": 50, "validation_fraction": 0.0, "progress": False}


def fit(folder=None, **settings):
    """Some chunks of a small fit."""
    flow = hkf.flows.maf(2, num_layers=1, hidden_sizes=[8])
    settings = {"flow": flow, "data": DATA, "key": 0, **SETTINGS, **settings}
    return hkf.fit_density(checkpoint_dir=folder, **settings)


def until(step, interrupt):
    """A callback that interrupts at a step."""

    def callback(snapshot):
        if snapshot.step >= step:
            interrupt()

    return callback


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def assert_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    np.testing.assert_array_equal(first.losses, second.losses)
    assert first.stop_reason == second.stop_reason


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_fit_goes_on_where_it_was_interrupted(tmp_path):
    """Twice; with a key of another kind; and when there is nothing left to do."""
    settings = {"key": jax.random.key(3, impl="rbg")}
    whole = fit(**settings)
    for step in (100, 300):
        part = fit(tmp_path / "a", resume=True, callback=until(step, ctrl_c), **settings)
        assert "interrupted" in part.stop_reason
    for _ in range(2):
        assert_equal(fit(tmp_path / "a", resume=True, **settings), whole)
    assert 300 <= len(part.losses) < 400
    np.testing.assert_array_equal(part.losses, whole.losses[: len(part.losses)])


def test_another_fit_is_refused_and_nothing_overwritten(tmp_path):
    small = {"flow": hkf.flows.mean_field(2)}
    fit(tmp_path, callback=until(1, ctrl_c), **small)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="resume=True"):
        fit(tmp_path, **small)
    for other, what in (
        ({"key": 1}, "key"),
        ({"num_steps": 500}, "number of steps"),
        ({"data": DATA[:, ::-1]}, "data"),
        ({"data": DATA[:-10]}, "data"),
        ({"flow": hkf.flows.gaussian(2)}, "start"),
        ({"optimizer": optax.adam(1e-3)}, "optimizer"),
    ):
        with pytest.raises(ValueError, match=f"`checkpoint_dir` .* another .*{what}"):
            fit(tmp_path, resume=True, **{**small, **other})
    assert content(tmp_path) == before


def test_a_folder_of_another_kind_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    for resume in (False, True):
        with pytest.raises(ValueError, match="`checkpoint_dir` must"):
            fit(tmp_path, resume=resume)
    with pytest.raises(ValueError, match="`checkpoint_dir` must be given"):
        fit(resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@dataclasses.dataclass(frozen=True)
class Noisy:
    """A parabola with a noisy minimum, in parameters of several kinds."""

    def inputs(self, fixed, key, steps):
        return jax.random.split(key, len(steps))

    def loss(self, params, fixed, key):
        noise = jax.random.normal(key, (30,))
        return jnp.sum((params["w"] - noise) ** 2) + jnp.sum(params["half"] ** 2)

    def score(self, params, fixed, mean_loss):
        return mean_loss, {"largest": jnp.max(params["w"])}


PARAMS = {"w": jnp.ones(30), "half": jnp.ones(3, jnp.bfloat16), "none": jnp.ones((0, 2))}
OPTIMIZER = optax.adam(0.1)


def run(folder=None, **settings):
    return minimise.minimise(
        Noisy(),
        PARAMS,
        key=jax.random.key(0),
        optimizer=OPTIMIZER,
        num_steps=25,
        chunk_steps=10,
        checkpoint_dir=folder,
        **settings,
    )


def damaged(content, how):
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return flipped if how == "flipped" else content[:middle]


@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_damage_is_noticed_in_every_file(tmp_path, how):
    """Refused, and nothing overwritten; or of no consequence, as in what orbax notes for itself."""
    whole = run()
    written = tmp_path / "written"
    run(written, callback=until(10, ctrl_c))
    refused = []
    for index, path in enumerate(content(written)):
        folder = tmp_path / str(index)
        shutil.copytree(written, folder)
        place = folder / path.relative_to(written)
        place.write_bytes(damaged(place.read_bytes(), how))
        before = content(folder)
        message = ""
        try:
            assert_equal(run(folder, resume=True), whole)
        except ValueError as error:
            message = str(error)
            refused.append(path.name)
            assert content(folder) == before
        assert "`checkpoint_dir` must" in message or not message
    assert "description.json" in refused
    assert len(refused) >= 5


def child(*args):
    """Runs this file in a process of its own."""
    script = "import conftest, sys, test_checkpoints as t; t.in_a_child(*sys.argv[1:])"
    tests = pathlib.Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def in_a_child(folder, number, step):
    number = int(number)
    fit(folder, resume=True, callback=until(int(step), lambda: os.kill(os.getpid(), number)))


def test_a_fit_survives_the_end_of_its_process(tmp_path):
    """Killed while it writes, then asked to end, then resumed here: the same parameters."""
    for number, step in ((signal.SIGKILL, 103), (signal.SIGTERM, 250)):
        process = child(tmp_path, int(number), step)
        assert process.returncode == -number, process.stderr
    steps = []
    resumed = fit(tmp_path, resume=True, callback=lambda snapshot: steps.append(snapshot.step))
    assert 250 < steps[0] < 400  # SIGTERM waits for a checkpoint
    assert_equal(resumed, fit())


def test_a_posterior_keeps_its_first_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "default_flow", hkf.flows.mean_field)  # quick to compile
    target = hkf.Target(lambda z: jnp.sum(z - jnp.exp(z)), 1)
    settings = {"key": 0, "num_steps": 500, "num_samples": 8, "progress": False}
    whole = hkf.fit_posterior(target, **settings)
    settings |= {"checkpoint_dir": tmp_path, "resume": True}
    part = hkf.fit_posterior(target, callback=until(250, ctrl_c), **settings)
    assert "interrupted" in part.stop_reason
    monkeypatch.setattr(first_stages, "find_start", None)  # not to be called again
    resumed = hkf.fit_posterior(target, **settings)
    assert_equal(resumed, whole)
    np.testing.assert_array_equal(resumed.diagnostics.log_weights, whole.diagnostics.log_weights)
    assert [stage.elbo for stage in resumed.stages] == [stage.elbo for stage in whole.stages]
    with pytest.raises(ValueError, match="`path` must hold a fit"):
        hkf.load_fit(tmp_path / "gaussian")
    other = hkf.Target(lambda z: jnp.sum(2.0 * z - jnp.exp(z)), 1)
    with pytest.raises(ValueError, match="another flow, target"):
        hkf.fit_posterior(other, **settings)
