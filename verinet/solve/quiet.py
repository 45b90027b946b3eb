"""Libraries that print when they are first used do so into nothing: stdout carries results only."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["new_highs"]

_FIRST = threading.Lock()
_GREETED = threading.Event()


def new_highs() -> Any:
    """Return a new instance of HiGHS; its banner, printed with the first one of a process, goes nowhere.

    HiGHS writes it from C++ before any option can be set.
    """
    import highspy

    if _GREETED.is_set():
        return highspy.Highs()
    with _FIRST, _without_stdout():
        solver = highspy.Highs()
    _GREETED.set()
    return solver


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Point the process's standard output to nothing, for what is written below Python."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        # There is no standard output.
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
        _flush_below_python()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _flush_below_python() -> None:
    """Empty the C library's buffers, where it can be reached."""
    try:
        library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        library.fflush(None)
    except (OSError, AttributeError):
        return
