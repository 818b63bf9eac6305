"""The precision of matrix products: that of their factors, or a lower one that is asked for."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf

KINDS = {
    "iaf": lambda dtype: hkf.IAF(hkf.MADE(6, [32, 32], matmul_dtype=dtype)),
    "maf": lambda dtype: hkf.MAF(hkf.MADE(6, [32, 32], residual=True, matmul_dtype=dtype)),
    "coupling": lambda dtype: hkf.Coupling(
        hkf.MLP([32, 32], matmul_dtype=dtype), mask=np.arange(6) < 3
    ),
}


def transformed(kind, dtype):
    return hk.without_apply_rng(hk.transform(lambda: KINDS[kind](dtype)))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_matrix_products_are_of_low_precision(kind):
    low = transformed(kind, jnp.bfloat16)
    params = zoo.random_params(low, scale=1.0)
    x = jax.random.normal(jax.random.key(0), (64, 6))

    def forward(params, x):
        return low.apply(params).forward_and_log_det(x)

    if kind != "maf":  # whose forward direction is a sweep, of rounded factors
        text = str(jax.make_jaxpr(forward)(params, x))
        assert text.count("dot_general") == text.count("preferred_element_type=float32") >= 3
        assert "bf16" in text
    y, log_det = jax.jit(forward)(params, x)
    assert {y.dtype, log_det.dtype} == {jnp.dtype("float32")}

    in_full = transformed(kind, None)
    exact, exact_log_det = jax.jit(lambda p: in_full.apply(p).forward_and_log_det(x))(params)
    error = np.abs(y - exact)
    assert 1e-4 < error.max() < 0.1, "rounded, and by no more than bfloat16 does"
    np.testing.assert_allclose(log_det, exact_log_det, atol=0.1)
    back, back_log_det = jax.jit(lambda params, y: low.apply(params).inverse_and_log_det(y))(
        params, y
    )
    # Rounded alike in both directions, up to activations that lie between two numbers.
    assert np.median(np.abs(back - x)) < 1e-5
    np.testing.assert_allclose(back, x, atol=0.1)
    np.testing.assert_allclose(back_log_det, -log_det, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_close_and_of_full_precision(kind):
    params = zoo.random_params(transformed(kind, None), scale=1.0)
    x = jax.random.normal(jax.random.key(0), (64, 6))

    @jax.jit
    def gradients(params):
        def loss(params, dtype):
            y, log_det = transformed(kind, dtype).apply(params).forward_and_log_det(x)
            return jnp.mean(jnp.sum(y**2, axis=-1) - log_det)

        return jax.grad(loss)(params, jnp.bfloat16), jax.grad(loss)(params, None)

    low, exact = gradients(params)
    for ours, expected in zip(jax.tree.leaves(low), jax.tree.leaves(exact), strict=True):
        assert ours.dtype == jnp.float32
        if np.any(ours):
            assert np.any(ours.astype(jnp.bfloat16) != ours), "sums are not rounded"
        assert jnp.linalg.norm(ours - expected) <= 0.05 * jnp.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float8_e4m3fn, "tiny", 16])
def test_a_matmul_dtype_that_is_none(dtype):
    with pytest.raises(ValueError, match="`matmul_dtype` must be one of"):
        hkf.flows.realnvp(2, matmul_dtype=dtype).init(jax.random.key(0))


def test_a_fit_in_low_precision_can_be_kept(tmp_path):
    for dtype in (jnp.bfloat16, jnp.dtype("bfloat16"), "bfloat16"):
        flow = hkf.flows.maf(2, num_layers=1, hidden_sizes=(4,), matmul_dtype=dtype)
        params = zoo.random_params(flow)
        fit = hkf.DensityFit(flow, params, np.zeros(1), np.empty(0), -1.0, None, 0, "done", 1.0)
        folder = tmp_path / f"{type(dtype).__name__}"
        fit.save(folder)
        y = jnp.ones((3, 2))
        ours, theirs = (f.distribution.log_prob(y) for f in (hkf.load_fit(folder), fit))
        np.testing.assert_array_equal(ours, theirs)


def products(jaxpr):
    """Yields the matrix products of a program, those within loops and calls too."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            yield eqn
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from products(inner)


WITH_PRODUCTS = ["iaf-rational_quadratic", "maf-affine", "coupling-affine", "linear", "triangular"]
WITH_PRODUCTS += ["residual", "bnaf", "repeated"]


@pytest.mark.parametrize("case", zoo.once(3, WITH_PRODUCTS), ids=str)
def test_no_product_of_a_layer_is_rounded_by_an_accelerator(case):
    """In both directions, and in their gradients."""
    bijector = case.build()

    def total(x):
        both = bijector.forward_and_log_det(x), bijector.inverse_and_log_det(x)
        return sum(jnp.sum(part) for part in jax.tree.leaves(both))

    found = list(products(jax.make_jaxpr(jax.value_and_grad(total))(case.points(2)).jaxpr))
    assert len(found) >= 2
    for product in found:
        assert product.params["precision"] == 2 * (jax.lax.Precision.HIGHEST,), product


def test_log_densities_are_not_rounded_by_an_accelerator():
    """What a fit computes of the user's has the user's choice of precision, or the highest."""
    seen = []
    weights = jnp.ones((2, 2))

    def log_density(z):
        seen.append(jax.config.jax_default_matmul_precision)
        return -0.5 * jnp.sum((weights @ z) ** 2)

    target = hkf.Target(log_density, 2)  # which looks at its shape
    seen.clear()
    start = hkf.training.find_start(target, key=0)
    hkf.diagnostics.diagnose(start, target, seed=0, num_samples=100)
    assert set(seen) == {"highest"}
    seen.clear()
    with jax.default_matmul_precision("tensorfloat32"):
        hkf.training.find_start(target, key=0)
    assert set(seen) == {"tensorfloat32"}
