"""The record of a fit's stages: what each reached, what it took, whether it is kept."""

import time

import jax
import numpy as np

from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training.fresh import NUM_FRESH_DRAWS, finite_moments, fresh_log_weights
from hkflows.training.loop import Result
from hkflows.training.negative_elbo import Report
from hkflows.training.posterior_fit import Stage

Array = jax.Array


class StageLog:
    """The stages of a fit, as they come to pass."""

    def __init__(self, posterior: Target, key: Array):
        self.stages: list[Stage] = []
        self._clock = time.perf_counter()
        self._posterior = posterior
        self._key = key

    def add(self, name: str, q: FlowDistribution, note: str) -> Stage:
        """Notes a Gaussian, and whether it is better than what came before."""
        log_density = self._posterior.log_density
        weights = np.asarray(fresh_log_weights(log_density, q, self._key), np.float64)
        elbo, spread, share = finite_moments(weights)
        return self._append(name, elbo, Report(spread, share, NUM_FRESH_DRAWS), note)

    def add_flow(self, result: Result) -> Stage:
        """Notes a flow, whose fit has told its ELBO from fresh draws."""
        report = result.report or Report(np.inf, 1.0, 1)
        return self._append("flow", -result.score, report, result.stop_reason)

    def skip(self, name: str, note: str) -> Stage:
        """Notes a stage that did not come to pass."""
        return self._append(name, -np.inf, Report(np.nan, 1.0, 1), note)

    def _append(self, name: str, elbo: float, report: Report, note: str) -> Stage:
        elbo, spread, share = map(float, (elbo, report.spread, report.share))
        # Where the density is zero at some draws, the ELBO is known no better than their share.
        error_of_share = ((1.0 - share) / (share * report.num_draws)) ** 0.5
        best = max((stage.elbo for stage in self.stages), default=-np.inf)
        kept = not self.stages or elbo > best - 2.0 * error_of_share
        now = time.perf_counter()
        error = float(np.hypot(spread / report.num_draws**0.5, error_of_share))
        stage = Stage(name, elbo, error, spread, now - self._clock, kept, note)
        self.stages.append(stage)
        self._clock = now
        return stage
