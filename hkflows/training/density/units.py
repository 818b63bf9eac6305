"""The units in which a flow sees data."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from hkflows.distributions import FlowDistribution
from hkflows.kernels.moments import location_and_scale, location_and_spread
from hkflows.kernels.shrinkage import shrunk_covariance
from hkflows.training.gaussians import MAX_DENSE_SIZE, diagonal_gaussian, gaussian


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """An affine map from units of a flow to those of data, `y = location + factor x`.

    It is applied on the host in the precision of NumPy: large offsets cost no digits.

    Attributes:
        location: `[D]`.
        factor: lower triangular with a positive diagonal, `[D, D]`; or its diagonal, `[D]`.
    """

    location: np.ndarray
    factor: np.ndarray

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """Returns rows, `[..., D]`, in units of the flow."""
        centred = rows - self.location
        if self.factor.ndim == 1:
            return centred / self.factor
        return centred @ np.linalg.inv(self.factor).T

    @property
    def log_det(self) -> float:
        """`log|det dy/dx|`."""
        diagonal = self.factor if self.factor.ndim == 1 else np.diag(self.factor)
        return float(np.log(diagonal).sum())

    @property
    def gaussian(self) -> FlowDistribution:
        """The Gaussian that is standard normal in units of the flow."""
        make = diagonal_gaussian if self.factor.ndim == 1 else gaussian
        return make(jnp.asarray(self.location), jnp.asarray(self.factor))


def same_units(event_size: int) -> Units:
    """Returns the map that changes nothing."""
    return Units(np.zeros(event_size), np.ones(event_size))


def units_of_data(rows: np.ndarray, weights: np.ndarray) -> Units:
    """Returns units in which data have mean zero, variances of one and no correlations.

    Few rows say little about correlations: the factor is that of `shrunk_covariance`. Beyond 500
    dimensions there are only scales.

    Args:
        rows: `[N, D]`, finite.
        weights: `[N]`, positive.

    Raises:
        ValueError: if a column does not vary.
    """
    rows, weights = np.asarray(rows, np.float64), np.asarray(weights, np.float64)
    location, scale = location_and_spread(rows, weights)
    (constant,) = np.nonzero(scale == 0.0)
    if constant.size:
        raise ValueError(
            f"`data` must vary in every column, or densities are infinite; columns "
            f"{constant.tolist()} do not. Leave them out, or set `standardise=False`."
        )
    if len(location) > MAX_DENSE_SIZE:
        return Units(location, scale)
    covariance = shrunk_covariance((rows - location) / scale, weights)
    return Units(location, scale[:, None] * np.linalg.cholesky(covariance))


def units_of_context(rows: np.ndarray) -> Units:
    """Returns units in which contexts have mean zero and variances of one.

    A column that does not vary keeps its scale.

    Args:
        rows: `[N, C]`, finite.
    """
    return Units(*location_and_scale(np.asarray(rows, np.float64)))
