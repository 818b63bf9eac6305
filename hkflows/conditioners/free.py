"""Trainable parameters that depend on nothing but a context."""

import haiku as hk
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import weights
from hkflows.kernels.products import product

Array = jax.Array


class _Parameters(hk.Module):
    """Parameters of a given shape: a bias, plus a linear map of the context where there is one."""

    def __call__(self, shape: tuple[int, ...], context: Array | None, init: weights.Init) -> Array:
        weights.check_context(context, "w", self.module_name)
        bias = weights.bias("b", shape, init)
        if context is None:
            return bias
        slope = weights.zero_weight("w", (context.shape[-1], bias.size))
        return bias + product(context, slope).reshape(*context.shape[:-1], *shape)


def parameters(
    name: str,
    shape: tuple[int, ...],
    context: Array | None = None,
    init: weights.Init = jnp.zeros,
) -> Array:
    """Fetches parameters that depend on nothing but a context.

    Args:
        name: the Haiku name of the module that holds them.
        shape: their shape without the context batch.
        context: `[..., C]` or `None`; the parameters then depend on it linearly, with a slope that
            starts at zero.
        init: where they start, a function of their shape and dtype; called at `init` alone.

    Returns:
        The parameters, `[..., *shape]`.

    Raises:
        ValueError: if `context` has no dimension.
    """
    return _Parameters(name=name)(shape, checks.context(context), init)
