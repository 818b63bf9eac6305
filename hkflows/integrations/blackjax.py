"""Markov chains in the base space of a fitted flow: exact draws where the flow is not."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from hkflows import checks
from hkflows.distributions import FlowDistribution
from hkflows.extras import load
from hkflows.precision import full_precision
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.targets.fitted import check_fitted
from hkflows.training.tables import table

Array = jax.Array

MAX_RHAT = 1.01
MIN_ESS = 400
STARTS_PER_CHAIN = 25  # so many draws are tried for each chain's start


@dataclasses.dataclass(frozen=True, eq=False)
class NutsDraws:
    """Draws of several Markov chains, and whether the chains agree.

    R-hat and effective sample size are those of the unconstrained coordinates. Both only look at
    ranks, so that they are also those of every parameter that is a monotone function of one
    coordinate: reals, positive numbers, intervals.

    Attributes:
        parameters: the draws in the user's parameters, `[num_chains, num_draws, ...]` leaves.
        unconstrained: the same draws as vectors, `[num_chains, num_draws, D]`.
        rhat: rank-normalised split R-hat, `[D]`; one where the chains agree.
        ess: bulk effective sample size, `[D]`, in draws.
        num_divergent: draws whose trajectory diverged, of all chains. Many mean that the chains
            did not get into some region.
        acceptance: the mean acceptance probability; the warmup aims at 0.8.
        gradients_per_draw: how many gradients of the log density a draw took, on average.
        seconds: how long it took, compilation included.

    References:
        Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), "Rank-normalization, folding, and
        localization: an improved R-hat", arXiv:1903.08008.
    """

    parameters: Any
    unconstrained: Array
    rhat: np.ndarray
    ess: np.ndarray
    num_divergent: int
    acceptance: float
    gradients_per_draw: float
    seconds: float

    @property
    def converged(self) -> bool:
        """Whether every R-hat is below 1.01 and every bulk effective sample size above 400.

        These are the limits of Vehtari et al. (2021). A mode that no chain has seen shows in
        neither.
        """
        return bool(np.all(self.rhat < MAX_RHAT) and np.all(self.ess > MIN_ESS))

    def summary(self) -> str:
        """Returns the chains' diagnostics as a table."""
        num_chains, num_draws, _ = self.unconstrained.shape
        rows = {
            "draws": f"{num_chains} chains of {num_draws}",
            "largest R-hat": f"{self.rhat.max():.3f}",
            "smallest bulk ESS": f"{self.ess.min():.0f}",
            "converged": f"{'yes' if self.converged else 'NO'} "
            f"(R-hat < {MAX_RHAT}, bulk ESS > {MIN_ESS})",
            "divergent draws": str(self.num_divergent),
            "mean acceptance": f"{self.acceptance:.2f}",
            "gradients a draw": f"{self.gradients_per_draw:.1f}",
            "seconds": f"{self.seconds:.1f}",
        }
        return table(rows)


@full_precision
def sample_nuts(
    target: Target,
    distribution: FlowDistribution,
    *,
    key: Array | int,
    num_draws: int = 1000,
    num_chains: int = 4,
    num_warmup: int = 500,
) -> NutsDraws:
    """Samples a posterior by the no-U-turn sampler in the base space of a flow.

    The chains move in `x`, where the posterior has the log density `log p(f(x)) + log|det df/dx|`:
    the better the flow fits, the closer to the base distribution, and the easier to sample. The
    draws `f(x)` are exact in the limit of long chains, whatever the flow; but one that misses the
    posterior by far can make it harder to sample than without. Look at `converged`.

    Each chain starts at a draw of the flow and finds its own step size and diagonal mass matrix in
    the warmup. The flow runs forward only.

    With a fit: `sample_nuts(fit.target, fit.distribution, key=0)`.

    Args:
        target: the posterior.
        distribution: a flow on its unconstrained vectors, without a batch, whose base has all of
            `R^D` as its support.
        key: a PRNG key, typed or not, or an integer.
        num_draws: draws a chain, after the warmup; at least four.
        num_chains: chains, which run side by side; at least two.
        num_warmup: steps of the warmup, which are thrown away.

    Returns:
        The draws and their diagnostics.

    Raises:
        ImportError: if BlackJAX, the extra `blackjax`, is not installed.
        ValueError: if an argument is off, or the log density is finite at too few draws of the
            flow for the chains to start from.

    References:
        Hoffman, Sountsov, Dillon, Langmore, Tran & Vasudevan (2019), "NeuTra-lizing bad geometry
        in Hamiltonian Monte Carlo using neural transport", arXiv:1903.03704;
        Hoffman & Gelman (2014), "The no-U-turn sampler", arXiv:1111.4246.
    """
    began = time.perf_counter()
    load("blackjax", extra="blackjax", caller="sample_nuts")
    check_fitted(target, distribution)
    num_draws = _at_least("num_draws", num_draws, 4)
    num_chains = _at_least("num_chains", num_chains, 2)
    num_warmup = checks.positive_int("num_warmup", num_warmup)
    start_key, chain_key = jax.random.split(checks.prng_key("key", key))

    log_density = as_argument(target.log_density)
    starts = _starts(log_density, distribution, start_key, num_chains)
    y, parameters, rhat, ess, num_divergent, acceptance, gradients = jax.block_until_ready(
        _chains(
            log_density,
            distribution,
            starts,
            jax.random.split(chain_key, num_chains),
            constrain=target.constrain,
            num_warmup=num_warmup,
            num_draws=num_draws,
        )
    )
    return NutsDraws(
        parameters=parameters,
        unconstrained=y,
        rhat=np.asarray(rhat).reshape(-1),
        ess=np.asarray(ess).reshape(-1),
        num_divergent=int(num_divergent),
        acceptance=float(acceptance),
        gradients_per_draw=float(gradients),
        seconds=time.perf_counter() - began,
    )


def _at_least(name: str, value: Any, least: int) -> int:
    if checks.positive_int(name, value) < least:
        raise ValueError(f"`{name}` must be at least {least} for R-hat; got {value}.")
    return int(value)


@functools.partial(jax.jit, static_argnames=("constrain", "num_warmup", "num_draws"))
def _chains(
    log_density: Partial,
    distribution: FlowDistribution,
    starts: Array,
    keys: Array,
    *,
    constrain: Callable[[Array], Any],
    num_warmup: int,
    num_draws: int,
) -> tuple[Any, ...]:
    """Returns the draws, as vectors and as parameters, and what `NutsDraws` tells of them."""
    import blackjax

    base_log_density = functools.partial(_base_log_density, log_density, distribution)
    warmup = blackjax.window_adaptation(
        blackjax.nuts, base_log_density, adaptation_info_fn=lambda *_: None
    )

    def chain(start: Array, key: Array) -> tuple[Any, ...]:
        warmup_key, draw_key = jax.random.split(key)
        (state, settings), _ = warmup.run(warmup_key, start, num_steps=num_warmup)
        sampler = blackjax.nuts(base_log_density, **settings)

        def step(state: Any, key: Array) -> tuple[Any, tuple[Any, ...]]:
            state, info = sampler.step(key, state)
            kept = info.is_divergent, info.acceptance_rate, info.num_integration_steps
            return state, (state.position, *kept)

        _, (x, *infos) = jax.lax.scan(step, state, jax.random.split(draw_key, num_draws))
        y = jax.vmap(distribution.bijector.forward)(x)
        return y, jax.vmap(constrain)(y), *infos

    y, parameters, divergent, acceptance, gradients = jax.vmap(chain)(starts, keys)
    totals = divergent.sum(), acceptance.mean(), gradients.mean()
    return y, parameters, blackjax.rhat(y), blackjax.ess_bulk(y), *totals


def _base_log_density(log_density: Partial, distribution: FlowDistribution, x: Array) -> Array:
    y, log_det = distribution.bijector.forward_and_log_det(x)
    return log_density(y) + log_det


@jax.jit
def _base_log_densities(log_density: Partial, distribution: FlowDistribution, x: Array) -> Array:
    return jax.vmap(lambda point: _base_log_density(log_density, distribution, point))(x)


def _starts(
    log_density: Partial, distribution: FlowDistribution, key: Array, num_chains: int
) -> Array:
    """Returns the first draws of the base, `[num_chains, D]`, where the density is finite."""
    x = distribution.sample_base(seed=key, sample_shape=(STARTS_PER_CHAIN * num_chains,))
    finite = jnp.isfinite(_base_log_densities(log_density, distribution, x))
    if finite.sum() < num_chains:
        raise ValueError(
            f"`target.log_density` must be finite at {num_chains} draws of the flow, where the "
            f"chains start; it is at {int(finite.sum())} of {len(x)}."
        )
    return x[finite][:num_chains]
