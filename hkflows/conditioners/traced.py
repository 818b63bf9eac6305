"""Any Haiku callable as a value: visited once, then a pure program and its arrays."""

import dataclasses
from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.extend.core
import jax.numpy as jnp

Array = jax.Array
VectorFunction = Callable[[Array], Array]


class Program:
    """A traced function of one vector. Two programs are equal if they read the same.

    The comparison is what lets two builds of a flow share one compilation: a Haiku callable may be
    a fresh lambda at every build, its trace is the same text.
    """

    def __init__(self, closed: jax.extend.core.ClosedJaxpr):
        self._jaxpr = closed.jaxpr
        self._text = str(closed.jaxpr)
        self.in_dtype = closed.in_avals[-1].dtype
        self.out_shape = closed.out_avals[0].shape

    def __call__(self, consts: Sequence[Array], values: Sequence[Array], z: Array) -> Array:
        """Runs the program on one vector."""
        closed = jax.extend.core.ClosedJaxpr(self._jaxpr, list(consts))
        (result,) = jax.extend.core.jaxpr_as_fun(closed)(*values, z)
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


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

    def __call__(self, z: Array) -> Array:
        """Evaluates the callable at `z`, `[..., N]`; a context batch broadcasts against it."""
        if self.context is not None:
            batch = jnp.broadcast_shapes(z.shape[:-1], self.context.shape[:-1])
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
    values: dict[str, Array] = {}

    def record(getter: Callable, value: Array, entry: hk.GetterContext) -> Array:
        return values.setdefault(entry.full_name, getter(value))

    with hk.custom_getter(record):
        result = conditioner(z)
    if not isinstance(result, jax.Array) or not jnp.issubdtype(result.dtype, jnp.floating):
        raise ValueError(f"`conditioner` must return a floating array; got {result!r}.")

    closed = jax.make_jaxpr(lambda values, z: _replay(conditioner, values, z))(
        list(values.values()), z.astype(result.dtype)
    )
    consts = tuple(jnp.asarray(const) for const in closed.consts)
    return Traced(consts, tuple(values.values()), context, Program(closed))


def _replay(conditioner: VectorFunction, values: Sequence[Array], z: Array) -> Array:
    """Runs `conditioner` as a pure function: its parameters are `values`, in order of creation."""
    remaining = list(values)
    outputs: list[Array] = []

    def hand_out(creator: Callable, *args: object) -> Array:
        if not remaining:
            raise ValueError("`conditioner` fetches other parameters when it is called again.")
        return remaining.pop(0)

    def run() -> None:
        with hk.custom_creator(hand_out):
            outputs.append(conditioner(z))

    hk.transform(run).init(None)
    if remaining:
        raise ValueError(
            "`conditioner` mixes modules built outside and inside of it under the same names; "
            "build all of them on one side, or name them apart."
        )
    return outputs[0]
