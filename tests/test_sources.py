"""Rows from a disk and from an iterator: each where it belongs, and a fit to them."""

import numpy as np
import pytest

import hkflows as hkf
from hkflows.training.density.sources import source_of

N = 200
NUMBERED = np.column_stack([np.arange(N), np.arange(N) % 7]).astype(np.float32)


def on_disk(path, array):
    np.save(path / "rows.npy", array)
    return np.load(path / "rows.npy", mmap_mode="r")


def source(data, weights=None, fraction=0.1):
    return source_of(data, None, weights, fraction=fraction, rng=np.random.default_rng(0))


def pieces(rows, ends, weights=None):
    """Gives rows in pieces of uneven lengths, with their weights if there are any."""
    for part in np.split(np.arange(len(rows)), ends):
        yield rows[part] if weights is None else (rows[part], None, weights[part])


def test_batches_from_a_disk_are_of_all_rows_that_are_not_held_out(tmp_path):
    rows = source(on_disk(tmp_path, NUMBERED))
    held_out = set(rows.held_out.data[:, 0].tolist())
    assert len(held_out) == N // 10
    assert rows.num_train == N - N // 10
    read = rows.read(64, 5000)
    assert set(read.data[:, 0].tolist()) == set(range(N)) - held_out
    np.testing.assert_array_equal(read.data[:, 1], read.data[:, 0] % 7)
    np.testing.assert_array_equal(rows.read(64, 5000).data, read.data)
    assert not np.array_equal(rows.read(128, 5000).data, read.data)


def test_rows_of_an_iterator_come_once_and_in_their_order():
    def fresh():
        return source(pieces(NUMBERED, [3, 3, 90, 91]), fraction=0.25)

    rows = fresh()
    np.testing.assert_array_equal(rows.held_out.data, NUMBERED[:50])
    parts = [rows.read(start, 40).data for start in (0, 40, 80, 120)]
    np.testing.assert_array_equal(np.concatenate(parts), NUMBERED[50:])
    assert len(rows.read(150, 40).data) == 0
    np.testing.assert_array_equal(fresh().read(100, 20).data, NUMBERED[150:170])  # a resumed fit's


def test_rows_of_weight_zero_do_not_report():
    weights = (np.arange(N) % 10 == 9).astype(np.float32)
    rows = source(pieces(NUMBERED, [60], weights), fraction=0.5)
    np.testing.assert_array_equal(rows.held_out.data[:, 0], np.arange(9, 100, 10))
    np.testing.assert_array_equal(rows.sample.data[:, 0], np.arange(109, 200, 10))
    with pytest.raises(ValueError, match="`weights`"):
        source(pieces(NUMBERED, [60], np.zeros(N, np.float32)))


def test_rows_on_a_disk_of_weight_zero_do_not_report(tmp_path):
    weights = (np.arange(N) % 10 == 9).astype(np.float32)
    rows = source(on_disk(tmp_path, NUMBERED), weights, fraction=0.5)
    for part in (rows.sample, rows.held_out):
        assert len(part.data) > 0
        np.testing.assert_array_equal(part.data[:, 0] % 10, 9)


@pytest.mark.parametrize("kind", ["disk", "iterator"])
def test_losses_with_rows_of_weight_zero_are_those_of_the_others(kind, tmp_path):
    """Batches from a disk, and from an iterator, have such rows too."""
    rows = np.random.default_rng(1).normal(size=(4000, 3)).astype(np.float32) * 100.0
    weights = (np.arange(4000) % 2).astype(np.float32)
    data, settings = rows, {"weights": weights}
    if kind == "disk":
        data = on_disk(tmp_path, rows)
    else:
        data, settings = iter([(rows, None, weights)]), {}
    fit = hkf.fit_density(
        hkf.flows.mean_field(3), data, key=0, num_steps=10, progress=False, **settings
    )
    np.testing.assert_allclose(fit.losses.mean(), fit.validation_losses[0], rtol=0.03)


def test_an_iterator_with_less_than_a_batch():
    data = iter([np.zeros((12_000, 2), np.float32) + np.arange(12_000)[:, None].astype("f4")])
    with pytest.raises(ValueError, match="`data` must hold at least one batch, of 20000 rows"):
        hkf.fit_density(hkf.flows.mean_field(2), data, key=0, batch_size=20_000, progress=False)


@pytest.mark.parametrize("kind", ["disk", "iterator"])
def test_a_fit_finds_the_likelihood_of_a_gaussian(kind, tmp_path):
    factor = np.array([[2.0, 0.0], [1.5, 0.5]])
    rows = np.random.default_rng(1).normal(size=(6000, 2)) @ factor.T + [3.0, -1.0]
    rows = rows.astype(np.float32)
    data = on_disk(tmp_path, rows) if kind == "disk" else iter(np.split(rows, [100, 4000]))
    fit = hkf.fit_density(hkf.flows.gaussian(2), data, key=0, num_steps=100, progress=False)
    test = np.random.default_rng(2).normal(size=(2000, 2)) @ factor.T + [3.0, -1.0]
    entropy = 1.0 + np.log(2.0 * np.pi) + np.linalg.slogdet(factor)[1]
    np.testing.assert_allclose(fit.log_likelihood(test).mean(), -entropy, atol=0.06)
    if kind == "iterator":
        assert "end" in fit.stop_reason  # 5,400 rows, 256 a step


def test_the_byte_order_of_another_machine(tmp_path):
    flow, foreign = hkf.flows.mean_field(2), NUMBERED.astype(">f4")
    fits = [
        hkf.fit_density(flow, data, key=0, num_steps=3, progress=False)
        for data in (NUMBERED, foreign)
    ]
    np.testing.assert_array_equal(*[fit.losses for fit in fits])
    np.testing.assert_array_equal(fits[0].log_likelihood(NUMBERED), fits[1].log_likelihood(foreign))
    with pytest.raises(ValueError, match="`data` must have this machine's byte order"):
        hkf.fit_density(flow, on_disk(tmp_path, foreign), key=0, progress=False)
