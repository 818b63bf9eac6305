"""What a fit to data leaves."""

import dataclasses
import functools
import os
from typing import Any

import haiku as hk
import jax
import numpy as np
from jax.typing import ArrayLike

from hkflows import checks
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.streams import stream_draws, stream_rows
from hkflows.training.rows import rows_of
from hkflows.training.storage.codec import describable
from hkflows.training.storage.saving import save
from hkflows.training.tables import table

Array = jax.Array


@describable
@dataclasses.dataclass(frozen=True, eq=False)
class DensityFit:
    """A flow fitted to data.

    All likelihoods are in the units of the data.

    Attributes:
        flow: the flow with the map to the units of the data, as `hk.Transformed`.
        params: its parameters, those with the best held-out likelihood.
        losses: the mean negative log-likelihood of every step's batch (nats), `[num_steps]`.
        validation_losses: that of the held-out rows at every evaluation, the first of them at the
            start (nats); empty when none were held out.
        train_log_likelihood: the mean log-likelihood of training rows under `params` (nats): of as
            many as were held out, or up to 1,000.
        context_size: C, if the fit has a context, or `None`.
        num_skipped: steps whose loss or gradient was not finite; they changed nothing.
        stop_reason: why the fit ended.
        seconds: how long it took, compilation included.
    """

    flow: hk.Transformed
    params: Any
    losses: np.ndarray
    validation_losses: np.ndarray
    train_log_likelihood: float
    context_size: int | None
    num_skipped: int
    stop_reason: str
    seconds: float

    def __repr__(self) -> str:
        return (
            f"DensityFit(context_size={self.context_size}, "
            f"train_log_likelihood={self.train_log_likelihood:.4g}, "
            f"stop_reason={self.stop_reason!r})"
        )

    @property
    def validation_log_likelihood(self) -> float | None:
        """The mean log-likelihood of the held-out rows under `params` (nats), if there were any."""
        return -float(self.validation_losses.min()) if self.validation_losses.size else None

    @property
    def conditional(self) -> bool:
        """Whether the fit has a context."""
        return self.context_size is not None

    @property
    def distribution(self) -> FlowDistribution:
        """The fitted distribution; for a conditional fit see `condition`."""
        return self.condition(None)

    def condition(self, context: ArrayLike | None) -> FlowDistribution:
        """Returns the fitted distribution given a context.

        Args:
            context: `[..., C]`, or `None` if the fit has none.

        Raises:
            ValueError: if it has another size, is missing, or is given to a fit without one.
        """
        context, C = checks.context(context), self.context_size
        if context is None and C is None:
            return self.flow.apply(self.params)
        if context is None:
            raise ValueError(
                f"`context`, of size {C}, must be given, as in `fit.condition(context)`; got none."
            )
        if C is None:
            raise ValueError(
                f"`context` must not be given to a fit that has none; got shape {context.shape}."
            )
        if context.shape[-1] != C:
            raise ValueError(f"`context` must have shape [..., {C}]; got {context.shape}.")
        return self.flow.apply(self.params, context)

    @full_precision
    def sample(self, key: Array | int, n: int, context: ArrayLike | None = None) -> np.ndarray:
        """Draws from the fit, as a NumPy array `[n, D]`, made 10,000 draws at a time.

        Args:
            key: a PRNG key, typed or not, or an integer.
            n: the number of draws, at least one.
            context: `[C]`, for a conditional fit.
        """
        q = self.condition(context)
        if q.batch_shape:
            raise ValueError(
                f"`context` must be one vector, [{self.context_size}]; got shape "
                f"{(*q.batch_shape, self.context_size)}. For draws given many see "
                "`fit.condition(context)`."
            )
        checks.positive_int("n", n)
        return stream_draws(functools.partial(_draw, q), checks.prng_key("key", key), n)

    @full_precision
    def log_likelihood(self, data: ArrayLike, context: ArrayLike | None = None) -> np.ndarray:
        """Returns the log-likelihood of each row (nats), `[N]`, such as of test data.

        Rows are gone through 10,000 at a time.

        Args:
            data: `[N, D]`, which may be a memory-mapped array.
            context: `[N, C]`, for a conditional fit.

        Raises:
            ValueError: if an argument has another shape, is missing, or is not wanted.
        """
        rows = rows_of(data, context)
        if rows.context is None:
            q = self.distribution
            return stream_rows(lambda y: _log_prob(q, y), rows.data)
        return stream_rows(lambda y, c: _log_prob(self.condition(c), y), rows.data, rows.context)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fit to a new or empty folder, from which `hkflows.load_fit` reads it.

        A flow of `hkflows.flows` is described there. One of your own is not, and has to be given
        to `load_fit`.
        """
        save(self, path)

    def summary(self) -> str:
        """Returns how the fit went as a table."""
        rows = {"training rows": f"{self.train_log_likelihood:.4f} nats a row"}
        if self.validation_log_likelihood is not None:
            rows["held-out rows"] = f"{self.validation_log_likelihood:.4f} nats a row"
        return table(
            {
                **{f"log-likelihood, {name}": value for name, value in rows.items()},
                "skipped steps": f"{self.num_skipped} of {self.losses.size}",
                "ended because": self.stop_reason,
                "seconds": f"{self.seconds:.1f}",
            }
        )


@jax.jit
def _log_prob(q: FlowDistribution, y: Array) -> Array:
    return q.log_prob(checks.event("data", y, *q.event_shape))


@functools.partial(jax.jit, static_argnames="n")
def _draw(q: FlowDistribution, key: Array, n: int) -> Array:
    return q.sample(seed=key, sample_shape=(n,))
