"""Running a solver under watch: deadline, cancellation, Ctrl-C and progress reports.

The solver runs in a thread of its own while the caller's thread watches the clock, the caller's cancel event and the
keyboard. A signal therefore never arrives inside a solver's callback, and a solver that ignores its time limit cannot
hold up the caller: it is left behind in its daemon thread and its answer is never read.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np

from verinet.numeric import FloatArray
from verinet.program import Progress, SolveOptions

__all__ = ["Control", "StoppedError", "supervise"]

T = TypeVar("T")

POLL_SECONDS = 0.02
"""How often the watching thread looks at the clock and the cancel event; the end of a solve wakes it at once."""

DEADLINE_SLACK = 0.5
"""Seconds past the time limit before the watch steps in: the solver's own limit ends the solve more tidily."""

GRACE_SECONDS = 5.0
"""Seconds that a solver has to stop once it was told to, before it is left behind."""

REPORT_SECONDS = 0.1
"""Least time between two progress reports that bring no new incumbent."""


class StoppedError(Exception):
    """A solve ended without a claim because it was told to stop; the message is the reason."""


class Control:
    """What a running solve is told (stop) and what it tells (progress).

    Parameters
    ----------
    options : SolveOptions
    """

    def __init__(self, options: SolveOptions) -> None:
        self.reason = ""
        self.error: BaseException | None = None
        self._options = options
        self._started = time.perf_counter()
        self._stopped_at = np.inf
        self._lock = threading.Lock()
        self._interrupt: Callable[[], None] | None = None
        self._best = np.inf
        self._bound = -np.inf
        self._reported_at = -np.inf

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.perf_counter() - self._started

    @property
    def remaining(self) -> float:
        """Seconds left of the time limit, at least zero."""
        return max(0.0, self._options.time_limit - self.seconds)

    @property
    def requested(self) -> bool:
        """Whether the solve was told to stop."""
        return bool(self.reason)

    def request(self, reason: str) -> None:
        """Tell the solve to stop; the first reason stays."""
        if not self.reason:
            self._stopped_at = self.seconds
            self.reason = reason

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Let `interrupt`, which makes the solver stop, be called from another thread while the block runs.

        Raises
        ------
        StoppedError
            If the solve was told to stop before the block began.
        """
        if self.requested:
            raise StoppedError(self.reason)
        with self._lock:
            self._interrupt = interrupt
        try:
            yield
        finally:
            with self._lock:
                self._interrupt = None

    def report(self, objective: float | None, bound: float, values: FloatArray | None = None) -> None:
        """Pass progress on to the caller, new incumbents at once and the rest at a bearable rate.

        An exception of the caller's function stops the solve and is kept in `error` for the caller's thread: passing it
        through a solver's own frames is undefined.
        """
        improves = values is not None and objective is not None and objective < self._best
        self._best = min(self._best, np.inf if objective is None else objective)
        self._bound = max(self._bound, bound)
        if self._options.on_progress is None or self.requested:
            return
        if not improves and self.seconds - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = self.seconds
        best = None if np.isinf(self._best) else float(self._best)
        progress = Progress(self.seconds, best, float(min(self._bound, self._best)), values if improves else None)
        try:
            self._options.on_progress(progress)
        except BaseException as error:
            self.error = error
            self.request("on_progress raised an exception")

    def enforce(self) -> None:
        """Step in where the caller, the clock or an earlier request demands it."""
        if self._options.cancel.is_set():
            self.request("cancelled")
        if self.seconds > self._options.time_limit + DEADLINE_SLACK:
            self.request(f"the time limit of {self._options.time_limit:g} s was reached")
        if not self.requested:
            return
        # Repeated, because some solvers forget an interrupt that comes before they have begun.
        with self._lock:
            if self._interrupt is not None:
                self._interrupt()
        if self.seconds > self._stopped_at + GRACE_SECONDS:
            raise StoppedError(f"{self.reason}; the solver did not stop within {GRACE_SECONDS:g} s and was left behind")


class _Task(threading.Thread, Generic[T]):
    """A thread that keeps what its work returned or raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True, name="verinet-solve")
        self.finished = threading.Event()
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work."""
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def supervise(work: Callable[[], T], control: Control) -> T:
    """Run `work` in a thread and return what it returns.

    Parameters
    ----------
    work : callable
        It builds its model, solves and disposes, so that a solver left behind shares nothing.
    control : Control
        Shared with `work`.

    Returns
    -------
    The result of `work`. Ctrl-C asks the solver to stop with what it has; a second Ctrl-C raises KeyboardInterrupt.

    Raises
    ------
    StoppedError
        If the solver had to be left behind or had not begun when it was told to stop.
    Exception
        Whatever `work` raised.
    """
    task = _Task(work)
    task.start()
    interrupted = False
    while True:
        try:
            while not task.finished.wait(POLL_SECONDS):
                control.enforce()
            break
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            control.request("interrupted")
    return task.result()
