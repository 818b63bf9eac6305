"""What a callback sees of a fit on its way."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """A fit after a chunk of steps.

    Attributes:
        step: the number of steps done.
        loss: the mean loss of the chunk (nats).
        score: of `params` (nats), lower is better: the negative ELBO of fresh draws with two
            standard errors added, or the mean negative log-likelihood of the held-out rows.
        best_score: the lowest so far, that of the start included.
        num_skipped: steps so far whose loss or gradient was not finite; they changed nothing.
        params: the flow's parameters at hand, on the device.
    """

    step: int
    loss: float
    score: float
    best_score: float
    num_skipped: int
    params: Any


Callback = Callable[[Snapshot], None]
