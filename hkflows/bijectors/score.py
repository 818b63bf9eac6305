"""Carrying the gradient of a log-density across a bijector, from the base side to the data side."""

from typing import Protocol, runtime_checkable

import distrax
import jax
import jax.numpy as jnp

Array = jax.Array


@runtime_checkable
class CarriesScore(Protocol):
    """A bijector that knows how to carry a score without inverting itself."""

    def forward_and_score(self, x: Array, score: Array) -> tuple[Array, Array, Array]:
        """See `forward_and_score`."""


def forward_and_score(
    bijector: distrax.Bijector, x: Array, score: Array
) -> tuple[Array, Array, Array]:
    """Maps a point, and the gradient of the log-density there.

    With `J = dy/dx` and `s_x` the gradient of `log p` at `x`, the pushed-forward density
    `log q(y) = log p(x) - log|det J|` has at `y` the gradient

        s_y = J^{-T} (s_x - d log|det J| / dx).

    A bijector that does not carry scores itself is differentiated through its inverse, whose value
    at `y` is known to be `x` but is computed again.

    Args:
        bijector: a bijector on vectors.
        x: `[..., D]`, with the full batch shape.
        score: `[..., D]`, `s_x`.

    Returns:
        `y`, `[..., D]`; `log|det J|`, `[...]`; `s_y`, `[..., D]`.

    References:
        Vaitl, Winkler, Richter & Kessel (2024), "Fast and unified path gradient estimators for
        normalizing flows", proposition 3.1, arXiv:2403.15881.
    """
    if isinstance(bijector, CarriesScore):
        return bijector.forward_and_score(x, score)
    y, log_det = bijector.forward_and_log_det(x)
    _, pullback = jax.vjp(bijector.inverse_and_log_det, y)
    (score,) = pullback((score.astype(y.dtype), jnp.ones_like(log_det)))
    return y, log_det, score
