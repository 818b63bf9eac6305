"""The objective of a flow's fit to data."""

import dataclasses
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hkflows.distributions import FlowDistribution
from hkflows.likelihood import negative_log_likelihood
from hkflows.sharding import spread
from hkflows.training.batches import batches
from hkflows.training.density.averaging import Averaged
from hkflows.training.rows import Rows

Array = jax.Array


class Fixed(NamedTuple):
    """The arrays of the objective: rows in units of the flow, with weights of mean one."""

    train: Rows | None  # if they are all on the device
    sample: Rows  # of the rows to train on
    held_out: Rows | None
    log_det: Array  # of the map to the units of the data


@dataclasses.dataclass(frozen=True)
class NegativeLogLikelihood:
    """The mean negative log-likelihood of rows, in units of the data (nats).

    It scores the mean of the parameters by the held-out rows, or the sample if there are none, and
    reports what the sample gives.

    Attributes:
        flow: the flow.
        batch_size: rows a step.
        mesh: the devices over which rows are spread, or `None`.
    """

    flow: hk.Transformed
    batch_size: int
    mesh: Mesh | None

    def inputs(self, fixed: Fixed, key: Array, steps: Array) -> Array:
        """Returns the row numbers of each step."""
        num_rows = len(jax.tree.leaves(fixed.train)[0])
        return batches(key, num_rows, self.batch_size, len(steps))

    def loss(self, params: Averaged, fixed: Fixed, row: Array | Rows) -> Array:
        """Returns that of a batch, given as rows or by their numbers."""
        if not isinstance(row, Rows):
            row = jax.tree.map(lambda array: array[row], fixed.train)
        rows: Rows = spread(row, self.mesh)
        q = self._distribution(params.now, rows)
        return fixed.log_det + negative_log_likelihood(q, rows.data, weights=rows.weights)

    def score(self, params: Averaged, fixed: Fixed, mean_loss: Array) -> tuple[Array, Array]:
        """Returns that of the held-out rows and that of the sample."""
        parts = [fixed.sample] if fixed.held_out is None else [fixed.sample, fixed.held_out]
        rows = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)  # to compile one pass
        log_prob = self._distribution(params.mean, rows).log_prob(rows.data)
        ends = np.cumsum([len(part.data) for part in parts])[:-1]
        values = [
            fixed.log_det - jnp.average(each, weights=part.weights)
            for each, part in zip(jnp.split(log_prob, ends), parts, strict=True)
        ]
        return values[-1], values[0]

    def _distribution(self, params: Any, rows: Rows) -> FlowDistribution:
        context = () if rows.context is None else (rows.context,)
        return self.flow.apply(params, *context)
