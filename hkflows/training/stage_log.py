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
        elbo, spread, share = map(float, finite_moments(weights))
        report = Report(elbo, spread, share, NUM_FRESH_DRAWS)
        best = max((stage.elbo for stage in self.stages), default=-np.inf)
        kept = not self.stages or report.elbo > best - 2.0 * _error_of_share(report)
        return self._append(name, report, note, bool(kept))

    def add_flow(self, result: Result) -> Stage:
        """Notes a flow, whose start is the best of what came before, if anything did."""
        report = result.report or Report(-np.inf, np.inf, 1.0, 1)
        kept = not self.stages or np.argmin(result.scores) > 0
        return self._append("flow", report, result.stop_reason, bool(kept))

    def skip(self, name: str, note: str) -> Stage:
        """Notes a stage that did not come to pass."""
        return self._append(name, Report(-np.inf, np.nan, 1.0, 1), note, kept=False)

    def _append(self, name: str, report: Report, note: str, kept: bool) -> Stage:
        now = time.perf_counter()
        error = float(np.hypot(report.spread / report.num_draws**0.5, _error_of_share(report)))
        elbo, spread = float(report.elbo), float(report.spread)
        stage = Stage(name, elbo, error, spread, now - self._clock, kept, note)
        self.stages.append(stage)
        self._clock = now
        return stage


def _error_of_share(report: Report) -> float:
    """Returns the standard error of an ELBO (nats) for not knowing how much density is zero."""
    return float((1.0 - report.share) / (report.share * report.num_draws)) ** 0.5
