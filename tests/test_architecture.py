"""The floors of the house: imports go strictly downwards."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "hkflows"

FLOORS = {
    "checks": 0,
    "compilation": 0,
    "extras": 0,
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_of_another_package(path):
    for name in imports(path):
        if not name.startswith("hkflows"):
            assert not any(
                part.startswith("_") and part != "__future__" for part in name.split(".")
            ), name


def test_the_public_names_of_the_contract():
    import hkflows

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
        owner = hkflows
        for part in name.split("."):
            owner = getattr(owner, part)
        assert owner.__doc__, name
