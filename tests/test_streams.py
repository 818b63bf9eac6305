"""Draws and rows by chunks: nothing lost, nothing twice, order kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hkflows import streams

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(streams, "CHUNK_SIZE", 4)


def draw(key, n):
    x = jax.random.normal(key, (n, 2))
    return {"x": x, "sum": jnp.sum(x, axis=1)}


@pytest.mark.parametrize("n", [1, 4, 5, 12])
def test_draws_are_new_in_every_chunk_and_the_same_for_the_same_key(n):
    drawn = streams.stream_draws(draw, KEY, n)
    assert drawn["x"].shape == (n, 2)
    assert len(np.unique(drawn["x"])) == 2 * n
    np.testing.assert_allclose(drawn["sum"], drawn["x"].sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(streams.stream_draws(draw, KEY, n)["x"], drawn["x"])


def test_picked_draws_are_those_of_all():
    drawn = streams.stream_draws(draw, KEY, 11)["x"]
    picked = np.asarray([10, 0, 3, 3, 7, 4])
    again = streams.stream_draws(draw, KEY, 11, picked=picked)["x"]
    np.testing.assert_array_equal(again, drawn[picked])


def test_of_some_arrays_only_the_first_draws_are_kept():
    drawn = streams.stream_draws(draw, KEY, 11)
    fewer = streams.stream_draws(draw, KEY, 11, most={"x": 6, "sum": 100})
    np.testing.assert_array_equal(fewer["x"], drawn["x"][:6])
    np.testing.assert_array_equal(fewer["sum"], drawn["sum"])


@pytest.mark.parametrize("n", [0, 1, 4, 5, 12])
def test_rows_come_back_in_order_from_chunks_of_one_size(n):
    rows = np.arange(2.0 * n).reshape(n, 2)
    sizes = set()

    def function(x, y):
        sizes.add(len(x))
        return x[:, 0] + y

    np.testing.assert_array_equal(
        streams.stream_rows(function, rows, -rows[:, 1]), rows[:, 0] - rows[:, 1], strict=True
    )
    assert sizes == {min(n, 4)}
