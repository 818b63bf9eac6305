"""Angles from points of the plane."""

import distrax
import jax
import jax.numpy as jnp

Array = jax.Array


class Angle(distrax.Bijector):
    """Maps points of the plane to their angles; for densities, not for values, a bijection.

    No bijection from a line to the circle is continuous: one that is cut at pi puts a wall into a
    posterior that lies across. Here an angle takes two unconstrained numbers instead,
    `angle = atan2(z_2, z_1)`. The radius, which is of no interest, is given the density that it has
    under a standard normal z, so that z has the density

        log p(z) = log p(angle) + log(2 pi) + log N(z; 0, I) = log p(angle) - |z|^2 / 2,

    and the radius integrates out: the evidence and the distribution of the angle are those of
    `p(angle)`. A uniform angle is a standard normal z. The origin has the angle zero, with zero
    gradient; everywhere else the gradient is that of `atan2`, of size `1 / |z|`.
    """

    def __init__(self) -> None:
        super().__init__(event_ndims_in=1, event_ndims_out=0)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Returns the angles in (-pi, pi], `[...]`, and `-|x|^2 / 2`, for points `[..., 2]`."""
        squares = jnp.sum(x**2, axis=-1)
        # `atan2` divides by this in its derivative, also in the branch that is thrown away.
        origin = squares < jnp.finfo(x.dtype).tiny
        first, second = (jnp.where(origin, point, x[..., i]) for i, point in enumerate((1.0, 0.0)))
        return jnp.arctan2(second, first), -0.5 * squares

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Returns the points on the unit circle, `[..., 2]`, for angles `[...]`, and one half.

        An angle does not know its radius: this undoes `forward` on the unit circle only.
        """
        return jnp.stack([jnp.cos(y), jnp.sin(y)], axis=-1), jnp.full_like(y, 0.5)
