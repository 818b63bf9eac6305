import contextlib
import functools
import gc
import os
import signal

import jax
import pytest

import hkflows as hkf
from hkflows import compilation
from hkflows.training.posterior import recipe

# The suite compiles thousands of small programs and runs each once: eight settings for speed.
FLAGS = [f"--{name}={value}".lower() for name, value in compilation.QUICK.items()]
FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])
os.environ.setdefault("NPROC", "1")  # threads of XLA: there are as many processes as cores

jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_include_full_tracebacks_in_locations", False)
jax.config.update("jax_traceback_in_locations_limit", 0)
gc.set_threshold(50_000, 20, 50)  # tracing makes many objects that live on
for options in (compilation.LIGHT, compilation.QUICK):
    options.update(compilation.INSTANT)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Runs a test in both precisions; the tolerance to expect comes with it."""
    with jax.enable_x64(True) if request.param == "float64" else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def compiled(caplog):
    """Returns the names of the programs that a call compiles."""

    def names(call):
        caplog.clear()
        with jax.log_compiles():
            call()
        return [text.split()[1] for text in caplog.messages if text.startswith("Compiling")]

    return names


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C interrupts, also where the shell that started the tests had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick_flow(monkeypatch):
    """A smaller flow in place of the default one, where a test is about something else."""
    monkeypatch.setattr(recipe, "default_flow", lambda D: hkf.flows.iaf(D, num_layers=1))


@pytest.fixture
def quick_spline_flow(monkeypatch):
    """The same with splines, which bend the margins too."""
    flow = functools.partial(hkf.flows.iaf, num_layers=1, transformer=hkf.RationalQuadratic())
    monkeypatch.setattr(recipe, "default_flow", flow)
