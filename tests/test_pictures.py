"""Pictures: what is drawn, where, and under which labels."""

import sys
import types

import jax
import matplotlib.figure
import numpy as np
import pytest

import hkflows as hkf
from hkflows.integrations import plotting

RNG = np.random.default_rng(0)
STEPS = np.arange(1000)
LOSSES = 40.0 + 100.0 * np.exp(-STEPS / 50.0) + RNG.standard_normal(1000)
DRAWS = {"tau": np.exp(RNG.standard_normal(500)), "x": RNG.standard_normal((500, 2))}


def stage(name, elbo, standard_error, kept=True):
    return types.SimpleNamespace(
        name=name, elbo=elbo, elbo_standard_error=standard_error, kept=kept
    )


STAGES = [
    stage("start", -np.inf, np.nan),
    stage("gaussian", -42.0, 0.05),
    stage("flow", -40.0, 0.01, kept=False),
]


def test_losses_show_the_median_and_the_noise():
    figure = plotting.plot_losses(LOSSES)
    (axes,) = figure.axes
    (median,) = axes.lines
    (band,) = axes.collections
    steps, values = median.get_data()
    assert steps.min() >= 0
    assert steps.max() < 1000
    np.testing.assert_allclose(values, 40.0 + 100.0 * np.exp(-steps / 50.0), atol=5.0)
    late = steps > 500
    np.testing.assert_allclose(values[late], 40.0, atol=1.0)
    vertices = band.get_paths()[0].vertices
    at_late = vertices[vertices[:, 0] > 500, 1]
    normal_decile = 1.2816
    low, high = at_late[at_late < 40.0].mean(), at_late[at_late > 40.0].mean()
    np.testing.assert_allclose([low, high], [40 - normal_decile, 40 + normal_decile], atol=0.3)
    assert axes.get_ylim()[1] < 140.0  # not up to the first steps
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "negative ELBO (nats)")


def test_losses_that_are_not_finite_are_counted():
    losses = LOSSES.copy()
    losses[[3, 500]] = np.nan, np.inf
    (axes,) = plotting.plot_losses(losses).axes
    assert "2 non-finite left out" in axes.get_title()
    assert np.isfinite(axes.lines[0].get_data()[1]).all()
    plotting.plot_losses([1.0])  # a single step


def test_stages_show_their_distance_from_the_best():
    losses, stages = plotting.plot_losses(LOSSES, STAGES).axes
    assert losses.get_ylabel() == "negative ELBO (nats)"
    assert stages.get_ylabel() == "ELBO below the best (nats)"
    gaussian, flow = stages.containers  # "start" has no finite ELBO to show
    np.testing.assert_allclose(gaussian[0].get_xydata(), [[1.0, 2.0]])
    np.testing.assert_allclose(flow[0].get_xydata(), [[2.0, 0.0]], atol=1e-12)
    (bar,) = gaussian[2]
    np.testing.assert_allclose(bar.get_segments()[0][:, 1], [1.9, 2.1])  # two standard errors
    assert gaussian[0].get_markerfacecolor() != "none"
    assert flow[0].get_markerfacecolor() == "none"
    labels = [label.get_text() for label in stages.get_xticklabels()]
    assert labels[0].startswith("start\n-inf")
    assert labels[1:] == ["gaussian\n-42.00\n± 0.1", "flow (not kept)\n-40.00\n± 0.02"]


def test_stages_alone():
    (axes,) = plotting.plot_losses([], STAGES).axes
    assert "stage" in axes.get_title()


def test_pairs_lay_draws_over_the_reference():
    reference = {"tau": np.exp(RNG.standard_normal(5000)), "x": RNG.standard_normal((5000, 2))}
    figure = plotting.plot_pairs(DRAWS, reference)
    grid = np.reshape(figure.axes, (3, 3))
    for row, column in np.ndindex(3, 3):
        axes = grid[row, column]
        assert axes.axison == (column <= row)
        assert len(axes.collections) == (2 if column < row else 0)
        assert len(axes.patches) == (2 if column == row else 0)
    below, above = (points.get_offsets() for points in grid[2, 0].collections)
    np.testing.assert_allclose(above, np.stack([DRAWS["tau"], DRAWS["x"][:, 1]], axis=1))
    assert 500 < len(below) <= plotting.pairs.MAX_POINTS
    assert [axes.get_xlabel() for axes in grid[2]] == ["tau", "x[0]", "x[1]"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["density", "x[0]", "x[1]"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["reference", "draws"]


def test_pairs_of_the_first_of_many_and_of_one():
    figure = plotting.plot_pairs(
        RNG.standard_normal((100, 9)), max_parameters=2, names=list("abcdefghi")
    )
    assert len(figure.axes) == 4
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["a", "b"]
    assert "first 2 of 9" in figure.get_suptitle()
    (axes,) = plotting.plot_pairs(np.zeros(10)).axes  # one that does not vary
    assert axes.get_xlabel() == "value"


@pytest.mark.parametrize("shape", [0.3, 0.9])
def test_weight_tail_of_a_pareto_distribution(shape):
    """Weights `u^-k`: a fraction `u` of them is larger, a line of slope `-1 / k`."""
    log_weights = -shape * np.log(np.random.default_rng(1).uniform(size=20_000)) - 5.0
    log_weights[:1000] = -np.inf
    log_weights = np.append(log_weights, [np.nan, np.inf])
    (axes,) = plotting.plot_weight_tail(log_weights).axes
    weights, tail, cutoff = axes.lines
    assert axes.get_yscale() == "log"
    assert "nats" in axes.get_xlabel()
    assert f"{hkf.diagnostics.pareto_khat(log_weights[1000:-2]):.2f}" in axes.get_title()
    assert "2 non-finite left out" in axes.get_title()
    assert len(weights.get_xdata()) == 2 * int(np.ceil(3 * 19_000**0.5))
    x, fraction = tail.get_data()
    assert x.min() >= cutoff.get_xdata()[0]
    mean = 0.95 * np.exp(-5.0) / (1.0 - shape)
    if shape < 0.5:  # beyond, the mean of the sample is far from the distribution's
        exact = 0.95 * np.exp(-(x + np.log(mean) + 5.0) / shape)
        many = fraction > 2e-3
        np.testing.assert_allclose(np.log(fraction[many]), np.log(exact[many]), atol=0.2)
    slope = np.polyfit(x, np.log(fraction), 1)[0]
    np.testing.assert_allclose(slope, -1.0 / shape, rtol=0.2)


def test_weights_that_are_equal_have_no_tail():
    (axes,) = plotting.plot_weight_tail(np.full(100, -3.0)).axes
    assert [line.get_label() for line in axes.lines[:-1]] == ["weights"]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), 0.0, atol=1e-12)
    assert "= 0.00" in axes.get_title()


def test_pictures_of_a_fit_can_be_saved(tmp_path):
    fit = types.SimpleNamespace(
        losses=LOSSES,
        stages=STAGES,
        sample=lambda key, n: {"mu": jax.random.normal(jax.random.key(key), (n,))},
        diagnostics=types.SimpleNamespace(log_weights=RNG.standard_normal(500)),
    )
    figures = plotting.plot_fit(fit, key=0)
    assert set(figures) == {"losses", "pairs", "weight_tail"}
    for name, figure in figures.items():
        assert isinstance(figure, matplotlib.figure.Figure)
        figure.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.plot_losses([]), "`losses` and `stages`"),
        (lambda: plotting.plot_losses(np.zeros((2, 2))), "`losses` must be a vector"),
        (lambda: plotting.plot_losses([np.nan]), "`losses` must hold a finite one"),
        (lambda: plotting.plot_pairs({}), "`draws`"),
        (lambda: plotting.plot_pairs({"a": 1.0}), "`draws`"),
        (lambda: plotting.plot_pairs({"a": np.zeros(3), "b": np.zeros(4)}), "`draws`"),
        (lambda: plotting.plot_pairs(np.asarray([1.0, np.nan])), "`draws` must be finite"),
        (lambda: plotting.plot_pairs(DRAWS, np.zeros((5, 2))), "`reference` must have 3"),
        (lambda: plotting.plot_pairs(DRAWS, names=["tau"]), "`names`"),
        (lambda: plotting.plot_pairs(DRAWS, max_parameters=0), "`max_parameters`"),
        (lambda: plotting.plot_weight_tail(np.full(100, np.nan)), "`log_weights`"),
        (lambda: plotting.plot_weight_tail(np.full(100, -np.inf)), "at least 25"),
    ],
)
def test_errors(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"hkflows\[plotting\]"):
        plotting.plot_losses(LOSSES)
