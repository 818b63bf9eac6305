"""Probability vectors from unconstrained vectors."""

import distrax
import jax
import jax.numpy as jnp

Array = jax.Array


class Softmax(distrax.Bijector):
    """Maps vectors of K - 1 numbers to probability vectors of K: `softmax([x, 0])`.

    The log-determinant, `sum_k log y_k` over all K components, is with respect to all components
    but the last, as densities of the Dirichlet distribution are. Both come from the log-softmax, so
    that nothing cancels; components reach zero only where they underflow.
    """

    def __init__(self) -> None:
        super().__init__(event_ndims_in=1)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Returns the probabilities, `[..., K]`, and the log-determinants, `[...]` (nats)."""
        log_y = jax.nn.log_softmax(jnp.concatenate([x, jnp.zeros_like(x[..., :1])], axis=-1))
        return jnp.exp(log_y), jnp.sum(log_y, axis=-1)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Returns `log(y_k / y_K)`, `[..., K - 1]`, and the log-determinants, `[...]` (nats)."""
        log_y = jnp.log(y)
        return log_y[..., :-1] - log_y[..., -1:], -jnp.sum(log_y, axis=-1)
