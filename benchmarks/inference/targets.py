"""The targets of the benchmark by name."""

import functools
from collections.abc import Callable

from inference import brownian, closed_forms, eight_schools
from inference.posterior import Posterior, in_other_units

PLAIN: dict[str, Callable[[], Posterior]] = {
    "eight-schools-centred": eight_schools.centred,
    "eight-schools-non-centred": eight_schools.non_centred,
    "funnel": closed_forms.funnel,
    "banana": closed_forms.banana,
    "gaussian-100": closed_forms.gaussian,
    "brownian-bridge": brownian.bridge,
    "regression-raw": closed_forms.raw_regression,
    "regression-standardised": closed_forms.standardised_regression,
}


def _changed(build: Callable[[], Posterior], shifted: bool) -> Posterior:
    return in_other_units(build(), shifted=shifted)


TARGETS: dict[str, Callable[[], Posterior]] = {
    **PLAIN,
    **{f"{name}/rescaled": functools.partial(_changed, PLAIN[name], False) for name in PLAIN},
    **{f"{name}/shifted": functools.partial(_changed, PLAIN[name], True) for name in PLAIN},
}
