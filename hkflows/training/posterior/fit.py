"""What a fit to a posterior leaves."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import numpy as np
from jax.tree_util import Partial

from hkflows import checks
from hkflows.diagnostics import Diagnostics
from hkflows.diagnostics.resampling import resampled_draws, weighed_draws
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.streams import stream_draws, stream_rows
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.posterior.stage import Stage
from hkflows.training.posterior.summary import moments, overall, stage_table
from hkflows.training.rows import matrix
from hkflows.training.storage.codec import describable
from hkflows.training.storage.saving import save
from hkflows.training.tables import table

Array = jax.Array


@describable
@dataclasses.dataclass(frozen=True, eq=False)
class PosteriorFit:
    """A flow fitted to a posterior.

    Attributes:
        target: what was fitted; given the data, if it took any.
        flow: the flow, as `hk.Transformed`.
        params: its parameters.
        stages: what the stages of the fit did.
        losses: the negative ELBO of every step of the flow's training (nats), `[num_steps]`; with
            path gradients from the draws where the posterior is positive.
        diagnostics: whether the fit can be trusted.
        num_skipped: steps of the flow's training whose loss or gradient was not finite; they
            changed nothing.
        stop_reason: why the fit ended.
        seconds: how long it took, compilation included.
    """

    target: Target
    flow: hk.Transformed
    params: Any
    stages: tuple[Stage, ...]
    losses: np.ndarray
    diagnostics: Diagnostics
    num_skipped: int
    stop_reason: str
    seconds: float

    def __repr__(self) -> str:
        d = self.diagnostics
        return (
            f"PosteriorFit(event_size={self.target.event_size}, verdict={d.verdict!r}, "
            f"elbo={d.elbo:.4g}, ess={d.ess:.0f} of {d.num_samples})"
        )

    @property
    def distribution(self) -> FlowDistribution:
        """The fitted distribution on the unconstrained vector."""
        return self.flow.apply(self.params)

    @full_precision
    def sample(self, key: Array | int, n: int, *, importance_resample: bool = False) -> Any:
        """Draws from the fit, in the user's parameters.

        Args:
            key: a PRNG key, typed or not, or an integer.
            n: the number of draws, at least one.
            importance_resample: whether to draw five times as many, or 10,000 if that is more, and
                of those as many as asked for, with probabilities in proportion to the importance
                weights: where these are reliable (see `diagnostics.verdict`) they are draws from
                the posterior, though some may be equal.

        Returns:
            What `target.constrain` gives, as NumPy arrays with a leading axis of size `n`. They are
            made 10,000 at a time, so memory is needed for the result and little more.

        Raises:
            ValueError: if an argument is off, or no draw has an importance weight that is finite.

        References:
            Rubin (1987), "The SIR algorithm", comment on Tanner & Wong, JASA 82.
        """
        checks.positive_int("n", n)
        key = checks.prng_key("key", key)
        draw = functools.partial(_draw, self.flow, self.target.constrain, self.params)
        if not importance_resample:
            return stream_draws(draw, key, n)
        log_density = as_argument(self.target.log_density)
        weigh = functools.partial(_weigh, self.flow, log_density, self.params)
        return resampled_draws(draw, weigh, key, n)

    @full_precision
    def log_prob(self, z: Any) -> np.ndarray:
        """Returns the log density of the fit (nats), `[n]`, as a NumPy array.

        Args:
            z: points on the unconstrained side, `[n, D]`. They are gone through 10,000 at a time.

        Raises:
            ValueError: if `z` has another shape, or is not floating.
        """
        z = matrix("z", z)
        if z.shape[1] != self.target.event_size:
            raise ValueError(f"`z` must have shape [n, {self.target.event_size}]; got {z.shape}.")
        return stream_rows(functools.partial(_log_prob, self.flow, self.params), z)

    def to_arviz(
        self,
        key: Array | int,
        n: int = 1000,
        *,
        importance_resample: bool = False,
        observed_data: dict[str, Any] | None = None,
    ) -> Any:
        """Returns draws as an `arviz.InferenceData`; it needs the extra `diagnostics`.

        Args:
            key: a PRNG key, typed or not, or an integer.
            n: the number of draws.
            importance_resample: whether to correct the draws, as `sample` does.
            observed_data: arrays by name, for a group of their own.

        Returns:
            One chain of draws in the group `posterior`, and their log density and log weight in
            `sample_stats`.
        """
        from hkflows.integrations.arviz import to_inference_data

        return to_inference_data(
            self.target,
            self.distribution,
            key=key,
            num_draws=n,
            importance_resample=importance_resample,
            observed_data=observed_data,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fit to a new or empty folder, from which `hkflows.load_fit` reads it.

        The target is not written, and has to be given to `load_fit`; so has a flow of your own.
        """
        save(self, path)

    def summary(self) -> str:
        """Returns the verdict, the stages and the parameters as tables."""
        ending = {
            "skipped steps": f"{self.num_skipped} of {self.losses.size}",
            "ended because": self.stop_reason,
            "seconds": f"{self.seconds:.1f}",
        }
        d = self.diagnostics
        after = self.seconds - sum(stage.seconds for stage in self.stages)
        tables = table(overall(d) | ending), stage_table(self.stages, after), moments(d.parameters)
        return "\n\n".join(tables)


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
def _draw(
    flow: hk.Transformed, constrain: Callable[[Array], Any], params: Any, key: Array, n: int
) -> Any:
    """Returns `n` draws in the user's parameters."""
    z = flow.apply(params).sample(seed=key, sample_shape=(n,))
    return jax.vmap(constrain)(z)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _weigh(flow: hk.Transformed, log_density: Partial, params: Any, key: Array, n: int) -> Array:
    """Returns the log weights (nats) of the same draws, `[n]`."""
    return weighed_draws(log_density, flow.apply(params), key, n)[2]


@functools.partial(jax.jit, static_argnums=0)
def _log_prob(flow: hk.Transformed, params: Any, z: Array) -> Array:
    return flow.apply(params).log_prob(z)
