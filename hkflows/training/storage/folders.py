"""Folders that hold a description and arrays, without pickle, written whole or not at all."""

import hashlib
import io
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

FORMAT = 2
DESCRIPTION = "description.json"
ARRAYS = "arrays.npz"
PART = ".part"  # ends the name of a file while it is written

Arrays = Mapping[str, np.ndarray]


def is_written(folder: pathlib.Path) -> bool:
    """Returns whether a folder has been written."""
    return (folder / DESCRIPTION).is_file()


def check_free(name: str, folder: pathlib.Path) -> None:
    """Raises `ValueError` unless a folder, that an argument names, is not there or empty."""
    if not _is_free(folder):
        raise ValueError(f"`{name}` must be a new or an empty folder; got {folder}.")


def claim(folder: pathlib.Path, problem: dict[str, Any], resume: bool) -> None:
    """Makes a folder that of a problem, or sees that it is.

    Args:
        folder: the folder.
        problem: what makes it that problem, by name: in an error the first that differs is told.
        resume: whether the folder may have been used for the problem before.

    Raises:
        ValueError: if the folder has been used otherwise. Nothing in it is changed then.
    """
    if _is_free(folder):
        write(folder, problem)
        return
    if not resume:
        hint = " To go on with the fit in it pass `resume=True`." if is_written(folder) else ""
        raise ValueError(f"`checkpoint_dir` must be a new or an empty folder; got {folder}.{hint}")
    found, _ = read("checkpoint_dir", folder)
    for name, value in problem.items():
        if found.get(name) != value:
            raise ValueError(
                f"`checkpoint_dir` must hold checkpoints of this fit; those in {folder} have "
                f"another {name}."
            )


def write(folder: pathlib.Path, description: Any, arrays: Arrays | None = None) -> None:
    """Writes a description, which JSON can hold, and arrays by name.

    The description comes last, by a rename: a folder that has one is complete.
    """
    arrays = arrays or {}
    content = _packed(arrays) if arrays else b""
    header = {
        "format": FORMAT,
        "description": description,
        "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
    }
    header["digest"] = _digest(header, content)
    folder.mkdir(parents=True, exist_ok=True)
    if content:
        _put(folder / ARRAYS, content)
    _put(folder / DESCRIPTION, json.dumps(header, indent=1).encode())


def read(name: str, folder: pathlib.Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Returns the description and the arrays of a folder.

    Args:
        name: the argument that names it.
        folder: the folder.

    Raises:
        ValueError: if it was not written by `write`, or has changed since.
    """
    if not is_written(folder):
        raise ValueError(f"`{name}` must be a folder written by hkflows; {folder} is none.")
    content = (folder / ARRAYS).read_bytes() if (folder / ARRAYS).is_file() else b""
    try:
        header = json.loads((folder / DESCRIPTION).read_text())
        digest = header.pop("digest")
        version = header["format"]
    except (ValueError, KeyError, TypeError, AttributeError):
        header, digest, version = {}, None, FORMAT
    if version != FORMAT:
        raise ValueError(
            f"`{name}` must hold format {FORMAT}, which this version of hkflows writes; "
            f"{folder} holds {version!r}."
        )
    if digest != _digest(header, content):
        raise ValueError(f"`{name}` must hold what hkflows wrote; {folder} is damaged.")
    return header["description"], _unpacked(content, header["dtypes"]) if content else {}


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes, dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        # Dtypes that NumPy does not know, such as bfloat16, come back as bytes.
        return {name: file[name].view(jnp.dtype(dtype)) for name, dtype in dtypes.items()}


def _put(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + PART)
    part.write_bytes(content)
    os.replace(part, path)


def _digest(header: dict[str, Any], content: bytes) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + content).hexdigest()


def _is_free(folder: pathlib.Path) -> bool:
    if not folder.is_dir():
        return not folder.exists()
    return all(entry.name.endswith(PART) for entry in folder.iterdir())
