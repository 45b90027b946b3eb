import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.programmes import knapsacks, linear
from verinet.errors import SolverUnavailableError, UnsupportedModelError
from verinet.program import Expressions, Maximum, ProgrammeBuilder, SolveOptions, Status
from verinet.solve import CpsatBackend, HighsBackend, cpsat
from verinet.solve.cpsat_worker import integer_bound

SMALL = linear([-1, -1], [[2, 2]], upper=[3], box=(0, 5), integer=True)

installed = pytest.mark.skipif(not CpsatBackend.is_installed(), reason="ortools is not installed")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let a script of a test stand in for the worker."""
    monkeypatch.setattr(CpsatBackend, "is_installed", classmethod(lambda cls: True))

    def replace(script: str) -> None:
        path = tmp_path / "worker.py"
        path.write_text("import json, os, sys, time\ndef say(**message): print(json.dumps(message), flush=True)\n")
        path.write_text(path.read_text() + textwrap.dedent(script))
        monkeypatch.setattr(cpsat, "WORKER", path)

    return replace


def test_a_crash_is_unknown(worker) -> None:
    worker("os.abort()")
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=20))
    assert outcome.status is Status.UNKNOWN
    assert "ended with code -6" in outcome.reason
    assert outcome.bound == -np.inf


def test_a_crash_keeps_the_checked_point(worker) -> None:
    worker("say(event='ready'); say(event='solution', values=[1, 0]); sys.exit('no memory left')")
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=20))
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason.endswith("code 1: no memory left")
    assert outcome.objective == -1.0
    assert outcome.values is not None
    assert outcome.values.tolist() == [1.0, 0.0]


def test_a_hung_worker_is_killed(worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpsat, "PATIENCE_SECONDS", 0.2)
    worker("say(event='ready'); time.sleep(60)")
    started = time.perf_counter()
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=0.1))
    assert time.perf_counter() - started < 5
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason.startswith("the time limit of 0.1 s was reached")
    assert "was killed" in outcome.reason


def test_a_worker_that_closes_its_ears_and_mouth_is_unknown(worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpsat, "PATIENCE_SECONDS", 0.2)
    worker("os.close(0); os.close(1); time.sleep(60)")
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=20))
    assert outcome.status is Status.UNKNOWN
    assert "fell silent" in outcome.reason
    assert outcome.seconds < 5


def test_garbage_is_unknown(worker) -> None:
    worker("print('hello', flush=True)")
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=20))
    assert outcome.status is Status.UNKNOWN
    assert "JSONDecodeError" in outcome.reason


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("say(event='end', status='OPTIMAL', values=[5, 5], detail='')", "violates its own model"),
        ("say(event='end', status='OPTIMAL', values=[], detail='')", "violates its own model"),
        ("say(event='solution', values=[1, 0]); say(event='end', status='INFEASIBLE', values=[], detail='')", "calls"),
        ("say(event='solution', values=[1, 0]); say(event='bound', bound=0); say(event='end', status='OPTIMAL', "
         "values=[1, 0], detail='')", "contradicts"),
        ("say(event='end', status='MODEL_INVALID', values=[], detail='overflow')", "refuses the model: overflow"),
    ],
)  # fmt: skip
def test_lies_are_unknown(worker, says: str, reason: str) -> None:
    worker(f"say(event='ready'); {says}; time.sleep(5)")
    outcome = CpsatBackend().solve(SMALL, SolveOptions(time_limit=20))
    assert outcome.status is Status.UNKNOWN
    assert reason in outcome.reason
    assert outcome.bound == -np.inf


@installed
def test_side_by_side_with_highs() -> None:
    for backend in (HighsBackend(), CpsatBackend(), HighsBackend()):
        assert backend.solve(SMALL, SolveOptions(time_limit=20)).objective == pytest.approx(-1.0)


@installed
def test_it_is_exact_where_floats_are_not() -> None:
    outcome = CpsatBackend().solve(
        linear([-1], [[0.1]], upper=[1.0], box=(0, 20), integer=True), SolveOptions(time_limit=20)
    )
    assert (outcome.status, outcome.objective, outcome.bound) == (Status.OPTIMAL, -9.0, -9.0)


@installed
def test_a_gap_is_enough() -> None:
    outcome = CpsatBackend().solve(knapsacks(), SolveOptions(time_limit=20, gap_tolerance=0.5))
    assert outcome.status is Status.OPTIMAL
    assert outcome.gap <= 0.5


@installed
def test_no_worker_outlives_its_parent() -> None:
    script = (
        "import os, threading\n"
        "from tests.conformance.programmes import market_split\n"
        "from verinet.program import SolveOptions\n"
        "from verinet.solve import CpsatBackend, cpsat\n"
        "def popen(*args, kept=cpsat.subprocess.Popen, **settings):\n"
        "    process = kept(*args, **settings)\n"
        "    print(process.pid, flush=True)\n"
        "    threading.Timer(0.6, os._exit, (0,)).start()\n"
        "    return process\n"
        "cpsat.subprocess.Popen = popen\n"
        "CpsatBackend().solve(market_split()[0], SolveOptions(time_limit=60.0))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    status = Path(f"/proc/{int(run.stdout)}/stat")
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs the processes in /proc")
    until = time.monotonic() + 10
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_semantic_constraints_are_lowered_first() -> None:
    builder = ProgrammeBuilder()
    x, y = builder.variables("x", [-1.0], [1.0]), builder.variables("y", [0.0], [1.0])
    builder.semantic(Maximum.relu(y, Expressions.variables(x), -np.ones(1), np.ones(1)))
    with pytest.raises(UnsupportedModelError, match=r"Maximum constraint; lower it with verinet\.encode"):
        CpsatBackend().check(builder.build())


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools", None)
    assert not CpsatBackend().probe().usable
    with pytest.raises(SolverUnavailableError, match="pip install ortools"):
        CpsatBackend().solve(SMALL, SolveOptions())


@given(st.integers(-(2**60), 2**60), st.floats(-0.5, 0.5))
def test_bounds_are_read_downward(bound: int, error: float) -> None:
    told = float(bound) * (1 + error * 2.0**-51)
    assert integer_bound(told) <= bound
    assert bound - integer_bound(told) <= 1 + abs(bound) * 2.0**-46
