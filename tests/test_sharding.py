"""Several devices do what one does: each case in processes of its own, where JAX can be told so."""

import os
import pathlib
import re
import runpy
import subprocess
import sys

import jax
import pytest

import hkflows as hkf

FOLDER = pathlib.Path(__file__).parent


def test_eight_devices_have_the_losses_of_one():
    done = subprocess.run(
        [sys.executable, FOLDER / "several_devices.py"],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shards, apart = done.stdout.splitlines()
    assert shards == "8 shards of shape (2,)"
    assert float(apart) < 1e-5


def test_two_processes_have_the_losses_of_one_device():
    path = FOLDER.parent / "examples" / "two_processes.py"
    output = runpy.run_path(str(path))["main"](num_rows=640, num_steps=40)
    assert "4 devices of 2 processes" in output
    assert float(re.search(r"at most (\S+) apart", output)[1]) < 1e-5


def test_what_cannot_be_spread_is_an_error():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("devices",))
    q = hkf.standard_normal(2)
    settings = {"seed": 0, "num_samples": 4}
    with pytest.raises(ValueError, match=r"`mesh` must be a `jax.sharding.Mesh`"):
        hkf.elbo.negative_elbo(q, q.log_prob, mesh=8, **settings)
    with pytest.raises(ValueError, match="`chunk_size` must not be given with a `mesh`"):
        hkf.elbo.negative_elbo(q, q.log_prob, mesh=mesh, chunk_size=2, **settings)
