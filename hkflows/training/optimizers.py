"""The optimizers of the fits."""

import functools
from typing import Any

import numpy as np
import optax


@functools.cache
def adam_in_rounds(
    rates: tuple[float, ...], lengths: tuple[int, ...]
) -> optax.GradientTransformation:
    """Returns Adam with gradients clipped to norm 10, and rates that fall to zero in every round.

    Equal arguments give the same object, by which a compiled loop knows it again.

    Args:
        rates: the learning rate at the start of each round, from where it follows a cosine.
        lengths: the steps of each round.
    """
    rounds = [optax.cosine_decay_schedule(*pair) for pair in zip(rates, lengths, strict=True)]
    schedule = optax.join_schedules(rounds, np.cumsum(lengths)[:-1].tolist())
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))


def check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    """Returns the optimizer if it is one, or raises `ValueError`."""
    if not callable(getattr(optimizer, "init", None)):
        raise ValueError(
            f"`optimizer` must be an optax gradient transformation; got {optimizer!r}."
        )
    return optimizer
