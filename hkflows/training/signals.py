"""Signals that wait until a fit has come to a place where it can stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class _Handler:
    """Remembers that its signal has come; a second one is handled as before."""

    def __init__(self, before: Any):
        self.before = before
        self.has_come = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.has_come:
            signal.signal(number, self.before)
            signal.raise_signal(number)
        self.has_come = True


@contextlib.contextmanager
def held_back(number: signal.Signals, *, then_obey: bool = False) -> Iterator[None]:
    """Holds a signal back: `has_come` tells of it, and only a second one is obeyed at once.

    Inside another use for the same signal this one does nothing. Neither does it outside the main
    thread, which alone handles signals, or where the process ignores the signal.

    Args:
        number: the signal.
        then_obey: whether to obey it in the end.
    """
    before = signal.getsignal(number)
    in_main_thread = threading.current_thread() is threading.main_thread()
    # None is a handler that was not set by Python.
    if not in_main_thread or isinstance(before, _Handler) or before in (signal.SIG_IGN, None):
        yield
        return
    handler = _Handler(before)
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
        if then_obey and handler.has_come:
            signal.raise_signal(number)


def has_come(number: signal.Signals) -> bool:
    """Returns whether a signal that is held back has come."""
    handler = signal.getsignal(number)
    return isinstance(handler, _Handler) and handler.has_come
