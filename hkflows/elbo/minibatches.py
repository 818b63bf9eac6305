"""The log joint density of a model, estimated from part of its data."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hkflows import checks

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Minibatch:
    """A log joint density that sees a batch of the data at a time; see `minibatch`.

    Attributes:
        log_prior: maps the parameters to a scalar (nats).
        log_likelihood: maps the parameters and a batch to `[B]`, or to their sum, a scalar (nats).
        num_data: N, the number of data in all.
    """

    log_prior: Callable[[Any], Array]
    log_likelihood: Callable[[Any, Any], Array]
    num_data: int

    def __call__(self, parameters: Any, batch: Any) -> Array:
        """Returns the estimate from a batch, a scalar (nats)."""
        size = _batch_size(batch)
        prior = self.log_prior(parameters)
        if jnp.shape(prior) != ():
            raise ValueError(f"`log_prior` must return a scalar; got shape {jnp.shape(prior)}.")
        terms = self.log_likelihood(parameters, batch)
        if jnp.shape(terms) not in ((), (size,)):
            raise ValueError(
                f"`log_likelihood` must return a row per datum, shape {(size,)}, or a scalar, "
                f"their sum; got shape {jnp.shape(terms)}."
            )
        return prior + (self.num_data / size) * jnp.sum(terms)


def minibatch(
    log_prior: Callable[[Any], Array],
    log_likelihood: Callable[[Any, Any], Array],
    num_data: int,
) -> Minibatch:
    """Returns a log joint density that sees a batch of B of the N data at a time.

        log p(parameters) + (N / B) sum_{n in batch} log p(datum_n | parameters)

    If every datum is equally likely to be in the batch, this is an unbiased estimate of the log
    joint density of all data, and so are its gradient, the ELBO and the ELBO's gradient. Bounds
    that are not linear in the log weights (`importance_weighted_elbo`, `renyi_bound`) and
    `forward_kl` become biased.

    Args:
        log_prior: maps the parameters to a scalar (nats).
        log_likelihood: maps the parameters and a batch to the log-likelihood of every datum, `[B]`,
            or to their sum, a scalar (nats).
        num_data: N, the number of data in all.

    Returns:
        A function `log_density(parameters, batch)` that returns a scalar (nats). `batch` is an
        array or a pytree of arrays whose leading axes have size B. It raises `ValueError` if those
        disagree or a function returns the wrong shape.

    Raises:
        ValueError: if an argument is off.

    References:
        Hoffman, Blei, Wang & Paisley (2013), "Stochastic variational inference", arXiv:1206.7051.

    Example:
        >>> import jax.numpy as jnp
        >>> import hkflows as hkf
        >>> log_density = hkf.elbo.minibatch(
        ...     lambda theta: -0.5 * theta**2,
        ...     lambda theta, x: -0.5 * (x - theta) ** 2,
        ...     num_data=6,
        ... )
        >>> float(log_density(1.0, jnp.asarray([1.0, 2.0, 1.0, 1.0])))
        -1.25
    """
    checks.function("log_prior", log_prior)
    checks.function("log_likelihood", log_likelihood)
    return Minibatch(log_prior, log_likelihood, checks.positive_int("num_data", num_data))


def _batch_size(batch: Any) -> int:
    """Returns the size of the leading axis that all leaves of `batch` have."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(batch)]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            "`batch` must hold arrays with one leading axis of the same size, at least one; "
            f"got shapes {shapes}."
        )
    return sizes.pop()
