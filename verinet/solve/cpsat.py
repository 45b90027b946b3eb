"""CP-SAT: programmes that can be written in integers exactly, such as training with integer weights.

The model is written without rounding or refused, and every point that comes back is checked in integers. The library
cannot share a process with HiGHS, so each solve has a worker process of its own, which is killed if it does not stop.
"""

import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from verinet.numeric import FloatArray, IntArray, float_down
from verinet.program import Programme, SolveOptions, Status
from verinet.solve.backend import Backend, Capability, Claim
from verinet.solve.integer_form import IntegerForm, integer_form
from verinet.solve.supervision import GRACE_SECONDS, Control

__all__ = ["CpsatBackend"]

WORKER = Path(__file__).with_name("cpsat_worker.py")

PATIENCE_SECONDS = 0.6 * GRACE_SECONDS
"""Seconds that the worker has to stop once it was told to, before it is killed; the watch waits longer for us."""

LARGEST_SEED = 2**31 - 1

LONGEST_TIME = 1e9
"""Seconds; more is no limit."""


class CpsatBackend(Backend):
    """The solver CP-SAT of OR-Tools, in a worker process."""

    name: ClassVar[str] = "cpsat"
    module: ClassVar[str] = "ortools"
    distribution: ClassVar[str] = "ortools"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.LINEAR, Capability.INTEGER, Capability.START, Capability.CALLBACK}
    )

    def check(self, programme: Programme) -> None:
        super().check(programme)
        integer_form(programme)

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        form = integer_form(programme).below(options.cutoff)
        if form.is_contradictory:
            return Claim(Status.INFEASIBLE)
        search = _Search(form, options, control)
        with _worker() as worker, control.interruptible(worker.interrupt):
            for message in worker.messages():
                if message["event"] == "ready":
                    worker.send(*_request(form, options, control))
                elif message["event"] == "end":
                    return search.end(message)
                elif search.hear(message):
                    worker.interrupt()
            return search.claim(Status.UNKNOWN, worker.failure(control.reason))


class _Search:
    """What is known so far, in integers: the best checked point and the best bound."""

    def __init__(self, form: IntegerForm, options: SolveOptions, control: Control) -> None:
        self.form, self.options, self.control = form, options, control
        self.point: IntArray | None = None
        self.total = 0
        self.bound: int | None = None
        self.reason = ""
        if options.start is not None and np.isfinite(options.start).all():
            self._offer(form.nearest(options.start))

    def hear(self, message: dict[str, Any]) -> bool:
        """Take in a point or a bound; tell whether that is enough."""
        if values := message.get("values"):
            self._offer(np.array(values, dtype=np.int64))
        if "bound" in message and self.form.cost.any():
            self.bound = max(int(message["bound"]), message["bound"] if self.bound is None else self.bound)
            self.control.report(None, self._float_bound())
        if self.point is not None and self._objective() <= _fraction(self.options.stop_at):
            self.reason = "stop_at was reached"
        return bool(self.reason) or self._is_close()

    def end(self, message: dict[str, Any]) -> Claim:
        """Turn CP-SAT's status into a claim: the one place that decides what a status means."""
        self.hear(message)
        status = message["status"]
        if self._is_contradicted():
            return self.claim(Status.UNKNOWN, "CP-SAT's bound contradicts a point that is known")
        if status == "INFEASIBLE":
            if self.point is None:
                return Claim(Status.INFEASIBLE)
            return self.claim(Status.UNKNOWN, "CP-SAT calls a model infeasible of which a point is known")
        if status == "OPTIMAL":
            if self.point is None or self.total != self._claimed(message):
                return self.claim(Status.UNKNOWN, "CP-SAT calls a point optimal that violates its own model")
            self.bound = self.total
        if self.point is not None and (status == "OPTIMAL" or self._is_close()):
            return self.claim(Status.OPTIMAL)
        reason = self.reason or {"MODEL_INVALID": f"CP-SAT refuses the model: {message['detail']}"}.get(status, "")
        return self.claim(
            Status.UNKNOWN,
            reason
            or ("the time limit was reached" if status in ("UNKNOWN", "FEASIBLE") else f"CP-SAT's status {status}"),
        )

    def claim(self, status: Status, reason: str = "") -> Claim:
        """Claim the best point and the bound."""
        if self.point is None:
            return Claim(status, bound=self._float_bound(), reason=reason)
        objective = float(self._objective())
        return Claim(status, self.form.values(self.point), objective, self._float_bound(), reason)

    def _claimed(self, message: dict[str, Any]) -> int:
        return int(self.form.cost @ np.array(message["values"], dtype=np.int64))

    def _offer(self, point: IntArray) -> None:
        """Keep a point that is feasible and better than the best one."""
        if not self.form.holds(point):
            return
        total = int(self.form.cost @ point)
        if self.point is not None and total >= self.total:
            return
        self.point, self.total = point, total
        self.control.report(float(self._objective()), self._float_bound(), self.form.values(point))

    def _objective(self) -> Fraction:
        return self.form.objective(self.total)

    def _float_bound(self) -> float:
        if not self.form.cost.any():
            return float_down(self.form.offset)
        if self.bound is None or self._is_contradicted():
            return -np.inf
        return float_down(self.form.objective(self.bound))

    def _is_contradicted(self) -> bool:
        """Tell whether the bound is above a point that is known to be feasible: then it is worth nothing."""
        return self.point is not None and self.bound is not None and self.bound > self.total

    def _is_close(self) -> bool:
        """Tell whether the relative gap is within the tolerance."""
        if self.point is None or self.bound is None or self._is_contradicted():
            return False
        gap = self.form.unit * (self.total - self.bound)
        return gap <= _fraction(self.options.gap_tolerance) * abs(self._objective())


class _Worker:
    """The process and the pipes to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", complaints: Any) -> None:
        self._process, self._complaints = process, complaints
        self._lock = threading.Lock()
        self._told_at = math.inf
        self._killed = False

    def send(self, settings: dict[str, Any], arrays: bytes) -> None:
        """Send the model."""
        self._write(json.dumps(settings).encode() + b"\n" + arrays)

    def interrupt(self) -> None:
        """Ask the worker to stop, every time; kill it when it has been deaf for long."""
        now = time.monotonic()
        self._told_at = min(self._told_at, now)
        if now - self._told_at > PATIENCE_SECONDS:
            self._killed = True
            self._process.kill()
        else:
            self._write(b"stop\n", wait=False)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the worker says, until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)

    def failure(self, requested: str) -> str:
        """Say why the worker ended without an answer."""
        if self._killed:
            return f"{requested}; the worker process did not stop within {PATIENCE_SECONDS:g} s and was killed"
        try:
            code = self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker process of cpsat fell silent without ending"
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the worker process of cpsat ended with code {code}" + (f": {last}" if last else "")

    def _write(self, content: bytes, wait: bool = True) -> None:
        """Write to the worker; without waiting, not at all while something else is on its way."""
        assert self._process.stdin is not None
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except OSError:
            return  # It has ended, and the end of its messages says so.
        finally:
            self._lock.release()


@contextmanager
def _worker() -> Iterator[_Worker]:
    """Start a worker that does not hear Ctrl-C, which is for its parent; it is gone afterwards."""
    with tempfile.TemporaryFile() as complaints:
        # Without the script's folder on its path, where modules are called like other libraries.
        process = subprocess.Popen(  # noqa: S603 - this interpreter and a file of this package
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            yield _Worker(process, complaints)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                _close(stream)


def _close(stream: Any) -> None:
    try:
        stream.close()
    except OSError:
        return  # What was left to write had no reader any more.


def _request(form: IntegerForm, options: SolveOptions, control: Control) -> tuple[dict[str, Any], bytes]:
    """Write the model and the settings as they travel."""
    hinted, hints = _hints(form, options.start)
    arrays = {
        "lower": form.lower,
        "upper": form.upper,
        "cost": form.cost,
        "starts": form.matrix.indptr,
        "columns": form.matrix.indices,
        "data": form.matrix.data,
        "row_lower": form.row_lower,
        "row_upper": form.row_upper,
        "hinted": hinted,
        "hints": hints,
    }
    content = b"".join(np.asarray(values, dtype=np.int64).tobytes() for values in arrays.values())
    settings = {
        "lengths": {name: len(values) for name, values in arrays.items()},
        "time_limit": control.remaining if control.remaining < LONGEST_TIME else None,
        "threads": int(options.threads),
        "seed": int(options.seed) % LARGEST_SEED,
    }
    return settings, content


def _hints(form: IntegerForm, start: FloatArray | None) -> tuple[IntArray, IntArray]:
    """Return the known entries of a start."""
    if start is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    known = np.flatnonzero(np.isfinite(start))
    return known, form.nearest(np.where(np.isfinite(start), start, 0.0))[known]


def _fraction(value: float) -> Fraction:
    """Return a number exactly, and one that compares like infinity."""
    return Fraction(value) if math.isfinite(value) else Fraction(int(math.copysign(1, value))) * 10**400
