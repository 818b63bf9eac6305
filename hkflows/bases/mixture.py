"""A mixture of normal distributions whose weights, too, are trained through the draws."""

import distrax
import jax
import jax.numpy as jnp

from hkflows import checks
from hkflows.bases.scaled import MAX_LOG_SCALE
from hkflows.conditioners import parameters, scattered
from hkflows.kernels import bounds, mixture

Array = jax.Array


def normal_mixture(
    event_size: int, num_components: int, *, context: Array | None = None
) -> distrax.Distribution:
    """Returns a mixture of normal distributions, each with independent dimensions.

    The components start with equal weights and with scale one, at locations scattered like
    standard normal draws: equal ones would never part.

    Args:
        event_size: D.
        num_components: K.
        context: `[..., C]`; log-weights, locations and log-scales then depend on it linearly, and
            its leading dimensions are the batch of the distribution.
    """
    D = checks.positive_int("event_size", event_size)
    K = checks.positive_int("num_components", num_components)
    log_scale = parameters("mixture_log_scales", (K, D), context)
    return NormalMixture(
        parameters("mixture_logits", (K,), context),
        parameters("mixture_locations", (K, D), context, scattered(1.0)),
        jnp.exp(bounds.within(log_scale, MAX_LOG_SCALE)),
    )


class NormalMixture(distrax.Distribution):
    """A mixture of normal distributions on vectors, each with independent dimensions.

    Which component a draw comes from is discrete; yet draws have derivatives in all parameters,
    weights included, by the implicit function theorem. With `F_i` the distribution function of
    dimension `i` given those before it, `F(x)` is uniform, and as the parameters move the draw
    moves so that `F(x)` stays. A derivative costs the Jacobian of F, products of K D^2, and a
    triangular solve of D^2 / 2.

    Args:
        logits: log-weights up to a constant, `[..., K]`.
        loc: `[..., K, D]`.
        scale: positive, `[..., K, D]`.

    References:
        Graves (2016), "Stochastic backpropagation through mixture density distributions",
        arXiv:1607.05690. Figurnov, Mohamed & Mnih (2018), "Implicit reparameterization gradients",
        section 3, arXiv:1805.08498.
    """

    def __init__(self, logits: Array, loc: Array, scale: Array):
        super().__init__()
        if loc.ndim < 2 or scale.shape != loc.shape or logits.shape != loc.shape[:-1]:
            raise ValueError(
                "`logits`, `loc` and `scale` must have shapes [..., K], [..., K, D] and "
                f"[..., K, D]; got {logits.shape}, {loc.shape} and {scale.shape}."
            )
        self._logits = logits
        self._loc = loc
        self._scale = scale

    @property
    def event_shape(self) -> tuple[int, ...]:
        """`(D,)`."""
        return self._loc.shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of the arguments without K and D."""
        return self._loc.shape[:-2]

    def log_prob(self, value: Array) -> Array:
        """Returns the log-density (nats), `[...]`, at `value`, `[..., D]`."""
        value = checks.event("value", value, self._loc.shape[-1])
        terms = mixture.log_densities(self._loc, self._scale, value)
        return jax.nn.logsumexp(jax.nn.log_softmax(self._logits) + jnp.sum(terms, axis=-1), axis=-1)

    def _sample_n(self, key: Array, n: int) -> Array:
        pick_key, draw_key = jax.random.split(key)
        shape = (n, *self.batch_shape)
        picked = jax.random.categorical(pick_key, self._logits, shape=shape)
        of_component = jax.nn.one_hot(picked, self._loc.shape[-2], dtype=self._loc.dtype)[..., None]
        loc, scale = (jnp.sum(of_component * a, axis=-2) for a in (self._loc, self._scale))
        x = loc + scale * jax.random.normal(draw_key, loc.shape, loc.dtype)
        return mixture.reparameterize(self._logits, self._loc, self._scale, x)
