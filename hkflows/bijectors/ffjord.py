"""The continuous flow, an ordinary differential equation: the extra `ode`."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks, extras
from hkflows.bijectors.result import broadcast_result
from hkflows.conditioners import VectorField, vector_field
from hkflows.conditioners.traced import VectorFunction
from hkflows.kernels import continuous

Array = jax.Array


class FFJORD(distrax.Bijector):
    """Continuous flow: carries an event along a trained vector field for a unit of time.

    With `x_0 = x` and `dx_t/dt = f(x_t, t)`,

    Forward: `y = x_1`, `log|det dy/dx|` the integral of `tr(df/dx)` over time.
    Inverse: the same equation, from one back to zero.

    Each event is integrated by itself, with steps as long as the tolerances allow (Tsit5), so both
    directions are as exact as these are. A step evaluates the field six times, each with D
    derivatives for the trace, or `num_probes` for an estimate of it. Where the steps do not suffice
    the result is NaN.

    Args:
        event_size: D.
        conditioner: any Haiku callable, `[D + 1] -> [H]`, or `[D + 1 + C] -> [H]` with a context:
            it sees `x`, then the time, then the context. A linear layer that starts at zero, the
            identity, makes the field of its features. It should be smooth: `jax.nn.relu` costs
            many steps.
        context: `[..., C]`; its leading dimensions are the batch of the bijector.
        num_probes: `None` for the exact trace; or a number of random directions that estimate it
            without bias (Hutchinson). They are the same for all events and times of one build, so
            that the bijector is a function; give each step of training a new `probe_key`, or it
            fits the directions in place of the trace.
        probe_key: a PRNG key, with `num_probes`.
        rtol: the relative error of a step, in `y` and in the log-det.
        atol: the absolute one.
        adjoint: how to differentiate in reverse, a `diffrax.AbstractAdjoint`: by default
            `diffrax.RecursiveCheckpointAdjoint()`, the derivative of the steps as they were taken.
            `diffrax.BacksolveAdjoint()` integrates the adjoint equation of the paper, in constant
            memory; `diffrax.DirectAdjoint()` has forward-mode derivatives too.

    Raises:
        ImportError: without the extra `ode`.

    References:
        Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud (2019), "FFJORD: free-form continuous
        dynamics for scalable reversible generative models", section 3, arXiv:1810.01367.
        Kidger (2021), "On neural differential equations", section 5.1, arXiv:2202.02435.
    """

    def __init__(
        self,
        event_size: int,
        conditioner: VectorFunction,
        *,
        context: Array | None = None,
        num_probes: int | None = None,
        probe_key: Any = None,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        adjoint: Any = None,
    ):
        super().__init__(event_ndims_in=1)
        diffrax = _diffrax()
        D = checks.positive_int("event_size", event_size)
        checks.function("conditioner", conditioner)
        if (num_probes is None) != (probe_key is None):
            raise ValueError(
                "`num_probes` and `probe_key` must be given together, or neither; got "
                f"{num_probes!r} and {probe_key!r}."
            )
        if adjoint is not None and not isinstance(adjoint, diffrax.AbstractAdjoint):
            raise ValueError(f"`adjoint` must be a `diffrax.AbstractAdjoint`; got {adjoint!r}.")
        self._field = vector_field(conditioner, D, checks.context(context))
        if num_probes is None:
            self._probes = jnp.eye(D)
        else:
            num_probes = checks.positive_int("num_probes", num_probes)
            probe_key = checks.prng_key("probe_key", probe_key)
            self._probes = continuous.random_signs(D, num_probes, probe_key)
        self._rtol = checks.positive_float("rtol", rtol)
        self._atol = checks.positive_float("atol", atol)
        self._adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps `x`, `[..., D]`, to `y`, `[..., D]`, and `log|det dy/dx|`, `[...]`."""
        return self._integrate("x", x, 0.0, 1.0)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Maps `y`, `[..., D]`, to `x`, `[..., D]`, and `log|det dx/dy|`, `[...]`."""
        return self._integrate("y", y, 1.0, 0.0)

    def result_shape(self, event: jax.ShapeDtypeStruct | Array) -> jax.ShapeDtypeStruct:
        """Returns the shape and dtype that either direction gives an event."""
        network = self._field.network
        return broadcast_result(event, self._probes.shape[-1], network.batch_shape, network.dtype)

    def _integrate(self, name: str, value: Array, t0: float, t1: float) -> tuple[Array, Array]:
        """Integrates every event by itself, in its own context."""
        value = checks.event(name, value, self._probes.shape[-1])
        result = self.result_shape(value)
        *batch, D = result.shape
        rows = jnp.broadcast_to(value, result.shape).astype(result.dtype).reshape(-1, D)
        contexts = self._field.context
        if contexts is not None:
            size = contexts.shape[-1]
            contexts = jnp.broadcast_to(contexts, (*batch, size)).reshape(-1, size)

        def solve(row: Array, context: Array | None) -> tuple[Array, Array]:
            return self._solve(self._field.at(context), row, t0, t1)

        moved, log_det = jax.vmap(solve)(rows, contexts)
        return moved.reshape(result.shape), log_det.reshape(batch)

    def _solve(self, field: VectorField, x: Array, t0: float, t1: float) -> tuple[Array, Array]:
        """Integrates one event, `[D]`, and its log-det."""
        diffrax = _diffrax()
        # As a list, for `diffrax.BacksolveAdjoint` stumbles over empty tuples.
        leaves, structure = jax.tree.flatten((field, self._probes.astype(x.dtype)))

        def drift(t: Array, state: continuous.State, leaves: list[Array]) -> continuous.State:
            return continuous.drift(t, state, *jax.tree.unflatten(structure, leaves))

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(drift),
            diffrax.Tsit5(),
            t0=t0,
            t1=t1,
            dt0=None,
            y0=(x, jnp.zeros((), x.dtype)),
            args=leaves,
            stepsize_controller=diffrax.PIDController(rtol=self._rtol, atol=self._atol),
            adjoint=self._adjoint,
            throw=False,  # raising would take a round to the host at every call
        )
        arrived = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda path: jnp.where(arrived, path[0], jnp.nan), solution.ys)


def _diffrax() -> Any:
    return extras.load("diffrax", extra="ode", caller="FFJORD")
