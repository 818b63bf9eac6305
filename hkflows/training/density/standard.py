"""A flow in units of its own, and rows in these."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from hkflows.kernels.moments import location_and_spread
from hkflows.streams import stream_rows
from hkflows.training.around import around
from hkflows.training.density.units import Units, same_units, units_of_context, units_of_data
from hkflows.training.rows import Rows

LEAST_SPACINGS = 5.0  # between neighbouring numbers, in a standard deviation


@dataclasses.dataclass(frozen=True)
class Standard:
    """The units in which a flow sees data and contexts.

    Attributes:
        data: from those of the flow to those of the data.
        context: from those of the flow to those of the context, or `None`.
        mean_weight: of rows to train on.
        dtype: of what the flow sees.
    """

    data: Units
    context: Units | None
    mean_weight: float
    dtype: np.dtype

    def rows(self, rows: Rows) -> Rows:
        """Returns rows in units of the flow, with weights of mean one."""
        return Rows(
            self._convert(self.data, rows.data),
            None if self.context is None else self._convert(self.context, rows.context),
            (rows.weights / self.mean_weight).astype(self.dtype),
        )

    def around(self, flow: hk.Transformed) -> hk.Transformed:
        """Returns the flow in units of the data, from a context in its units."""
        of_context = None if self.context is None else self.context.gaussian
        return around(flow, self.data.gaussian, of_context)

    def _convert(self, units: Units, array: np.ndarray) -> np.ndarray:
        return stream_rows(lambda rows: units.standardise(rows).astype(self.dtype), array)


def standard_of(sample: Rows, *, mean_weight: float, standardise: bool) -> Standard:
    """Returns the units of rows.

    Args:
        sample: some of the rows.
        mean_weight: of rows to train on.
        standardise: whether the units are to differ from those of the rows.

    Raises:
        ValueError: if what the flow would see of them, or make of its draws, is not what they are.
    """
    dtype = jax.dtypes.canonicalize_dtype(jnp.promote_types(sample.data.dtype, jnp.float32))
    for name, rows in (("data", sample.data), ("context", sample.context)):
        if rows is not None:
            _check_resolved(name, rows, dtype)
    if standardise:
        data = units_of_data(sample.data, sample.weights)
        context = None if sample.context is None else units_of_context(sample.context)
    else:
        data = same_units(sample.data.shape[1])
        context = None if sample.context is None else same_units(sample.context.shape[1])
    return Standard(data, context, mean_weight, dtype)


def _check_resolved(name: str, rows: np.ndarray, dtype: np.dtype) -> None:
    """Raises `ValueError` where a dtype does not hold a column, or cannot tell its values apart."""
    rows = np.asarray(rows, np.float64)
    limits = jnp.finfo(dtype)
    if np.abs(rows).max() > limits.max:
        raise ValueError(
            f"`{name}` must be within the range of {dtype}, up to {limits.max:.2g}; got up to "
            f"{np.abs(rows).max():.2g}."
        )
    location, spread = location_and_spread(rows)
    least = float(limits.tiny / limits.eps)
    (tiny,) = np.nonzero((spread > 0.0) & (spread < least))
    if tiny.size:
        raise ValueError(
            f"`{name}` must vary by more than {least:.1g} in {dtype}; columns {tiny.tolist()} do "
            "not: give them another unit."
        )
    spacing = float(limits.eps) * np.abs(location)
    (coarse,) = np.nonzero((spread > 0.0) & (spread < LEAST_SPACINGS * spacing))
    if coarse.size:
        raise ValueError(
            f"`{name}` must vary by more than {dtype} can tell apart; columns {coarse.tolist()} "
            f"hardly do, far from zero: subtract {location[coarse]} or so, or enable float64."
        )
