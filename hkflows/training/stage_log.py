"""The record of a fit's stages: what each reached, what it took, whether it is kept."""

import time

import jax
import numpy as np

from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.training.fresh import NUM_FRESH_DRAWS, fresh_log_weights
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
        weights = weights[np.isfinite(weights)]
        if 2 * weights.size < NUM_FRESH_DRAWS:
            return self._append(name, -np.inf, np.inf, NUM_FRESH_DRAWS, note)
        elbo, spread = float(weights.mean()), float(weights.std())
        return self._append(name, elbo, spread, NUM_FRESH_DRAWS, note)

    def add_flow(self, result: Result) -> Stage:
        """Notes a flow, whose fit has told its ELBO from fresh draws."""
        report: Report = result.report or Report(np.inf, 1)
        elbo, spread = -result.score, float(report.spread)
        return self._append("flow", elbo, spread, report.num_draws, result.stop_reason)

    def skip(self, name: str, note: str) -> Stage:
        """Notes a stage that did not come to pass."""
        return self._append(name, -np.inf, np.nan, 1, note)

    def _append(self, name: str, elbo: float, spread: float, num_draws: int, note: str) -> Stage:
        kept = not self.stages or elbo > max(stage.elbo for stage in self.stages)
        now = time.perf_counter()
        error = spread / num_draws**0.5
        stage = Stage(name, elbo, error, spread, now - self._clock, kept, note)
        self.stages.append(stage)
        self._clock = now
        return stage
