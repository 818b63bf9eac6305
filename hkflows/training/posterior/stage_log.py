"""The record of a fit's stages: what each reached, what it took, whether it is kept."""

import time
from collections.abc import Sequence

import jax
import numpy as np

from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training.loop.minimise import Result
from hkflows.training.posterior.fresh import (
    NUM_FRESH_DRAWS,
    elbo_error,
    finite_moments,
    fresh_log_weights,
)
from hkflows.training.posterior.negative_elbo import Report
from hkflows.training.posterior.stage import Stage

Array = jax.Array


class StageLog:
    """The stages of a fit, as they come to pass.

    Args:
        posterior: by which they are judged.
        key: a PRNG key of the draws for it.
        stages: those before.
    """

    def __init__(self, posterior: Target, key: Array, stages: Sequence[Stage] = ()):
        self.stages = list(stages)
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
        # Where the density is zero at some draws, the ELBO is known no better than their share.
        kept = not self.stages or elbo > best - 2.0 * elbo_error(0.0, share, NUM_FRESH_DRAWS)
        return self._append(name, report, note, kept)

    def add_flow(self, result: Result) -> Stage:
        """Notes a flow, whose start is the best of what came before, if anything did."""
        if result.report is None or (self.stages and np.argmin(result.scores) == 0):
            return self.skip("flow", result.stop_reason)
        return self._append("flow", result.report, result.stop_reason, kept=True)

    def skip(self, name: str, note: str) -> Stage:
        """Notes a stage without a result."""
        kept = not self.stages  # for want of anything else
        return self._append(name, Report(-np.inf, np.nan, 1.0, 1), note, kept)

    def _append(self, name: str, report: Report, note: str, kept: bool) -> Stage:
        now = time.perf_counter()
        elbo, spread = float(report.elbo), float(report.spread)
        error = float(elbo_error(spread, float(report.share), report.num_draws))
        stage = Stage(name, elbo, error, spread, now - self._clock, kept, note)
        self.stages.append(stage)
        self._clock = now
        return stage
