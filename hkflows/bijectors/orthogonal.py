"""Trainable orthogonal maps: they turn an event and keep its length."""

import abc

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import parameters
from hkflows.kernels import orthogonal
from hkflows.kernels.products import matvec, vecmat

Array = jax.Array


class _Orthogonal(distrax.Bijector):
    """A rotation `Q`: forward `y = Q x`, inverse `x = Q^T y`, `log|det| = 0` both ways."""

    def __init__(self, event_size: int):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        self._event_size = event_size

    @abc.abstractmethod
    def _turn(self, x: Array) -> Array:
        """Returns `Q x`."""

    @abc.abstractmethod
    def _turn_back(self, y: Array) -> Array:
        """Returns `Q^T y`."""

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and zeros, `[...]`."""
        y = self._turn(checks.event("x", x, self._event_size))
        return y, jnp.zeros(y.shape[:-1], y.dtype)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and zeros, `[...]`."""
        x = self._turn_back(checks.event("y", y, self._event_size))
        return x, jnp.zeros(x.shape[:-1], x.dtype)


class Householder(_Orthogonal):
    """A rotation as a product of reflections, `y = H_K ... H_1 x`.

    With `H_k = I - 2 v_k v_k^T / |v_k|^2`. The reflections start in equal pairs, which cancel: the
    map starts at the identity. D of them, and one more where D is odd, reach every rotation. Each
    direction costs K products of D.

    Args:
        event_size: D.
        num_reflections: K, even; by default D, or D + 1.
        context: `[..., C]`; the vectors then depend on it linearly.

    Raises:
        ValueError: if `num_reflections` is odd.

    References:
        Tomczak & Welling (2016), "Improving variational auto-encoders using Householder flow",
        arXiv:1611.09630.
    """

    def __init__(
        self,
        event_size: int,
        *,
        num_reflections: int | None = None,
        context: Array | None = None,
    ):
        D = checks.positive_int("event_size", event_size)
        super().__init__(D)
        K = D + D % 2 if num_reflections is None else num_reflections
        if checks.positive_int("num_reflections", K) % 2:
            raise ValueError(
                "`num_reflections` must be even, for the reflections to start in equal pairs; "
                f"got {K}."
            )
        start = jnp.eye(D)[jnp.arange(K) // 2 % D]
        self._vectors = start + parameters("householder", (K, D), context)

    def _turn(self, x: Array) -> Array:
        return orthogonal.reflect(self._vectors, x)

    def _turn_back(self, y: Array) -> Array:
        return orthogonal.reflect(self._vectors[..., ::-1, :], y)


class GivensRotations(_Orthogonal):
    """A rotation as a product of rotations of two dimensions, each pair of dimensions once.

    There are D (D - 1) / 2 angles, as many as a rotation has, in D rounds (D - 1 where D is even)
    of disjoint pairs. They start at zero, the identity. Each direction costs a product of D a
    round.

    Args:
        event_size: D.
        context: `[..., C]`; the angles then depend on it linearly.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        D = checks.positive_int("event_size", event_size)
        super().__init__(D)
        self._partners = orthogonal.rounds(D)
        angles = _skew(parameters("givens_angles", (D, D), context))
        self._angles = angles[..., jnp.arange(D), self._partners]

    def _turn(self, x: Array) -> Array:
        return orthogonal.rotate_pairs(self._angles, self._partners, x)

    def _turn_back(self, y: Array) -> Array:
        return orthogonal.rotate_pairs(-self._angles[..., ::-1, :], self._partners[::-1], y)


class Rotation(_Orthogonal):
    """A rotation by Cayley's map of a skew-symmetric matrix, `y = (I - A/2)^{-1} (I + A/2) x`.

    It starts at the identity, where it agrees with the matrix exponential of A to second order, and
    reaches every rotation but those that turn a plane by exactly pi. Building it costs a solve of
    D^3; then each direction is one product of D^2.

    Args:
        event_size: D.
        context: `[..., C]`; A then depends on it linearly.

    References:
        Lezcano-Casado & Martínez-Rubio (2019), "Cheap orthogonal constraints in neural networks",
        section 3, arXiv:1901.08428.
    """

    def __init__(self, event_size: int, *, context: Array | None = None):
        D = checks.positive_int("event_size", event_size)
        super().__init__(D)
        self._matrix = orthogonal.cayley(_skew(parameters("rotation", (D, D), context)))

    def _turn(self, x: Array) -> Array:
        return matvec(self._matrix, x)

    def _turn_back(self, y: Array) -> Array:
        return vecmat(y, self._matrix)


def _skew(matrix: Array) -> Array:
    """Returns the skew-symmetric matrix with the same entries below the diagonal."""
    lower = jnp.tril(matrix, -1)
    return lower - jnp.swapaxes(lower, -1, -2)
