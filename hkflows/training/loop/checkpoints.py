"""Checkpoints of the loop, written by orbax while the loop goes on."""

import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hkflows import extras
from hkflows.training.loop.chunk import State, Visit
from hkflows.training.storage import digests, folders
from hkflows.training.storage.arrays import from_named, named

NUM_KEPT = 2
PAUSE = 20.0  # at least so many times as long as a checkpoint keeps the loop waiting


class Checkpoints:
    """The checkpoints of one run: its state and its history after some of its chunks.

    The folder says in `description.json` what is run; `steps` holds a folder for each checkpoint,
    which appears when it is complete.

    Args:
        folder: where they are.
        problem: what is run, see `folders.claim`.
        resume: whether there may be some.

    Raises:
        ImportError: if orbax, the extra `checkpoint`, is not installed.
        ValueError: if the folder has been used otherwise.
    """

    def __init__(self, folder: pathlib.Path, problem: dict[str, Any], resume: bool):
        self._orbax = _orbax()
        folders.claim(folder, problem, resume)
        self._problem = problem
        self._folder = folder / "steps"
        self._manager = self._orbax.CheckpointManager(
            self._folder.absolute(),
            options=self._orbax.CheckpointManagerOptions(
                max_to_keep=NUM_KEPT, cleanup_tmp_directories=True
            ),
        )
        self._due = 0.0

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._manager.close()  # after what is still to be written

    def last_step(self) -> int:
        """Returns the step of the last checkpoint, 0 if there is none."""
        return self._manager.latest_step() or 0

    def restore(self, state: State, visit: Visit, num_visits: int) -> tuple[State, list[Visit]]:
        """Returns the last checkpoint.

        Args:
            state: any state of the run.
            visit: the shapes and dtypes of a visit.
            num_visits: the number of visits so far.

        Raises:
            ValueError: if it is damaged.
        """
        step = self.last_step()
        visits = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((num_visits, *leaf.shape), leaf.dtype), visit
        )
        args = self._orbax.args
        items = args.Composite(arrays=args.StandardRestore(), description=args.JsonRestore())
        try:
            restored = self._manager.restore(step, args=items)
            if restored["description"] != self._description(step, restored["arrays"]):
                raise ValueError("The arrays are not those that were saved.")
            state, visits = from_named(restored["arrays"], (state, visits))
        except Exception as error:  # orbax has none of its own for damaged files
            raise ValueError(
                "`checkpoint_dir` must hold checkpoints as they were written, for this fit; the "
                f"last one, {self._folder / str(step)}, is damaged. To resume from the one before, "
                "if there is one, remove it."
            ) from error
        return (
            jax.tree.map(jnp.array, state),
            [jax.tree.map(lambda leaf, i=i: leaf[i], visits) for i in range(num_visits)],
        )

    def is_due(self) -> bool:
        """Returns whether it is time for the next one."""
        return time.perf_counter() >= self._due

    def save(self, step: int, state: State, visits: list[Visit]) -> None:
        """Writes a checkpoint in the background, unless that of this step is written.

        Args:
            step: the number of steps done.
            state: without random keys.
            visits: all so far.
        """
        if step == self.last_step():
            return
        start = time.perf_counter()
        arrays = named((state, jax.tree.map(lambda *leaves: np.stack(leaves), *visits)))
        args = self._orbax.args
        items = args.Composite(
            arrays=args.StandardSave(arrays),
            description=args.JsonSave(self._description(step, arrays)),
        )
        self._manager.save(step, args=items)
        end = time.perf_counter()
        self._due = end + PAUSE * (end - start)

    def _description(self, step: int, arrays: dict[str, np.ndarray]) -> dict[str, str]:
        return {"digest": digests.of_arrays(arrays, [self._problem, step])}


def checkpoint_folder(path: Any, resume: bool) -> pathlib.Path | None:
    """Returns the folder of a fit's checkpoints, if it has one.

    Raises:
        ImportError: if orbax, the extra `checkpoint`, is not installed.
        ValueError: if there is nothing to resume from.
    """
    if path is not None:
        _orbax()
        return pathlib.Path(path)
    if resume:
        raise ValueError("`checkpoint_dir` must be given to resume from it; got None.")
    return None


def _orbax() -> Any:
    return extras.load("orbax.checkpoint", extra="checkpoint", caller="checkpoint_dir")
