"""Keeping the process below a ceiling of memory."""

import math
import sys
import threading
from collections.abc import Callable

from verinet.errors import InputError

__all__ = ["MemoryCeiling", "held_memory", "peak_memory"]

MEBIBYTE = 2**20

RESERVE = 16 * MEBIBYTE
"""Left for whatever nobody accounts for: sentences, thread stacks, the solver of a doubtful case."""


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    # What `resource` reports on Linux may be the peak of the process that started this one.
    peak = _status("VmHWM")
    return _peak_by_resource() if peak is None else peak


def held_memory() -> int:
    """Return the memory that this process holds now, in bytes; where the system does not say, the most so far."""
    held = _status("VmRSS")
    return _peak_by_resource() if held is None else held


def _status(entry: str) -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(entry))
    except (OSError, StopIteration):
        return None


def _peak_by_resource() -> int:
    try:
        import resource
    except ImportError:
        raise InputError("a memory limit cannot be kept on this system; leave it out") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryCeiling:
    """Says which allocations a process may still make.

    It goes by the peak so far, so passing needs that come again, such as the falsifier's, are counted already.

    Parameters
    ----------
    mebibytes : float or None
        Of the whole process; None for no limit.
    """

    def __init__(self, mebibytes: float | None) -> None:
        self._limit = math.inf if mebibytes is None else mebibytes * MEBIBYTE
        self._halfway = math.inf if mebibytes is None else 0.5 * (self._limit + peak_memory())
        self._freed = 0
        self._refused = False
        self._lock = threading.Lock()

    @property
    def is_scarce(self) -> bool:
        """Whether half of what was free is used up, or something was refused."""
        return self._refused or (self._halfway < math.inf and peak_memory() > self._halfway)

    def allows(self, size: int) -> bool:
        """Return whether that many bytes may be allocated."""
        if self._limit == math.inf:
            return True
        return peak_memory() + max(0, size - self._freed) + RESERVE <= self._limit

    def has_room(self, size: int) -> bool:
        """Return whether that many bytes fit beside what the process holds now, whatever it held before."""
        return self._limit == math.inf or held_memory() + size + RESERVE <= self._limit

    def spend(self, size: int, allocate: Callable[[], None]) -> bool:
        """Allocate if the ceiling, and the machine, allow it; return whether it was done.

        Parameters
        ----------
        size : int
            Bytes.
        allocate : callable
            Touches all of them, so that the next look at the peak sees them.
        """
        with self._lock:
            done = self.allows(size)
            if done:
                try:
                    allocate()
                    self._freed = max(0, self._freed - size)
                except MemoryError:
                    done = False
            self._refused = self._refused or not done
            return done

    def free(self, size: int) -> None:
        """Note that so many bytes were given back."""
        with self._lock:
            self._freed += size
