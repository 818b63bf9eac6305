"""What becomes of a stage of a posterior fit."""

import dataclasses

from hkflows.training.storage.codec import describable


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
