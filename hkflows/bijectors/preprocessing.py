"""Fixed maps between the units of a flow and those of data: nothing in them is trained.

They are bijectors of distrax and TFP that hold their arrays themselves, so no parameter comes of
them. As everywhere, forward goes towards the data: put them last in a `Chain`. Build them once,
outside of the transform.
"""

import distrax
import jax.numpy as jnp
from jax.typing import ArrayLike
from tensorflow_probability.substrates.jax import bijectors as tfb

from hkflows import checks
from hkflows.kernels.moments import location_and_scale


def standardise(data: ArrayLike) -> distrax.Bijector:
    """Returns the map whose inverse gives data mean zero and standard deviation one.

    Forward: `y = mean + sd x`, `log|det dy/dx| = sum_i log sd_i`; the inverse is exact.

    Args:
        data: `[..., D]`, finite. A dimension that does not vary keeps its scale.

    Raises:
        ValueError: if `data` are no event vectors or not finite.
    """
    values = checks.concrete("data", data)
    checks.all_finite("data", values)
    rows = checks.floating("data", values)
    if rows.ndim < 2 or 0 in rows.shape:
        raise ValueError(f"`data` must hold event vectors, shape [..., D]; got {rows.shape}.")
    mean, scale = location_and_scale(rows.reshape(-1, rows.shape[-1]))
    return distrax.Block(distrax.ScalarAffine(mean, scale), 1)


def box(low: ArrayLike, high: ArrayLike, *, margin: float = 1e-6) -> distrax.Bijector:
    """Returns the map of all vectors to those in a box, each dimension through the sigmoid.

    With `l` and `h` the ends of the box, moved outwards by the margin,

    Forward: `y = l + (h - l) / (1 + exp(-x))`. Inverse: `x = logit((y - l) / (h - l))`, exact; NaN
    for points beyond the ends.

    Args:
        low: scalar or `[D]`.
        high: scalar or `[D]`, greater than `low`.
        margin: how far the image reaches beyond both ends, as a fraction of `high - low`. Above
            zero, data on the ends themselves, such as pixels in [0, 255], have finite logits, by
            default of about 14, or less where the numbers of the dtype are further apart than that.
            With zero the image is the open box.

    Raises:
        ValueError: if `low` is not below `high`, or `margin` is negative.

    References:
        Dinh, Sohl-Dickstein & Bengio (2017), section 4.1, arXiv:1605.08803, with a margin of 0.05.
    """
    low, high = checks.box(low, high)
    if checks.finite_float("margin", margin) < 0.0:
        raise ValueError(f"`margin` must not be negative; got {margin}.")
    reach = margin * (high - low)
    outer = jnp.asarray(low - reach), jnp.asarray(high + reach)
    if margin > 0.0:  # far from zero it may be less than the numbers are apart
        ends = low.astype(outer[0].dtype), high.astype(outer[1].dtype)
        outer = (
            jnp.minimum(outer[0], jnp.nextafter(ends[0], -jnp.inf)),
            jnp.maximum(outer[1], jnp.nextafter(ends[1], jnp.inf)),
        )
    sigmoid = tfb.Sigmoid(low=outer[0], high=outer[1])
    return distrax.Block(sigmoid, 1)
