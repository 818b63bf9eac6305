"""The floors of the house, whose imports go strictly downwards, and its public names."""

import ast
import inspect
import operator
import pathlib

import pytest

import hkflows

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "hkflows"

FLOORS = {
    "checks": 0,
    "compilation": 0,
    "extras": 0,
    "precision": 0,
    "streams": 0,
    "sharding": 0,
    "kernels": 0,
    "transformers": 1,
    "conditioners": 1,
    "bijectors": 2,
    "bases": 3,
    "distributions": 3,
    "flows": 3,
    "presets": 3,
    "supports": 4,
    "targets": 4,
    "elbo": 4,
    "likelihood": 4,
    "diagnostics": 4,
    "training": 5,
    "integrations": 6,  # beside the house: they may import anything, and nothing imports them
}

TRAINING_FLOORS = {"storage": 1, "loop": 2, "posterior": 3, "density": 3}  # its files stand on 0

# Which rooms may talk to which neighbours outside.
ALLOWED = {
    "haiku": {"conditioners", "flows", "presets", "training"},
    "optax": {"training", "diagnostics"},
    "distrax": {
        "training",
        "bijectors",
        "bases",
        "distributions",
        "flows",
        "supports",
        "targets",
    },
}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path, *, lazy=True):
    """Yields the names that a file imports; those inside functions only if `lazy`."""
    nodes = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if lazy or not isinstance(node, ast.FunctionDef):
            nodes.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    own = room(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if name.startswith("hkflows.integrations") and own != "integrations":
            assert name not in imports(path, lazy=False), f"{own} must import {name} in a function"
        elif top == "hkflows":
            below, above = FLOORS[rest[0]], FLOORS[own]
            same_room = rest[0] == own
            assert same_room or below <= above, f"{own} must not import {name}"
            assert same_room or below < above or above >= 3 or rest[0] == "checks", (
                f"{own} and {rest[0]} stand on one floor"
            )
        elif top in ALLOWED and own != "integrations":
            assert own in ALLOWED[top], f"{own} must not import {top}"


WITHIN_TRAINING = [path for path in FILES if path.parent.parent == PACKAGE / "training"]


@pytest.mark.parametrize("path", WITHIN_TRAINING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_within_training_go_downwards(path):
    own = path.parent.name
    for name in imports(path):
        _, _, inside = name.partition("hkflows.training.")
        other = inside.split(".")[0]
        assert other == own or TRAINING_FLOORS.get(other, 0) < TRAINING_FLOORS[own], name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_of_another_package(path):
    for name in imports(path):
        if not name.startswith("hkflows"):
            assert not any(
                part.startswith("_") and part != "__future__" for part in name.split(".")
            ), name


def test_the_public_names_of_the_contract():
    names = (
        "IAF MAF MADE MLP Coupling Elementwise RQS Permutation Chain FlowDistribution Target "
        "standard_normal Affine Additive RationalQuadratic fit_posterior fit_density flows.iaf "
        "LinearRational PiecewiseLinear CircularRationalQuadratic SinhArcsinh LeakyReLU "
        "DeepSigmoidal "
        "flows.mean_field flows.gaussian flows.nice flows.realnvp flows.maf flows.nsf "
        "flows.planar flows.radial flows.sylvester flows.bnaf flows.ffjord "
        "TriangularAffine LUAffine Householder GivensRotations Rotation ActNorm Planar Radial "
        "Sylvester BNAF FFJORD standardise box diagonal_normal student_t logistic "
        "normal_mixture uniform "
        "elbo.negative_elbo elbo.importance_weighted_elbo elbo.renyi_bound elbo.forward_kl "
        "elbo.minibatch likelihood.negative_log_likelihood"
    )
    for name in names.split():
        assert operator.attrgetter(name)(hkflows).__doc__, name


SIGNATURES = {  # by position; after a star by name alone
    "IAF": "conditioner transformer * context",
    "MAF": "conditioner transformer * context",
    "MADE": "event_size hidden_sizes * order activation residual name",
    "Coupling": "conditioner transformer * mask context",
    "Elementwise": "event_size transformer * context",
    "RQS": "event_size * num_bins bound",
    "Permutation": "permutation",
    "Permutation.reverse": "event_size",
    "Permutation.random": "event_size seed",
    "Chain": "bijectors",
    "FlowDistribution": "base bijector",
    "Target": "log_density event_size constrain",
    "Target.from_log_joint": "log_joint supports",
    "flows.nice": "event_size * num_layers hidden_sizes",
    "flows.realnvp": "event_size * num_layers hidden_sizes",
    "flows.iaf": "event_size * num_layers hidden_sizes",
    "flows.maf": "event_size * num_layers hidden_sizes",
    "flows.nsf": "event_size * num_layers hidden_sizes coupling",
    "elbo.negative_elbo": "q log_density * seed num_samples estimator chunk_size",
    "elbo.importance_weighted_elbo": "q log_density * seed num_samples chunk_size",
    "elbo.renyi_bound": "q log_density * seed num_samples chunk_size",
    "elbo.forward_kl": "q log_density * seed num_samples chunk_size",
    "likelihood.negative_log_likelihood": "q y",
    "fit_posterior": "target * key flow num_steps num_samples optimizer estimator progress",
    "fit_density": "flow data * key context batch_size num_steps optimizer validation_fraction "
    "progress",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_arguments_of_the_contract(name):
    parameters = inspect.signature(operator.attrgetter(name)(hkflows)).parameters
    by_position, _, by_name = SIGNATURES[name].partition("*")
    assert list(parameters)[: len(by_position.split())] == by_position.split()
    for argument in by_name.split():
        assert parameters[argument].kind is inspect.Parameter.KEYWORD_ONLY
