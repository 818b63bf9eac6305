"""The training loop: what it skips, keeps, reports and asks of the device."""

import dataclasses
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import hkflows as hkf
from hkflows.training.density.averaging import Averaged, averaging
from hkflows.training.loop import chunk, minimise

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Parabola:
    """`(params - 1)^2`, with gradients or losses that are not finite at some steps."""

    nan_gradient_from: int = 10_000
    infinite_loss_every: int = 10_000

    def inputs(self, fixed, key, steps):
        return steps

    def loss(self, params, fixed, step):
        spoilt = jnp.where(step < self.nan_gradient_from, 0.0, jnp.nan) * params[0]
        is_bad = step % self.infinite_loss_every == self.infinite_loss_every - 1
        return jnp.sum((params - 1.0) ** 2) + spoilt + jnp.where(is_bad, jnp.inf, 0.0)

    def score(self, params, fixed, mean_loss):
        return mean_loss, None


OPTIMIZER = optax.sgd(0.1)


def run(objective=Parabola(), **settings):
    settings = {"num_steps": 95, "chunk_steps": 50, "optimizer": OPTIMIZER, **settings}
    return minimise.minimise(objective, jnp.zeros(2), key=KEY, **settings)


def test_a_fit_that_turns_non_finite_stops_and_keeps_the_best():
    """From step 60 on every gradient is NaN: the parameters are those of before."""
    result = run(Parabola(nan_gradient_from=60), num_steps=500)
    assert "not finite in 40 steps in a row" in result.stop_reason
    assert result.losses.size == 100
    assert result.num_skipped == 40 >= minimise.MAX_NONFINITE_STEPS
    np.testing.assert_allclose(result.params, 1.0, atol=1e-3)


@dataclasses.dataclass(frozen=True)
class Scored(Parabola):
    """The same, scored by the parameters at hand."""

    def score(self, params, fixed, mean_loss):
        return self.loss(params, fixed, 0), params


def test_an_optimizer_that_diverges_leaves_the_start():
    """Steps that overshoot: all finite, and each further away than the one before."""
    result = run(Scored(), num_steps=10, chunk_steps=5, optimizer=optax.sgd(2.0))
    assert np.isfinite(result.scores).all()
    assert result.score == result.scores[0] < result.scores[1] < result.scores[2]
    np.testing.assert_array_equal(result.params, jnp.zeros(2))
    np.testing.assert_array_equal(result.report, jnp.zeros(2))
    assert result.losses.size == 10
    assert result.stop_reason == "all 10 steps done; nothing was better than the start"


def test_an_optimizer_that_searches_along_a_line_is_refused():
    with pytest.raises(ValueError, match="`optimizer` must do with gradients"):
        run(optimizer=optax.lbfgs())


def test_an_optimizer_sees_the_loss():
    """One that lowers its rate where the loss gets no better; averaging hands the loss on."""
    plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, rtol=1.0)
    optimizer = optax.chain(OPTIMIZER, plateau)
    params, mean = jnp.zeros(2), averaging(optimizer, 10.0)
    slower, usual = (run(optimizer=o, num_steps=20) for o in (optimizer, OPTIMIZER))
    assert slower.losses[-1] > 2.0 * usual.losses[-1]
    state = mean.init(Averaged(params, params))
    mean.update(Averaged(params, params), state, Averaged(params, params), value=1.0)


def test_single_bad_steps_are_skipped_and_counted():
    result = run(Parabola(infinite_loss_every=10))
    assert result.num_skipped == 9
    assert result.stop_reason.startswith("all 95 steps done; 9 were skipped")
    assert np.isinf(result.losses).sum() == 9
    clean = run(num_steps=86)  # as if the bad ones had not been
    np.testing.assert_array_equal(result.losses[np.isfinite(result.losses)], clean.losses)


def test_one_visit_of_the_host_a_chunk(monkeypatch):
    """Twenty chunks, twenty transfers, and none that nobody asked for."""
    run()
    transfers = []
    fetch = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: transfers.append(tree) or fetch(tree))
    with jax.transfer_guard_device_to_host("disallow"):  # of no effect on a CPU
        run(num_steps=1000)
    assert len(transfers) == 20


def test_lapack_has_one_thread_while_it_runs():
    """Threads that wait for its next call would take the cores from XLA."""

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen = []
    with threadpool_limits(2, "blas"):
        run(callback=lambda snapshot: seen.append(threads()))
        assert set(threads()) == {2}
    assert {count for counts in seen for count in counts} == {1}


def test_buffers_are_given_away_and_results_are_not():
    """The state's buffers go from chunk to chunk; what the caller holds stays."""
    params = jnp.zeros(2)
    snapshots = []
    key = jax.random.key(3)
    state = chunk.first(OPTIMIZER, params, key)
    chunk.chunk(Parabola(), OPTIMIZER, 50, None, state, None, 50)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    result = minimise.minimise(
        Parabola(),
        params,
        key=key,
        optimizer=OPTIMIZER,
        num_steps=150,
        chunk_steps=50,
        callback=snapshots.append,
    )
    for held in (params, key, result.params, *(snapshot.params for snapshot in snapshots)):
        assert not held.is_deleted()
    assert [snapshot.step for snapshot in snapshots] == [50, 100, 150]
    assert snapshots[-1].best_score == min(snapshot.score for snapshot in snapshots)
    np.testing.assert_allclose(snapshots[0].params, 1.0 - 0.8**50, rtol=1e-5)


def press_ctrl_c(snapshot):
    os.kill(os.getpid(), signal.SIGINT)


def raise_interrupt(snapshot):
    raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt", [press_ctrl_c, raise_interrupt])
def test_ctrl_c_gives_the_best_so_far(interrupt):
    handler = signal.getsignal(signal.SIGINT)
    result = run(num_steps=1000, callback=interrupt)
    assert result.stop_reason == "interrupted after 50 steps"
    np.testing.assert_allclose(result.params, 1.0 - 0.8**50, rtol=1e-5)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_ends_it_at_once():
    def twice(snapshot):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        minimise.minimise(
            Parabola(),
            jnp.zeros(2),
            key=KEY,
            optimizer=OPTIMIZER,
            num_steps=100,
            chunk_steps=50,
            stop=lambda done, scores, report: twice(None),
        )
    assert signal.getsignal(signal.SIGINT) is handler


def test_it_runs_in_a_thread_without_signals():
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert "all 95 steps" in results[0].stop_reason


def test_a_second_fit_compiles_nothing(compiled):
    """Other data of the same shape, another key. (For posteriors see their own tests.)"""
    flow = hkf.flows.mean_field(2)

    def fit(seed):
        data = jax.random.normal(jax.random.key(seed), (50, 2))
        hkf.fit_density(
            flow, data, context=jnp.ones((50, 1)), key=seed, num_steps=60, progress=False
        )

    assert compiled(lambda: fit(0)).count("jit(_chunk)") == 1
    assert compiled(lambda: fit(1)) == []
