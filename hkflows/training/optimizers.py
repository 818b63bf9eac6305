"""The optimizer of the fits."""

import functools

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
