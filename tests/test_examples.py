"""Every example runs, in a short version, and does something true."""

import importlib.util
import pathlib
from types import ModuleType

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    """Returns an example as a module: the folder is no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fell(losses: np.ndarray) -> bool:
    """Returns whether the losses are finite, and their last tenth lower than their first."""
    tenth = len(losses) // 10
    return bool(np.all(np.isfinite(losses)) and losses[-tenth:].mean() < losses[:tenth].mean())


def test_eight_schools(tmp_path, capsys):
    figure = tmp_path / "figures" / "schools.png"
    result = load("eight_schools").main(num_steps=200, num_draws=20_000, figure=figure)
    assert fell(result["losses"])
    # A short fit is near already, though not as near as the limits of the full one.
    np.testing.assert_allclose(result["mean_errors"], 0.0, atol=0.2)
    np.testing.assert_allclose(result["sd_errors"], 0.0, atol=0.25)
    assert result["elbo"] < result["log_evidence"]
    assert figure.stat().st_size > 0
    assert "the reference: means within" in capsys.readouterr().out


def test_eight_schools_log_joint_at_a_point():
    log_joint = load("eight_schools").log_joint
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    sigma = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    half_log_2pi = 0.5 * np.log(2.0 * np.pi)
    expected = (
        -8 * half_log_2pi  # theta_trans = 0
        - half_log_2pi - np.log(5.0)  # mu = 0
        + np.log(2.0 / (5.0 * np.pi)) - np.log(2.0)  # tau = 5, one scale out
        - np.sum(0.5 * (y / sigma) ** 2 + np.log(sigma) + half_log_2pi)
    )  # fmt: skip
    value = log_joint({"mu": 0.0, "tau": 5.0, "theta_trans": np.zeros(8)})
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_two_moons(tmp_path):
    figure = tmp_path / "moons.png"
    result = load("two_moons").main(num_steps=280, num_points=2000, figure=figure)
    assert fell(result["losses"])
    standard_normal = -1.0 - np.log(2.0 * np.pi)  # what the flow starts as, on standardised data
    assert standard_normal + 0.5 < result["log_likelihood"] < result["true_log_likelihood"]
    assert figure.stat().st_size > 0


def test_two_moons_log_prob_integrates_to_one():
    side = np.linspace(-2.5, 3.5, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = np.exp(load("two_moons").moons_log_prob(grid, noise=0.2))
    np.testing.assert_allclose(density.sum() * (side[1] - side[0]) ** 2, 1.0, atol=1e-3)


def test_normal_means(tmp_path):
    figure = tmp_path / "means.png"
    result = load("normal_means").main(num_steps=1000, num_samples=4, figure=figure)
    assert fell(result["losses"])
    np.testing.assert_allclose(result["mean_errors"], 0.0, atol=0.5)
    np.testing.assert_allclose(result["sd_errors"], 0.0, atol=0.15)
    assert figure.stat().st_size > 0


def test_in_your_transform(tmp_path):
    figure = tmp_path / "digits.png"
    result = load("in_your_transform").main(num_steps=300, num_eval_samples=20, figure=figure)
    assert result.keys() == {"mean field", "IAF"}
    for numbers in result.values():
        assert fell(numbers["losses"])
        # A fair coin for each pixel scores -64 log 2.
        assert -64.0 * np.log(2.0) < numbers["test_elbo"] < numbers["log_evidence"]
    assert figure.stat().st_size > 0


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_says_how_to_run_it(name):
    assert f"    python examples/{name}.py\n" in load(name).__doc__
