"""Many copies of a part of a flow, each with weights of its own, as one with stacked weights."""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax

Array = jax.Array


def stacked(build: Callable[..., Any], num_copies: int, *args: Any) -> Any:
    """Returns what `build(*args)` returns, with a leading axis of size `num_copies` on every array.

    It is traced once for all copies.

    Args:
        build: builds a pytree with Haiku.
        num_copies: how many.
        *args: the same for all copies.
    """
    return _Stacked(name="stacked")(build, num_copies, *args)


class _Stacked(hk.Module):
    """Holds the parameters of all copies, stacked."""

    def __call__(self, build: Callable[..., Any], num_copies: int, *args: Any) -> Any:
        copy = hk.without_apply_rng(hk.transform(build))

        def init(key: Array) -> Any:
            keys = jax.random.split(key, num_copies)
            return jax.vmap(lambda key: copy.init(key, *args))(keys)

        params = hk.lift(init, name="copies")(hk.maybe_next_rng_key())
        return jax.vmap(lambda params: copy.apply(params, *args), axis_size=num_copies)(params)
