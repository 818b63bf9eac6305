"""Networks of a coupling: any Haiku callable gives features, a zero-initialised layer the rest."""

import dataclasses
from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.extend.core
import jax.numpy as jnp

from hkflows import checks
from hkflows.conditioners import weights

Array = jax.Array
Features = Callable[[Array], Array]


class MLP(hk.Module):
    """A multilayer perceptron that gives features to a `Coupling`, `[..., D_in] -> [..., H]`.

    Args:
        hidden_sizes: the widths of its layers; each is followed by the activation.
        activation: the function after each layer.
        name: the Haiku name of the module.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int],
        *,
        activation: Callable[[Array], Array] = jax.nn.relu,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.hidden_sizes = tuple(checks.positive_int("hidden_sizes", h) for h in hidden_sizes)
        self.activation = activation

    def __call__(self, z: Array) -> Array:
        """Returns the features, `[..., H]`, of `z`, `[..., D_in]`."""
        for index, width in enumerate(self.hidden_sizes):
            weight = weights.scaled_weight(f"w_{index}", (z.shape[-1], width))
            z = self.activation(z @ weight + weights.zero_bias(f"b_{index}", (width,)))
        return z


class _Program:
    """A traced function of one vector. Two programs are equal if they read the same.

    The comparison is what lets two builds of a flow share one compilation: a Haiku callable may be
    a fresh lambda at every build, its trace is the same text.
    """

    def __init__(self, closed: jax.extend.core.ClosedJaxpr):
        self._jaxpr = closed.jaxpr
        self._text = str(closed.jaxpr)
        self.in_dtype = closed.in_avals[-1].dtype
        (self.out_size,) = closed.out_avals[0].shape

    def __call__(self, consts: Sequence[Array], values: Sequence[Array], z: Array) -> Array:
        closed = jax.extend.core.ClosedJaxpr(self._jaxpr, list(consts))
        (features,) = jax.extend.core.jaxpr_as_fun(closed)(*values, z)
        return features

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Program) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CouplingNetwork:
    """A coupling's network at fixed weights, `z -> params`, `[..., D_in] -> [..., D_out, P]`.

    Attributes:
        consts: arrays that the Haiku callable closes over.
        values: the callable's parameters, in the order in which it fetches them.
        weight: the last layer's weight, `[H, D_out, P]`.
        bias: the last layer's bias, `[D_out, P]`.
        context: `[..., C]`, appended to `z`; or `None`.
        program: the callable itself, traced.
    """

    consts: tuple[Array, ...]
    values: tuple[Array, ...]
    weight: Array
    bias: Array
    context: Array | None
    program: _Program = dataclasses.field(metadata={"static": True})

    def __call__(self, z: Array) -> Array:
        """Returns the transformer parameters `[..., D_out, P]` at `z`, shape `[..., D_in]`."""
        if self.context is not None:
            batch = jnp.broadcast_shapes(z.shape[:-1], self.context.shape[:-1])
            z = jnp.broadcast_to(z, (*batch, z.shape[-1]))
            context = jnp.broadcast_to(self.context, (*batch, self.context.shape[-1]))
            z = jnp.concatenate([z, context], axis=-1)
        rows = z.reshape(-1, z.shape[-1]).astype(self.program.in_dtype)
        features = jax.vmap(lambda row: self.program(self.consts, self.values, row))(rows)
        params = jnp.tensordot(features, self.weight, axes=1) + self.bias
        return params.reshape(*z.shape[:-1], *self.bias.shape)


class _Readout(hk.Module):
    """The last layer of a coupling's network: linear, starting at zero."""

    def __call__(self, in_size: int, out_shape: tuple[int, int]) -> tuple[Array, Array]:
        weight = weights.zero_weight("w", (in_size, out_shape[0] * out_shape[1]))
        return weight.reshape(in_size, *out_shape), weights.zero_bias("b", out_shape)


def coupling_network(
    conditioner: Features, in_size: int, out_shape: tuple[int, int], context: Array | None
) -> CouplingNetwork:
    """Visits a Haiku callable once: registers its parameters, traces it, adds the last layer.

    Args:
        conditioner: maps a vector `[D_in + C]` to features `[H]`; a Haiku module, or any function
            that calls some. Deterministic and without Haiku state.
        in_size: D_in, the number of dimensions that it sees.
        out_shape: `(D_out, P)`.
        context: `[..., C]` or `None`.

    Returns:
        The network at these weights.

    Raises:
        ValueError: if `conditioner` does not return a feature vector, or cannot be replayed.
    """
    context = checks.context(context)
    context_size = 0 if context is None else context.shape[-1]
    z = jnp.zeros(in_size + context_size)

    values: dict[str, Array] = {}

    def record(getter: Callable, value: Array, entry: hk.GetterContext) -> Array:
        return values.setdefault(entry.full_name, getter(value))

    with hk.custom_getter(record):
        features = conditioner(z)
    if getattr(features, "ndim", None) != 1 or not jnp.issubdtype(features.dtype, jnp.floating):
        raise ValueError(
            f"`conditioner` must map a vector [{z.size}] to features [H]; "
            f"got {getattr(features, 'shape', type(features).__name__)}."
        )

    closed = jax.make_jaxpr(lambda values, z: _replay(conditioner, values, z))(
        list(values.values()), z.astype(features.dtype)
    )
    program = _Program(closed)
    weight, bias = _Readout(name="coupling_readout")(program.out_size, out_shape)
    return CouplingNetwork(
        consts=tuple(jnp.asarray(const) for const in closed.consts),
        values=tuple(values.values()),
        weight=weight,
        bias=bias,
        context=context,
        program=program,
    )


def _replay(conditioner: Features, values: Sequence[Array], z: Array) -> Array:
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
