"""Any Haiku callable as a value: visited once, then a pure program and its arrays."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from hkflows.conditioners.program import Program

Array = jax.Array
VectorFunction = Callable[[Array], Array]


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
