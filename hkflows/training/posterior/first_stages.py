"""The first two stages of a posterior fit, kept in a folder where there is one."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hkflows.distributions import FlowDistribution
from hkflows.targets import Target
from hkflows.targets.argument import as_argument
from hkflows.training.gaussians import MAX_DENSE_SIZE
from hkflows.training.posterior.gaussian import fit_gaussian
from hkflows.training.posterior.low_rank import low_rank_gaussian
from hkflows.training.posterior.stage import Stage
from hkflows.training.posterior.stage_log import StageLog
from hkflows.training.posterior.start import find_start
from hkflows.training.storage import digests, folders
from hkflows.training.storage.saving import remembered

Array = jax.Array


class Keys(NamedTuple):
    """PRNG keys of the stages."""

    start: Array
    gaussian: Array
    judge: Array  # of the draws by which stages are told apart


def first_stages(
    posterior: Target,
    tempered: Target,
    *,
    keys: Keys,
    point: Array | None,
    check: Callable[[FlowDistribution], None],
    folder: pathlib.Path | None,
    resume: bool,
) -> tuple[FlowDistribution, tuple[Stage, ...]]:
    """Returns the better of the start and the Gaussian, and what the two stages did.

    Args:
        posterior: by which the stages are judged.
        tempered: what they fit.
        keys: the random keys.
        point: where to begin, `[D]`, or `None`.
        check: called with the start, to raise an error if nothing can come of it.
        folder: where to keep the result, if anywhere.
        resume: whether it may be there already.

    Raises:
        ValueError: if the folder has been used for anything else.
    """

    def run() -> tuple[FlowDistribution, tuple[Stage, ...]]:
        log = StageLog(posterior, keys.judge)
        start = find_start(tempered, key=keys.start, point=point)
        check(start)
        log.add("start", start, "independent dimensions")
        if tempered.event_size <= MAX_DENSE_SIZE:
            gaussian, note = fit_gaussian(tempered, start, key=keys.gaussian), "all correlations"
        else:
            gaussian, num_skipped = low_rank_gaussian(tempered, start, keys.gaussian)
            note = f"low rank, {num_skipped} steps skipped" if num_skipped else "low rank"
        better = log.add("gaussian", gaussian, note).kept
        return gaussian if better else start, tuple(log.stages)

    if folder is None:
        return run()
    folders.claim(folder, _problem(tempered, keys, point), resume)
    return remembered(folder / "gaussian", run)


def _problem(target: Target, keys: Keys, point: Array | None) -> dict[str, Any]:
    """Returns what makes the stages what they are."""
    log_density = as_argument(target.log_density)
    lowered = _value_and_gradient.lower(log_density, jnp.zeros(target.event_size))
    settings = {"start": digests.of_tree(point)}
    return digests.problem("stages", lowered, key=keys, data=log_density, settings=settings)


@jax.jit
def _value_and_gradient(log_density: Callable[[Array], Array], z: Array) -> tuple[Array, Array]:
    return jax.value_and_grad(log_density)(z)
