"""Traced functions that compare by what they compute."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Program:
    """A traced function of one vector. Two programs are equal if they read the same.

    The comparison is what lets two builds of a flow share one compilation: a Haiku callable may be
    a fresh lambda at every build, its trace is the same text, and the arrays that compiled
    functions in it close over are the same numbers. A custom forward-mode rule shows in the text of
    the derivative only; first and second derivatives are then compared too. Where these do not tell
    all, as with callbacks and custom reverse-mode rules, a program equals itself alone.
    """

    def __init__(self, closed: jax.extend.core.ClosedJaxpr):
        self._jaxpr = closed.jaxpr
        self._text = str(closed.jaxpr)
        self._numbers = tuple(_inner_numbers(closed.jaxpr))
        self._tells_all = not any(word in self._text for word in ("callback", "custom_vjp"))
        if self._tells_all:
            for derivative in _derivatives(closed):
                self._text += str(derivative.jaxpr)
                self._numbers += tuple(_closed_over(derivative))
        self.in_dtype = closed.in_avals[-1].dtype
        self.out_shape = closed.out_avals[0].shape

    def __call__(self, consts: Sequence[Array], values: Sequence[Array], z: Array) -> Array:
        """Runs the program on one vector."""
        closed = jax.extend.core.ClosedJaxpr(self._jaxpr, list(consts))
        (result,) = jax.extend.core.jaxpr_as_fun(closed)(*values, z)
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program) or not self._tells_all:
            return self is other
        return (self._text, self._numbers) == (other._text, other._numbers)

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Program":
        """Returns the program itself, which nothing can change."""
        return self


def _derivatives(
    closed: jax.extend.core.ClosedJaxpr,
) -> Iterator[jax.extend.core.ClosedJaxpr]:
    """Yields the first and the second derivative, where there are rules to be seen in them."""
    for _ in range(2):
        if "custom_jvp" not in str(closed.jaxpr):
            return
        closed = _derivative(closed)
        yield closed


def _derivative(closed: jax.extend.core.ClosedJaxpr) -> jax.extend.core.ClosedJaxpr:
    """Returns the program of the derivative in all floating inputs and arrays closed over."""
    consts = [variable.aval for variable in closed.jaxpr.constvars]
    inputs = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in (*consts, *closed.in_avals)]
    is_floating = [jnp.issubdtype(aval.dtype, jnp.floating) for aval in inputs]

    def derivative(inputs: list[Array], tangents: list[Array]) -> tuple[list[Array], list[Array]]:
        def program(floating: list[Array]) -> list[Array]:
            rest = iter(floating)
            values = [next(rest) if f else x for f, x in zip(is_floating, inputs, strict=True)]
            body = jax.extend.core.ClosedJaxpr(closed.jaxpr, values[: len(consts)])
            return jax.extend.core.jaxpr_as_fun(body)(*values[len(consts) :])

        floating = [x for f, x in zip(is_floating, inputs, strict=True) if f]
        return jax.jvp(program, (floating,), (tangents,))

    return jax.make_jaxpr(derivative)(
        inputs, [aval for f, aval in zip(is_floating, inputs, strict=True) if f]
    )


def _inner_numbers(jaxpr: jax.extend.core.Jaxpr) -> Iterator[tuple[Any, ...]]:
    """Yields the arrays that programs within a program close over, which its text leaves out."""
    inner = (jax.extend.core.Jaxpr, jax.extend.core.ClosedJaxpr)
    for equation in jaxpr.eqns:
        for part in jax.tree.leaves(equation.params, is_leaf=lambda leaf: isinstance(leaf, inner)):
            if isinstance(part, jax.extend.core.ClosedJaxpr):
                yield from _closed_over(part)
            elif isinstance(part, jax.extend.core.Jaxpr):
                yield from _inner_numbers(part)


def _closed_over(closed: jax.extend.core.ClosedJaxpr) -> Iterator[tuple[Any, ...]]:
    """Yields the arrays that a program closes over, and those that programs within it do."""
    for const in closed.consts:
        if isinstance(const, jax.core.Tracer):  # not known: like itself alone
            yield (object(),)
            continue
        typed = jnp.issubdtype(jnp.asarray(const).dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(const) if typed else const)
        yield array.shape, array.dtype, array.tobytes()
    yield from _inner_numbers(closed.jaxpr)
