"""Every example runs, in a short version, and does something true."""

import importlib.util
import pathlib
from types import ModuleType

import jax
import numpy as np
import pytest
from scipy import stats

import hkflows as hkf

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


def test_eight_schools(tmp_path, capsys, quick_flow):
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


def test_eight_schools_numpyro(tmp_path, quick_flow):
    figure = tmp_path / "schools.png"
    example = load("eight_schools_numpyro")
    result = example.main(num_steps=200, num_draws=20_000, figure=figure)
    np.testing.assert_allclose([*result["errors"].values()], 0.0, atol=0.25)
    draws = result["draws"]
    effects = draws["mu"][:, None] + draws["tau"][:, None] * draws["theta_trans"]
    np.testing.assert_allclose(draws["theta"], effects, rtol=1e-4, atol=1e-4)
    assert result["elbo"] < result["log_evidence"]
    assert figure.stat().st_size > 0


def test_eight_schools_numpyro_is_the_model_of_eight_schools():
    by_hand = load("eight_schools").TARGET  # mu, tau, theta_trans in the same order
    example = load("eight_schools_numpyro")
    target = hkf.Target.from_numpyro(
        example.model, example.STANDARD_ERRORS, effects=example.EFFECTS
    )
    for z in np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32):
        np.testing.assert_allclose(target.log_density(z), by_hand.log_density(z), rtol=1e-5)


def test_diabetes(tmp_path, quick_flow):
    figure = tmp_path / "diabetes.png"
    result = load("diabetes").main(num_steps=50, num_draws=20_000, figure=figure)
    # The Gaussian of the second stage is nearly all that there is to find.
    np.testing.assert_allclose(result["mean_errors"], 0.0, atol=0.05)
    np.testing.assert_allclose(result["sd_errors"], 0.0, atol=0.05)
    np.testing.assert_allclose(result["log_evidence"], result["exact_log_evidence"], atol=0.02)
    assert result["exact_log_evidence"] - 0.05 < result["elbo"]
    assert result["elbo"] < result["exact_log_evidence"] + 0.01
    assert result["verdict"] == "good"
    assert figure.stat().st_size > 0


def test_diabetes_evidence_is_a_multivariate_t():
    example = load("diabetes")
    shape = (
        example.RATE
        / example.SHAPE
        * (np.eye(len(example.Y)) + example.WIDTH * example.X @ example.X.T)
    )
    expected = stats.multivariate_t.logpdf(example.Y, shape=shape, df=2.0 * example.SHAPE)
    np.testing.assert_allclose(example.exact()[2], expected, rtol=1e-6)


def test_two_modes(tmp_path, quick_spline_flow):
    figure = tmp_path / "modes.png"
    result = load("two_modes").main(
        names=("plain", "annealed"), num_steps=250, num_draws=5000, figure=figure
    )
    plain, annealed = result["plain"], result["annealed"]
    assert plain["verdict"] == "do not trust"
    assert plain["first_mode"] > 0.999
    np.testing.assert_allclose(plain["missed_mass"], 0.4, atol=0.1)
    np.testing.assert_allclose(plain["elbo"], np.log(0.6), atol=0.01)
    assert annealed["missed_mass"] < 0.05
    np.testing.assert_allclose(annealed["corrected_first_mode"], 0.6, atol=0.05)
    np.testing.assert_allclose(annealed["log_evidence"], 0.0, atol=0.05)
    assert figure.stat().st_size > 0


def test_minibatch(tmp_path, quick_flow):
    figure = tmp_path / "minibatch.png"
    result = load("minibatch").main(num_rows=3000, num_steps=50, figure=figure)
    np.testing.assert_allclose(result["mean_errors"], 0.0, atol=0.1)
    np.testing.assert_allclose(result["sd_errors"], 0.0, atol=0.1)
    assert figure.stat().st_size > 0


def test_minibatch_laplace_is_at_the_mode():
    example = load("minibatch")
    features, counts = example.simulate(1000, seed=1)
    mode, _ = example.laplace(features, counts)
    slope = counts - np.exp(mode[0] + features @ mode[1:])
    np.testing.assert_allclose(slope.sum(), mode[0], atol=1e-6)  # of the likelihood, of the prior
    np.testing.assert_allclose(features.T @ slope, mode[1:], atol=1e-6)


def test_horseshoe(tmp_path, quick_flow):
    figure = tmp_path / "horseshoe.png"
    example = load("horseshoe")
    # Every sixth tumour.
    example.X, example.SIGNS = example.X[::6], example.SIGNS[::6]
    result = example.main(
        num_steps=100, num_chains=2, num_chain_draws=20, num_warmup=20, figure=figure
    )
    elbos = result["elbos"]
    assert elbos["start"] < elbos["gaussian"] < elbos["flow"]
    assert result["verdict"] == "do not trust"  # so short a fit
    assert np.all(np.isfinite(result["mean_errors"]))
    assert figure.stat().st_size > 0


def test_horseshoe_coefficients_are_no_larger_than_the_slab():
    example = load("horseshoe")
    theta = {"z": np.ones(30), "local": np.linspace(1e-3, 1e6, 30), "tau": 0.1}
    found = example.coefficients(theta)
    np.testing.assert_allclose(found[0], 1e-4, rtol=1e-4)  # far inside: tau local
    np.testing.assert_allclose(found[-1], 2.0, rtol=1e-4)


def test_noisy_channels(tmp_path):
    figure = tmp_path / "channels.png"
    result = load("noisy_channels").main(num_steps=600, num_pairs=20_000, figure=figure)
    assert fell(result["losses"])
    assert 0.0 < np.mean(result["kl"]) < 0.01
    np.testing.assert_allclose(np.mean(np.abs(result["mean_errors"])), 0.0, atol=0.1)
    np.testing.assert_allclose(np.mean(np.abs(result["sd_errors"])), 0.0, atol=0.1)
    assert figure.stat().st_size > 0


def test_gaussian_4d(tmp_path):
    figure = tmp_path / "gaussian.png"
    example = load("gaussian_4d")
    example.FLOW = hkf.flows.realnvp(4, num_layers=3, hidden_sizes=(16,))
    result = example.main(num_steps=200, num_rows=4000, figure=figure)
    assert fell(result["losses"])
    assert result["mean_error"] < 0.05
    assert result["covariance_error"] < 0.05
    assert abs(result["kl"]) < 0.05
    assert figure.stat().st_size > 0


def test_circles(tmp_path):
    figure = tmp_path / "circles.png"
    example = load("circles")
    example.COUPLINGS = hkf.flows.nsf(2, num_layers=2, num_bins=16, bound=3.0)
    result = example.main(num_steps=250, num_points=3000, figure=figure)
    truth = result["true_log_likelihood"]
    alone = result["element by element"]
    np.testing.assert_allclose(alone["distances"], 0.0, atol=0.06)  # marginals right,
    assert alone["log_likelihood"] < truth - 0.3  # the joint wrong
    for name in ("couplings", "p(x1) p(x2 | x1)"):
        assert alone["log_likelihood"] + 0.15 < result[name]["log_likelihood"] < truth
    assert figure.stat().st_size > 0


def test_circles_log_prob_integrates_to_one():
    side = np.linspace(-2.0, 2.0, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = np.exp(load("circles").circles_log_prob(grid, noise=0.15))
    np.testing.assert_allclose(density.sum() * (side[1] - side[0]) ** 2, 1.0, atol=1e-3)


def test_iris(tmp_path):
    figure = tmp_path / "iris.png"
    result = load("iris").main(num_steps=400, figure=figure)
    standard_normal = -2.0 - 2.0 * np.log(2.0 * np.pi)  # what the flow starts as
    for numbers in result.values():
        assert fell(numbers["losses"])
        assert numbers["log_likelihood"] > standard_normal + 2.0
        assert numbers["accuracy"] > 0.75  # of a short fit; a third by chance
    assert figure.stat().st_size > 0


def test_five_parts(tmp_path):
    figure = tmp_path / "parts.png"
    result = load("five_parts").main(num_steps=300, num_rows=10_000, figure=figure)
    assert fell(result["losses"])
    uniform = -5.0 * np.log(255.0)
    assert uniform + 1.0 < result["log_likelihood"] < result["true_log_likelihood"]
    assert result["share_inside"] > 0.999
    assert figure.stat().st_size > 0


def test_five_parts_true_log_prob_by_change_of_variables():
    example = load("five_parts")
    context = np.random.default_rng(0).normal(size=8)
    y = example.simulate(context[None], seed=1)[0]

    def noise(y):
        u = example.ROTATION.T @ jax.scipy.special.logit(y / 255.0)
        return u - np.tanh(example.WEIGHTS @ context)

    halves = [stats.norm.pdf(noise(y), mode, 0.4) / 2.0 for mode in (-1.0, 1.0)]
    log_det = np.linalg.slogdet(jax.jacfwd(noise)(y)).logabsdet
    expected = np.sum(np.log(sum(halves))) + log_det
    value = example.true_log_prob(y[None], context[None])[0]
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_says_how_to_run_it(name):
    assert f"    python examples/{name}.py\n" in load(name).__doc__
