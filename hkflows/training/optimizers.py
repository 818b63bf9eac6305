"""The optimizers of the fits."""

import functools
from typing import Any

import numpy as np
import optax

WARM_UP = 15  # the rate grows for a fifteenth of a round


@functools.cache
def adam(rate: float, num_steps: int) -> optax.GradientTransformation:
    """Returns Adam with gradients clipped to norm 10, and a rate that falls to zero on a cosine.

    Equal arguments give the same object, by which a compiled loop knows it again.

    Args:
        rate: the learning rate at the start.
        num_steps: the number of steps.
    """
    schedule = optax.cosine_decay_schedule(rate, num_steps)
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))


@functools.cache
def nadam_in_rounds(
    rates: tuple[float, ...], lengths: tuple[int, ...]
) -> optax.GradientTransformation:
    """Returns Adam with Nesterov momentum and a short memory, and gradients clipped to norm 3.

    Equal arguments give the same object, by which a compiled loop knows it again.

    Args:
        rates: the highest learning rate of each round; it grows to it from zero in a fifteenth of
            the round, and falls to zero again on a cosine.
        lengths: the steps of each round.

    References:
        Dozat (2016), "Incorporating Nesterov momentum into Adam".
    """
    rounds = [
        optax.warmup_cosine_decay_schedule(0.0, rate, length // WARM_UP, length)
        for rate, length in zip(rates, lengths, strict=True)
    ]
    schedule = optax.join_schedules(rounds, np.cumsum(lengths)[:-1].tolist())
    return optax.chain(optax.clip_by_global_norm(3.0), optax.nadam(schedule, b1=0.95, b2=0.99))


def check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    """Returns the optimizer if it is one, or raises `ValueError`."""
    if not callable(getattr(optimizer, "init", None)):
        raise ValueError(
            f"`optimizer` must be an optax gradient transformation; got {optimizer!r}."
        )
    return optimizer
