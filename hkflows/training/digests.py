"""Digests, by which arrays and programs are known again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hkflows.training.arrays import named, raw


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
