"""The linear layers, the start from data, and the maps that are not trained."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import hkflows as hkf
from hkflows.kernels import linear, orthogonal

pytestmark = pytest.mark.usefixtures("x64")


def at_random(build, *args, seed=0, scale=0.5):
    """Returns `build(*args)` at random parameters."""
    transformed = hk.without_apply_rng(hk.transform(build))
    params = zoo.random_params(transformed, *args, seed=seed, scale=scale)
    return jax.jit(transformed.apply)(params, *args)


@functools.partial(jax.jit, static_argnums=1)
def matrix(bijector, size):
    """The Jacobian of an affine map."""
    return jax.jacfwd(bijector.forward)(jnp.zeros(size))


ROTATIONS = {
    "householder": lambda D: hkf.Householder(D),
    "two_reflections": lambda D: hkf.Householder(D, num_reflections=2),
    "givens": lambda D: hkf.GivensRotations(D),
    "rotation": lambda D: hkf.Rotation(D),
}


@pytest.mark.parametrize("name", ROTATIONS)
@pytest.mark.parametrize("D", [1, 4, 5])
def test_rotations_are_rotations(name, D):
    """Orthogonal with determinant one, at parameters of any size."""
    for scale in (0.5, 30.0):
        Q = matrix(at_random(lambda: ROTATIONS[name](D), scale=scale), D)
        np.testing.assert_allclose(Q @ Q.T, np.eye(D), atol=1e-10)
        np.testing.assert_allclose(np.linalg.det(Q), 1.0, atol=1e-10)


@pytest.mark.parametrize("name", ["householder", "givens", "rotation"])
def test_rotations_move_every_way_from_the_start(name):
    """At the identity the derivatives span the skew-symmetric matrices of three dimensions."""
    transformed = hk.without_apply_rng(hk.transform(lambda x: ROTATIONS[name](3).forward(x)))

    @jax.jit
    def moves_of_the_start():
        params = transformed.init(jax.random.key(0), jnp.zeros(3))
        turn = jax.jacfwd(
            lambda params: jax.jacfwd(lambda x: transformed.apply(params, x))(jnp.zeros(3))
        )
        leaves = jax.tree.leaves(turn(params))
        return jnp.concatenate([leaf.reshape(9, -1) for leaf in leaves], axis=-1)

    moves = np.asarray(moves_of_the_start())
    assert np.linalg.matrix_rank(moves) == 3
    np.testing.assert_allclose(moves + moves.reshape(3, 3, -1).swapaxes(0, 1).reshape(9, -1), 0.0)


def test_a_reflection_of_no_length_and_the_largest_angles():
    x = jnp.arange(1.0, 4.0)
    vectors = jnp.asarray([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    y, gradient = jax.value_and_grad(lambda v: orthogonal.reflect(v, x)[0])(vectors)
    assert y == -1.0
    assert np.isfinite(gradient).all()
    skew = jnp.asarray([[0.0, -1e6], [1e6, 0.0]])
    np.testing.assert_allclose(orthogonal.cayley(skew), -np.eye(2), atol=1e-5)  # half a turn


def test_every_two_dimensions_meet_once():
    for D in range(1, 8):
        partners = orthogonal.rounds(D)
        assert len(partners) == D - 1 + D % 2
        meetings = {(i, int(j)) for row in partners for i, j in enumerate(row) if i != j}
        assert len(meetings) == D * (D - 1)
        assert all((row[row] == np.arange(D)).all() for row in partners)


def test_lu_affine_is_the_product_of_its_factors():
    transformed = hk.without_apply_rng(hk.transform(lambda: hkf.LUAffine(3)))
    params = zoo.random_params(transformed)
    A = params["lu_matrix"]["b"]
    expected = (
        np.diag(np.exp(20.0 * np.tanh(np.diag(A) / 20.0)))
        @ (np.tril(A, -1) + np.eye(3))
        @ (np.triu(A, 1) + np.eye(3))
    )
    bijector = transformed.apply(params)
    np.testing.assert_allclose(matrix(bijector, 3), expected, atol=1e-12)
    np.testing.assert_allclose(bijector.forward(jnp.zeros(3)), params["lu_shift"]["b"])


@pytest.mark.parametrize("contexts", [(2, 1), (1, 4), (4,), (3, 1, 1)])
def test_batches_of_matrices_broadcast_in_both_directions(contexts):
    rng = np.random.default_rng(0)
    lower = jnp.tril(jnp.asarray(rng.normal(size=(*contexts, 3, 3))), -1)
    for strict, is_lower in ((lower, True), (lower.swapaxes(-1, -2), False)):
        x = jnp.asarray(rng.normal(size=(2, 4, 3)))
        solved = linear.solve_triangular(strict, x, lower=is_lower, unit=True)
        expected = np.linalg.solve(strict + np.eye(3), jnp.broadcast_to(x, solved.shape)[..., None])
        np.testing.assert_allclose(solved, expected[..., 0], atol=1e-12)
        np.testing.assert_allclose(
            linear.unit_product(strict, solved), jnp.broadcast_to(x, solved.shape), atol=1e-12
        )


def rows(event_size=2):
    """Data in a unit of their own; the last dimension does not vary."""
    data = np.random.default_rng(1).normal(1e3, 5.0, (5, 40, event_size))
    data[..., -1] = 0.1
    return data


def test_act_norm_starts_at_the_data_and_forgets_them():
    @hk.without_apply_rng
    @hk.transform
    def flow(data=None, context=None):
        last = hkf.ActNorm(2, data=data, context=context)
        middle = hkf.LUAffine(2, context=context)
        data = None if data is None else middle.inverse(last.inverse(data))
        return hkf.Chain([hkf.ActNorm(2, data=data, context=context), middle, last])

    for context in (None, jnp.ones(3)):
        params = jax.jit(flow.init)(jax.random.key(0), rows(), context)
        inverse = jax.jit(lambda params, c: flow.apply(params, None, c).inverse(rows()))
        z = inverse(params, context)
        np.testing.assert_allclose(z.mean(axis=(0, 1)), 0.0, atol=1e-9)
        np.testing.assert_allclose(z.std(axis=(0, 1)), [1.0, 0.0], atol=1e-9)
        again = flow.apply(params, 2.0 * rows(), context).inverse(rows())
        np.testing.assert_array_equal(again, z)


@pytest.mark.parametrize("low", [0.0, 1000.0, -1e6])
def test_the_ends_of_a_box_far_from_zero_have_finite_logits(low):
    bijector = hkf.box(low, low + 1.0)
    ends = jnp.asarray([low, low + 1.0])
    for end in ends:
        x = bijector.inverse(end[None])
        assert jnp.isfinite(x).all()
        np.testing.assert_allclose(bijector.forward(x), end[None], rtol=1e-6, atol=1e-5)


def test_units_are_not_trained():
    """They standardise, reach the ends of a box, and leave no parameters."""
    units = hkf.Chain([hkf.box([0.0, -2.0], 255), hkf.standardise(rows())])
    transformed = hk.transform(lambda: hkf.Chain([hkf.RQS(2), units]))
    assert list(jax.eval_shape(transformed.init, jax.random.key(0))) == ["elementwise"]

    z = np.asarray(jax.jit(hkf.standardise(rows()).inverse)(rows()))
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0.0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=(0, 1)), [1.0, 0.0], atol=1e-9)

    box = hkf.box(0, 255)
    ends = jnp.asarray([[0.0, 255.0], [127.5, 3.0]])

    @jax.jit
    def there_and_back(ends):
        x, inverse_log_det = box.inverse_and_log_det(ends)
        jacobian = jax.vmap(jax.jacfwd(box.forward))(x)
        return x, inverse_log_det, *box.forward_and_log_det(x), jnp.linalg.slogdet(jacobian)[1]

    x, inverse_log_det, y, log_det, expected = there_and_back(ends)
    np.testing.assert_allclose(x[0], [-np.log(1e6 + 1), np.log(1e6 + 1)], rtol=1e-9)
    np.testing.assert_allclose(y, ends, atol=1e-9)
    np.testing.assert_allclose(inverse_log_det, -log_det)
    np.testing.assert_allclose(log_det, expected)
    single = hkf.box(jnp.float32(0), jnp.float32(255)).inverse(ends.astype(jnp.float32))
    assert np.isfinite(single).all()
    assert hkf.box(0.0, 1.0, margin=0.0).forward(jnp.full(1, 50.0)) == 1.0
