"""Any Haiku callable as a value: visited once, then a pure program and its arrays."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import haiku as hk
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

Array = jax.Array
VectorFunction = Callable[[Array], Array]


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Traced:
    """A Haiku callable at fixed parameters, a pure function `[..., N] -> [..., *out_shape]`.

    Attributes:
        consts: arrays that the callable closes over.
        values: its parameters, in the order in which it creates them.
        context: `[..., C]`, appended to the input; or `None`.
        program: what it does with one vector.
    """

    consts: tuple[Array, ...]
    values: tuple[Array, ...]
    context: Array | None
    program: Program = dataclasses.field(metadata={"static": True})

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the result for one vector."""
        return self.program.out_shape

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions of its context."""
        return () if self.context is None else self.context.shape[:-1]

    def __call__(self, z: Array) -> Array:
        """Evaluates the callable at `z`, `[..., N]`; a context batch broadcasts against it."""
        if self.context is not None:
            batch = jnp.broadcast_shapes(z.shape[:-1], self.batch_shape)
            z = jnp.broadcast_to(z, (*batch, z.shape[-1]))
            context = jnp.broadcast_to(self.context, (*batch, self.context.shape[-1]))
            z = jnp.concatenate([z, context], axis=-1)
        rows = z.reshape(-1, z.shape[-1]).astype(self.program.in_dtype)
        results = jax.vmap(lambda row: self.program(self.consts, self.values, row))(rows)
        return results.reshape(*z.shape[:-1], *self.out_shape)


def trace(conditioner: VectorFunction, in_size: int, context: Array | None) -> Traced:
    """Visits a Haiku callable once: registers its parameters and traces it.

    Args:
        conditioner: a Haiku module, or any function that calls some; deterministic and without
            Haiku state. With a context it gets a vector `[in_size + C]`, the context last.
        in_size: the size of its input without the context.
        context: `[..., C]` or `None`.

    Raises:
        ValueError: if `conditioner` does not return a floating array, or cannot be replayed.
    """
    context_size = 0 if context is None else context.shape[-1]
    z = jnp.zeros(in_size + context_size)
    names: dict[str, None] = {}  # in the order in which they are first fetched
    try:
        result = _recording(names, conditioner, z)
    except ValueError as error:
        if hk.running_init() or "retrieved shape" not in str(error):
            raise
        raise ValueError(
            "`context` must be of the size that the parameters were made for, and be given only if "
            f"there was one; got {'none' if context is None else f'size {context_size}'}, and "
            f"parameters of other shapes: {error}"
        ) from error
    if not isinstance(result, jax.Array) or not jnp.issubdtype(result.dtype, jnp.floating):
        raise ValueError(f"`conditioner` must return a floating array; got {result!r}.")

    alone, shapes = _fetches_alone(conditioner, z)
    if unseen := [name for name in shapes if name not in alone]:
        raise ValueError(
            "`conditioner` must fetch all of its parameters itself, and not in a transform of its "
            f"own, as `hk.layer_stack` does; got {', '.join(unseen)}."
        )
    try:
        pairs = [(name, other) for name, other in zip(names, alone, strict=True) if other in shapes]
        values = [_fetch(name, shapes[other]) for name, other in pairs]
    except ValueError as error:
        raise ValueError(
            "`conditioner` must fetch the same parameters each time that it is called. Modules "
            "built outside and inside of it may have the same names: build all of them on one "
            "side, or name them apart."
        ) from error

    def replay(values: Sequence[Array], z: Array) -> Array:
        params: dict[str, dict[str, Array]] = {}
        for (_, full_name), value in zip(pairs, values, strict=True):
            module, _, name = full_name.rpartition("/")
            params.setdefault(module, {})[name] = value
        try:
            return hk.transform_with_state(conditioner).apply(params, {}, None, z)[0]
        except ValueError as error:  # which neither of the runs with a key has raised
            raise ValueError(
                "`conditioner` must be deterministic and without state; without a random key it "
                "fails."
            ) from error

    dtype = jnp.promote_types(z.dtype, result.dtype)  # what it sees is not rounded to its result
    closed = jax.make_jaxpr(replay)(values, z.astype(dtype))
    consts = tuple(jnp.asarray(const) for const in closed.consts)
    return Traced(consts, tuple(values), context, Program(closed))


def _recording(names: dict[str, None], conditioner: VectorFunction, z: Array) -> Array:
    """Calls the conditioner, and adds the full names of what it fetches."""

    def record(getter: Callable, value: Array, entry: hk.GetterContext) -> Array:
        names.setdefault(entry.full_name)
        return getter(value)

    with hk.custom_getter(record):
        return conditioner(z)


def _fetches_alone(
    conditioner: VectorFunction, z: Array
) -> tuple[dict[str, None], dict[str, tuple[int, ...]]]:
    """Returns what the conditioner fetches in a transform of its own: all names, and shapes.

    There it may name its modules otherwise. What a transform inside of it fetches, under names of
    its own, has no shape; what only that creates, such as `hk.layer_stack`, has no name.
    """
    names: dict[str, None] = {}
    alone = hk.transform_with_state(lambda z: _recording(names, conditioner, z))
    params, state = jax.eval_shape(alone.init, jax.random.key(0), z)
    if state:
        raise ValueError(
            f"`conditioner` must be deterministic and without state; it has the state {state}."
        )
    leaves = hk.data_structures.traverse(params)
    return names, {f"{module}/{name}": value.shape for module, name, value in leaves}


def _fetch(full_name: str, shape: tuple[int, ...]) -> Array:
    """Returns a parameter that has been fetched before, untouched by custom getters."""
    module, _, name = full_name.rpartition("/")
    at_module = contextlib.nullcontext()
    if module != hk.current_name():
        at_module = hk.name_scope(hk.force_name(module))
    with at_module, hk.custom_getter(lambda _getter, value, _entry: value):
        return hk.get_parameter(name, shape)
