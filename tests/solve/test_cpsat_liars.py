"""Whatever a worker says or leaves unsaid, a verdict needs a point that holds and a bound that it meets."""

import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.programmes import linear
from verinet.program import Outcome, SolveOptions, Status
from verinet.solve import cpsat as module
from verinet.solve import get

# Imported here it would be beside HiGHS in one process, which is what the worker avoids.
pytestmark = pytest.mark.skipif(not get("cpsat").is_installed(), reason="ortools is not installed")

PROGRAMME = linear([-1, -1], [[2, 2]], upper=[3], box=(0, 5), integer=True)
"""Its least objective is -1, at (1, 0) and at (0, 1)."""

PREAMBLE = """
import json, os, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
def end(status, values=()):
    say(event="end", status=status, values=list(values), detail="")
say(event="ready")
settings = json.loads(sys.stdin.buffer.readline())
"""


@pytest.fixture
def outcome_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def solve(script: str, preamble: str = PREAMBLE, **options: object) -> Outcome:
        path = tmp_path / "worker.py"
        path.write_text(preamble + textwrap.dedent(script))
        monkeypatch.setattr(module, "WORKER", path)
        return get("cpsat").solve(PROGRAMME, SolveOptions(**{"time_limit": 20.0, **options}))

    return solve


def test_the_scripts_speak_as_the_worker_does(outcome_of) -> None:
    outcome = outcome_of("say(event='bound', bound=-1)\nend('OPTIMAL', [1, 0])")
    assert (outcome.status, outcome.objective, outcome.bound) == (Status.OPTIMAL, -1.0, -1.0)
    assert outcome.values.tolist() == [1.0, 0.0]
    assert outcome_of("end('INFEASIBLE')").status is Status.INFEASIBLE


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("os._exit(7)", "ended with code 7"),
        ("os.kill(os.getpid(), 9)", "ended with code -9"),
        ("raise MemoryError('out of luck')", "MemoryError: out of luck"),
        ("", "ended with code 0"),
        ("print('Segmentation fault', flush=True)", "failed with JSONDecodeError"),
        ("print('[]', flush=True)", "failed with TypeError"),
        ("say(event='end')", "failed with KeyError"),
        ("end('MODEL_INVALID')", "refuses the model"),
        ("end('UNKNOWN')", ""),
        ("end('A_STATUS_OF_TOMORROW', [1, 0])", ""),
    ],
)
def test_an_end_without_an_answer_is_unknown(outcome_of, script: str, reason: str) -> None:
    outcome = outcome_of(script)
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason
    assert reason in outcome.reason
    assert outcome.bound == -np.inf


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("end('OPTIMAL', [1, 1])", id="optimal but infeasible"),
        pytest.param("end('OPTIMAL', [6, 0])", id="optimal but outside the box"),
        pytest.param("end('OPTIMAL')", id="optimal without a point"),
        pytest.param("say(event='solution', values=[1, 0])\nend('OPTIMAL', [0, 0])", id="optimal but worse than known"),
        pytest.param("say(event='solution', values=[1, 0])\nend('INFEASIBLE')", id="infeasible with a point"),
        pytest.param(
            "say(event='bound', bound=0)\nsay(event='solution', values=[1, 0])\nend('FEASIBLE')",
            id="bound above a point",
        ),
        pytest.param("say(event='bound', bound=0)\nend('OPTIMAL', [1, 0])", id="optimal below the bound"),
    ],
)
def test_a_lie_is_unknown(outcome_of, script: str) -> None:
    outcome = outcome_of(script)
    assert outcome.status is Status.UNKNOWN
    assert "CP-SAT" in outcome.reason
    assert outcome.bound <= -1.0


def test_a_point_that_is_known_from_the_start_contradicts_infeasibility(outcome_of) -> None:
    outcome = outcome_of("end('INFEASIBLE')", start=np.array([1.0, 0.0]))
    assert outcome.status is Status.UNKNOWN
    assert outcome.objective == -1.0


@pytest.mark.parametrize("preamble", [PREAMBLE, "import time\n"], ids=["while solving", "before it is ready"])
def test_a_worker_that_hangs_is_killed_at_the_deadline(outcome_of, preamble: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    started = time.monotonic()
    outcome = outcome_of("time.sleep(60)", preamble, time_limit=0.2)
    assert time.monotonic() - started < 4.0
    assert outcome.status is Status.UNKNOWN
    assert "time limit" in outcome.reason
    assert "killed" in outcome.reason
