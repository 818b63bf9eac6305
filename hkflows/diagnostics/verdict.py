"""One word on a fit, and the reason for it."""

from typing import Literal

import numpy as np

from hkflows.diagnostics.parameters import Parameters

Verdict = Literal["good", "use the importance-corrected draws", "do not trust"]

MOST_NONFINITE = 0.01  # of the draws
MOST_ZERO = 0.01  # of the draws, before the reason speaks of them
MOST_MISSED = 0.05  # of the posterior's mass
SURE = 3.0  # standard errors before an excess of evidence is taken for missed mass
COARSEST = 1.0  # rounding of the log density (nats)
COARSE = 0.1  # so much of it explains why weights are not quite even
RELIABLE_KHAT = 0.7
EVEN = 0.95  # ESS as a fraction of the draws, with which a large k-hat is of no consequence
TAIL_ALONE = 0.8  # from such a fraction on it is a tail that is at fault
FEWEST = 100.0  # effective draws to correct with
GAP = 0.03  # between the distribution functions of a parameter, plain and corrected
STRETCH = 0.05  # of a parameter's standard deviation, beyond the error that this is known to
CLOSER = (
    "More steps or other coordinates can bring it closer, and "
    "`hkflows.integrations.blackjax.sample_nuts` can do without."
)


def judge(
    *,
    ess: float,
    num_samples: int,
    num_zero: int,
    num_nonfinite: int,
    khat: float | None,
    missed_mass: float,
    rounding: float,
    parameters: Parameters,
) -> tuple[Verdict, str]:
    """Combines what is known of a fit.

    k-hat alone misleads in both directions. It is small for a fit that is right where it draws and
    never draws elsewhere, which the search for missed mass finds; and it can be large for one whose
    weights are all but equal.

    Args:
        ess: effective sample size.
        num_samples: the number of draws.
        num_zero: how many had a density of zero.
        num_nonfinite: how many had a weight of NaN or plus infinity.
        khat: Pareto k-hat, or `None` if not known.
        missed_mass: the fraction of the posterior's mass that the fit misses.
        rounding: of the log density (nats).
        parameters: their moments, plain and corrected.

    Returns:
        The verdict and its reason, a sentence.
    """
    fraction = ess / num_samples
    weights = f"an effective sample of {100.0 * fraction:.1f} % of the draws"
    if num_zero > MOST_ZERO * num_samples:
        zero = 100.0 * num_zero / num_samples
        weights += (
            f", {zero:.0f} % of which have zero density (supports state a constraint better),"
        )
    if khat is not None:
        weights += f" and a k-hat of {khat:.2f}"
    even = fraction >= EVEN
    reliable = even or (ess >= FEWEST and khat is not None and khat < RELIABLE_KHAT)
    if num_nonfinite > MOST_NONFINITE * num_samples:
        reason = f"The log density was NaN or infinite at {num_nonfinite} of {num_samples} draws."
        return "do not trust", reason
    nearly_even = not reliable and fraction >= TAIL_ALONE
    if rounding > (COARSE if nearly_even else COARSEST):
        reason = (
            f"The log density is rounded by {rounding:.2g} nats: run with float64 "
            '(`jax.config.update("jax_enable_x64", True)`), leave out its constant or standardise '
            "the data. If draws are far out, the posterior may be improper."
        )
        return "do not trust", reason
    reasons = []
    if not reliable:
        if fraction >= TAIL_ALONE and khat is None:
            fault = (
                "With {} the weights may have a tail, which only their k-hat tells: install "
                "`hkflows[diagnostics]`."
            )
        elif fraction >= TAIL_ALONE:
            fault = "A few weights are large, with {}: the fit lacks a tail of the posterior."
        else:
            fault = "The weights are uneven, with {}: the fit is not close to the posterior."
        reasons += [fault.format(weights), CLOSER]
    if missed_mass > MOST_MISSED:
        reasons.append(
            f"A wider search finds {100.0 * missed_mass:.0f} % of the posterior's mass where the "
            "fit draws next to nothing: another mode, which the option `annealing` can reach, a "
            "heavier tail, or more of the same."
        )
    if reasons:
        return "do not trust", " ".join(reasons)
    p = parameters
    worst = int(np.argmax(p.gap))
    if p.gap[worst] > GAP:
        reason = (
            f"The weights, with {weights}, move the distribution of `{p.names[worst]}` by "
            f"{p.gap[worst]:.2f} (the largest difference of distribution functions)."
        )
        return "use the importance-corrected draws", reason
    excess = np.abs(p.stretch) - p.stretch_error
    unknown = np.isnan(excess)
    excess = np.where(unknown, -np.inf, excess)
    worst = int(np.argmax(excess))
    if excess[worst] > STRETCH:
        reason = (
            f"The weights, with {weights}, change the standard deviation of `{p.names[worst]}` by "
            f"{100.0 * p.stretch[worst]:.0f} %."
        )
        return "use the importance-corrected draws", reason
    reason = f"Plain and importance-corrected marginals agree, with {weights}."
    if unknown.any():
        name = p.names[int(np.argmax(unknown))]
        reason += f" Nothing is known of `{name}`: its draws are not all finite."
    return "good", reason
