"""Digests, by which arrays and programs are known again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hkflows.training.storage.arrays import named, raw


def of_arrays(arrays: Mapping[str, np.ndarray], description: Any = None) -> str:
    """Returns the digest of arrays with names, and of a description that JSON can hold."""
    sha = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype} {array.shape} ".encode())
        sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def of_tree(tree: Any) -> str:
    """Returns the digest of the leaves of a pytree."""
    return of_arrays(named(raw(tree)))


def of_program(lowered: Any) -> str:
    """Returns the digest of a lowered function, with the arrays that it closes over."""
    return hashlib.sha256(lowered.as_text().encode()).hexdigest()


def problem(
    kind: str, lowered: Any, *, key: Any, data: Any, settings: dict[str, Any]
) -> dict[str, Any]:
    """Returns what makes a fit the one that it is, by the names of its parts.

    Args:
        kind: of fit.
        lowered: its program.
        key: its random key.
        data: its arrays.
        settings: what else decides its course.
    """
    return {
        "kind": kind,
        "key": of_tree(key),
        **settings,
        "version of JAX": jax.__version__,
        "data": of_tree(data),
        "flow, target, optimizer or setting": of_program(lowered),
    }
