"""The objective of a flow's fit to a posterior."""

import dataclasses
from typing import Any, NamedTuple

import distrax
import haiku as hk
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial

from hkflows import elbo
from hkflows.elbo import LogDensity
from hkflows.training.batches import batches
from hkflows.training.posterior.data import given
from hkflows.training.posterior.fresh import elbo_error, finite_moments
from hkflows.training.posterior.powers import powered

Array = jax.Array

CHUNK_ROWS = 1000  # rows in memory at a time when all are gone through
CAUTION = 2.0  # standard errors of an ELBO by which its score is worse


class Fixed(NamedTuple):
    """The arrays of the objective, and the log density, which may hold some."""

    log_density: Partial  # that of the target, with a batch as second argument if there are data
    units: distrax.Bijector | None  # from those of the flow to those of the target
    data: Any  # a pytree of arrays [N, ...], or None
    fresh_key: Array
    half: Array  # of the first round, a number of steps


class Report(NamedTuple):
    """What fresh draws say about parameters."""

    elbo: Array | float  # of the finite log weights (nats)
    spread: Array | float  # standard deviation of the finite log weights (nats)
    share: Array | float  # how many of them are finite
    num_draws: int


class Row(NamedTuple):
    """What tells one step from another."""

    key: Array
    step: Array
    rows: Array | None  # of the data, [batch_size]


@dataclasses.dataclass(frozen=True)
class NegativeElbo:
    """The negative ELBO of a flow (nats); scored from the same fresh draws each time.

    A path gradient, and the loss that comes with it, leave out draws where the density is zero.

    Attributes:
        flow: the flow, in units of its own if there are any.
        num_samples: draws a step.
        num_fresh: draws a score.
        estimator: "total" or "path"; if `None`, "total" for the first `Fixed.half` steps.
        annealing: the power of the posterior at first, which grows to 1 over as many, or `None`.
        batch_size: rows of data a step.
        mesh: the devices over which draws and rows are spread, or `None`.
    """

    flow: hk.Transformed
    num_samples: int
    num_fresh: int
    estimator: elbo.Estimator | None
    annealing: float | None
    batch_size: int
    mesh: Mesh | None

    def inputs(self, fixed: Fixed, key: Array, steps: Array) -> Row:
        """Returns keys, and rows of the data: every epoch in an order of its own."""
        if fixed.data is None:
            return Row(jax.random.split(key, len(steps)), steps, None)
        draw_key, row_key = jax.random.split(key)
        num_rows = jax.tree.leaves(fixed.data)[0].shape[0]
        rows = batches(row_key, num_rows, self.batch_size, len(steps))
        return Row(jax.random.split(draw_key, len(steps)), steps, rows[: len(steps)])

    def loss(self, params: Any, fixed: Fixed, row: Row) -> Array:
        """Returns an estimate from one batch of draws."""
        batch = () if row.rows is None else (jax.tree.map(lambda a: a[row.rows], fixed.data),)
        log_density = _in_units(lambda z: fixed.log_density(z, *batch), fixed.units)
        tempered = self._tempered(log_density, row.step, fixed.half)

        def negative_elbo(estimator: elbo.Estimator) -> Array:
            loss, aux = elbo.negative_elbo(
                self.flow.apply(params),
                tempered,
                seed=row.key,
                num_samples=self.num_samples,
                estimator=estimator,
                mesh=self.mesh,
            )
            if estimator == "total":
                return loss
            log_weights = aux["log_weights"]
            # Where the density is zero nothing is to be matched: without such draws the path
            # gradient still vanishes where the flow is the posterior, up to a factor. The total
            # one would push the flow to where the density is zero.
            return -jnp.mean(log_weights, where=log_weights != -jnp.inf)

        if self.estimator is not None:
            return negative_elbo(self.estimator)
        return jax.lax.cond(
            row.step < fixed.half, lambda: negative_elbo("total"), lambda: negative_elbo("path")
        )

    def score(self, params: Any, fixed: Fixed, mean_loss: Array) -> tuple[Array, Report]:
        """Returns the value from fresh draws with its doubt, and how much their log weights vary.

        The best of several noisy values is often the noisiest. What counts is therefore an upper
        bound, by two standard errors, on the negative ELBO.
        """
        log_density = fixed.log_density
        if fixed.data is not None:
            log_density = given(log_density, fixed.data, CHUNK_ROWS)
        _, aux = elbo.negative_elbo(
            self.flow.apply(params),
            _in_units(log_density, fixed.units),
            seed=fixed.fresh_key,
            num_samples=self.num_fresh,
            mesh=None if self.mesh is None or self.num_fresh % self.mesh.size else self.mesh,
        )
        value, spread, share = finite_moments(aux["log_weights"])
        doubt = CAUTION * elbo_error(spread, share, self.num_fresh)
        return doubt - value, Report(value, spread, share, self.num_fresh)

    def _tempered(self, log_density: LogDensity, step: Array, half: Array) -> LogDensity:
        if self.annealing is None:
            return log_density
        grown = jnp.minimum(1.0, step / jnp.maximum(half, 1))
        power = self.annealing + (1.0 - self.annealing) * grown
        return powered(log_density, power)


def _in_units(log_density: LogDensity, units: distrax.Bijector | None) -> LogDensity:
    if units is None:
        return log_density

    def pulled_back(x: Array) -> Array:
        z, log_det = units.forward_and_log_det(x)
        return log_density(z) + log_det

    return pulled_back
