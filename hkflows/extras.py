"""Modules of optional packages."""

import importlib
import warnings
from typing import Any


def load(module: str, *, extra: str, caller: str) -> Any:
    """Imports a module of an optional package.

    Args:
        module: its full name.
        extra: the extra of hkflows that installs it.
        caller: the function that needs it, for the error.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return importlib.import_module(module)  # ArviZ announces its next major version
    except ImportError as error:
        raise ImportError(
            f"`{caller}` needs {module.split('.')[0]}: install the extra, "
            f"`pip install hkflows[{extra}]`."
        ) from error
