"""The tables that sum up a posterior fit."""

from collections.abc import Sequence

import numpy as np

from hkflows.diagnostics import Diagnostics, Parameters
from hkflows.training.posterior.stage import Stage
from hkflows.training.tables import columns

MAX_ROWS = 40  # of the table of parameters


def overall(d: Diagnostics) -> dict[str, str]:
    """Returns the verdict and what it rests on, by name."""
    if np.isfinite(d.elbo):
        elbo = f"{d.elbo:.3f} +- {d.elbo_standard_error:.1g} nats"
    elif d.num_zero:
        elbo = "minus infinity: the log density is that at some draws"
    else:
        elbo = "minus infinity: no draw has a weight"
    return {
        "verdict": d.verdict,
        "reason": d.reason,
        "ELBO": elbo,
        "log evidence": f"{d.log_evidence:.3f} nats",
        "effective sample size": f"{d.ess:.0f} of {d.num_samples} draws",
        "Pareto k-hat": "needs hkflows[diagnostics]" if d.khat is None else f"{d.khat:.2f}",
        "missed mass": f"{100.0 * d.missed_mass:.1f} %" if d.missed_mass else "none found",
        "rounding": f"{d.rounding:.1g} nats",
        "zero-density draws": str(d.num_zero),
        "non-finite draws": str(d.num_nonfinite),
    }


def stage_table(stages: Sequence[Stage], seconds_after: float) -> str:
    """Returns a row for each stage, and one for the diagnostics after them."""
    rows = [["stage", "ELBO", "+-", "seconds", "", ""]]
    for stage in stages:
        known = np.isfinite(stage.elbo)
        numbers = (
            f"{stage.elbo:.3f}" if known else "-",
            f"{stage.elbo_standard_error:.1g}" if known else "-",
            f"{stage.seconds:.1f}",
        )
        rows.append([stage.name, *numbers, "kept" if stage.kept else "dropped", stage.note])
    rows.append(["diagnostics", "", "", f"{seconds_after:.1f}", "", ""])
    return columns(rows)


def moments(p: Parameters) -> str:
    """Returns a row for each parameter: its moments, plain and corrected."""
    rows = [["parameter", "mean", "sd", "corrected mean", "corrected sd", "gap"]]
    for index, name in enumerate(p.names[:MAX_ROWS]):
        values = p.mean, p.sd, p.corrected_mean, p.corrected_sd
        numbers = [f"{value[index]:.4g}" for value in values]
        rows.append([name, *numbers, f"{p.gap[index]:.3f}"])
    if len(p.names) > MAX_ROWS:
        rows.append([f"and {len(p.names) - MAX_ROWS} more", *[""] * 5])
    return columns(rows)
