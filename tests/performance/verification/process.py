"""Processes with their wall time and peak memory, and an end for each of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "Order", "measure"]

KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""What the system counts peak memory in, in bytes."""


@dataclass(frozen=True)
class Order:
    """What to run.

    Parameters
    ----------
    command : sequence of str
    environment : Mapping
    folder : Path
        Where it runs and where its output goes.
    limit : float
        Seconds of wall time until it is killed with all that it started.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    limit: float


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Parameters
    ----------
    exit_code : int
        Negative for a signal.
    killed : bool
        Whether it outlasted its limit.
    wall : float
        Seconds, start of the process included.
    peak : float
        MiB: the most that it, or the largest process that it started and waited for, held at once; never less than
        this process holds, because a new process counts its parent's memory until it runs its own programme.
    output, errors : str
    """

    exit_code: int
    killed: bool
    wall: float
    peak: float
    output: str
    errors: str


class _Child:
    """A running process. It stays unreaped until the end, so that its number cannot pass to a stranger."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._ended: Ended | None = None
        with (order.folder / "stdout").open("wb") as output, (order.folder / "stderr").open("wb") as errors:
            self._started = time.perf_counter()
            self._process = subprocess.Popen(
                order.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=order.environment,
                cwd=order.folder,
                start_new_session=True,
            )
        self._stopped = self._started
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._stopped = time.perf_counter()

    def finish(self) -> Ended:
        """Wait for the end, or bring it about at the limit."""
        self._waiter.join(max(0.0, self._started + self._order.limit - time.perf_counter()))
        return self.end(killed=self._waiter.is_alive())

    def end(self, *, killed: bool = True) -> Ended:
        """Kill what is left of the process and its offspring, and say how it ended."""
        if self._ended is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._waiter.join()
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._ended = Ended(
                self._process.returncode,
                killed,
                self._stopped - self._started,
                usage.ru_maxrss * KIBIBYTE / 2**20,
                *((self._order.folder / name).read_text(errors="replace") for name in ("stdout", "stderr")),
            )
        return self._ended


def measure(orders: Sequence[Order]) -> list[Ended]:
    """Run processes side by side; whatever happens, none of them is left running.

    Parameters
    ----------
    orders : sequence of Order
        Each in a folder of its own.
    """
    children: list[_Child] = []
    try:
        children += map(_Child, orders)
        return [child.finish() for child in children]
    finally:
        for child in children:
            child.end()
