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
from hkflows.diagnostics.resampling import num_proposals, resample
from hkflows.distributions import FlowDistribution
from hkflows.precision import full_precision
from hkflows.streams import stream_draws, stream_rows
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.rows import matrix
from hkflows.training.storage.codec import describable
from hkflows.training.storage.saving import save
from hkflows.training.tables import columns, table

Array = jax.Array

MAX_ROWS = 40  # of the table of parameters


@describable
@dataclasses.dataclass(frozen=True)
class Stage:
    """What became of a stage of a fit.

    Attributes:
        name: "start", "gaussian" or "flow".
        elbo: of its result, from fresh draws, restricted to where the posterior is positive (nats);
            minus infinity if there is none.
        elbo_standard_error: its standard error (nats).
        spread: standard deviation of the finite log weights (nats).
        seconds: how long it took, compilation included.
        kept: whether it was better than those before it: a Gaussian by its ELBO or, where the
            posterior is zero at some draws, not worse by more than twice the error of their share;
            a flow by its ELBO less two standard errors, from the draws that its start had.
        note: how it ended.
    """

    name: str
    elbo: float
    elbo_standard_error: float
    spread: float
    seconds: float
    kept: bool
    note: str


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
        num_skipped: steps whose gradient was not finite; they changed nothing.
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
        draw_key, pick_key = jax.random.split(key)
        log_density = as_argument(self.target.log_density)
        weigh = functools.partial(_weigh, self.flow, log_density, self.params)
        log_weights = stream_draws(weigh, draw_key, num_proposals(n))
        picked = resample(log_weights, pick_key, n)
        return stream_draws(draw, draw_key, num_proposals(n), picked=picked)

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
        d = self.diagnostics
        khat = "needs hkflows[diagnostics]" if d.khat is None else f"{d.khat:.2f}"
        overall = {
            "verdict": d.verdict,
            "reason": d.reason,
            "ELBO": f"{d.elbo:.3f} +- {d.elbo_standard_error:.1g} nats"
            if np.isfinite(d.elbo)
            else "minus infinity: "
            + ("the log density is that at some draws" if d.num_zero else "no draw has a weight"),
            "log evidence": f"{d.log_evidence:.3f} nats",
            "effective sample size": f"{d.ess:.0f} of {d.num_samples} draws",
            "Pareto k-hat": khat,
            "missed mass": f"{100.0 * d.missed_mass:.1f} %" if d.missed_mass else "none found",
            "rounding": f"{d.rounding:.1g} nats",
            "zero-density draws": str(d.num_zero),
            "non-finite draws": str(d.num_nonfinite),
            "skipped steps": f"{self.num_skipped} of {self.losses.size}",
            "ended because": self.stop_reason,
            "seconds": f"{self.seconds:.1f}",
        }
        return "\n\n".join([table(overall), self._stage_table(), self._parameter_table()])

    def _stage_table(self) -> str:
        rows = [["stage", "ELBO", "+-", "seconds", "", ""]]
        for stage in self.stages:
            known = np.isfinite(stage.elbo)
            numbers = (
                f"{stage.elbo:.3f}" if known else "-",
                f"{stage.elbo_standard_error:.1g}" if known else "-",
                f"{stage.seconds:.1f}",
            )
            rows.append([stage.name, *numbers, "kept" if stage.kept else "dropped", stage.note])
        return columns(rows)

    def _parameter_table(self) -> str:
        p = self.diagnostics.parameters
        rows = [["parameter", "mean", "sd", "corrected mean", "corrected sd", "gap"]]
        for index, name in enumerate(p.names[:MAX_ROWS]):
            values = p.mean, p.sd, p.corrected_mean, p.corrected_sd
            numbers = [f"{value[index]:.4g}" for value in values]
            rows.append([name, *numbers, f"{p.gap[index]:.3f}"])
        if len(p.names) > MAX_ROWS:
            rows.append([f"and {len(p.names) - MAX_ROWS} more", *[""] * 5])
        return columns(rows)


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
    z, log_q = flow.apply(params).sample_and_log_prob(seed=key, sample_shape=(n,))
    return jax.lax.map(log_density, z, batch_size=1000) - log_q


@functools.partial(jax.jit, static_argnums=0)
def _log_prob(flow: hk.Transformed, params: Any, z: Array) -> Array:
    return flow.apply(params).log_prob(z)
