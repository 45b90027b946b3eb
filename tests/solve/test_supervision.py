import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from tests.conformance.programmes import linear
from verinet.errors import RejectedRowError
from verinet.program import Outcome, Programme, Progress, SolveOptions, Status
from verinet.solve import Backend, Capability, supervision
from verinet.solve.backend import Claim, settle
from verinet.solve.supervision import Control


class Scripted(Backend):
    """A backend that does what a test says."""

    name: ClassVar[str] = "scripted"
    module: ClassVar[str] = "numpy"
    distribution: ClassVar[str] = "numpy"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.LINEAR})

    def __init__(self, act: Callable[[Control], Claim]) -> None:
        self.act = act

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        return self.act(control)


def outcome_of(act: Callable[[Control], Claim], **changes: object) -> Outcome:
    return Scripted(act).solve(linear([1.0]), SolveOptions(**changes))


def test_a_crash_in_the_library_is_unknown() -> None:
    def crash(control: Control) -> Claim:
        raise MemoryError("out of luck")

    outcome = outcome_of(crash)
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason == "scripted failed with MemoryError: out of luck"
    assert outcome.bound == -np.inf


def test_an_error_for_the_caller_is_raised() -> None:
    def reject(control: Control) -> Claim:
        raise RejectedRowError("row 3")

    with pytest.raises(RejectedRowError, match="row 3"):
        outcome_of(reject)


def test_a_solver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(supervision, "DEADLINE_SLACK", 0.1)

    def hang(control: Control) -> Claim:
        time.sleep(1.0)
        return Claim(Status.INFEASIBLE)

    outcome = outcome_of(hang, time_limit=0.1)
    assert outcome.status is Status.UNKNOWN
    assert "time limit of 0.1 s" in outcome.reason
    assert "left behind" in outcome.reason
    assert outcome.seconds < 0.8


def test_interrupts_are_repeated_until_they_are_heard() -> None:
    heard = []

    def deaf_at_first(control: Control) -> Claim:
        with control.interruptible(lambda: heard.append(1)):
            while len(heard) < 3:
                time.sleep(0.01)
        return Claim(Status.UNKNOWN, reason="gave up")

    options = SolveOptions()
    options.cancel.set()
    outcome = Scripted(deaf_at_first).solve(linear([1.0]), options)
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason == "cancelled"


def test_an_answer_that_comes_in_time_counts_even_when_cancelled() -> None:
    def quick(control: Control) -> Claim:
        time.sleep(0.1)
        return Claim(Status.OPTIMAL, np.zeros(1), 0.0, 0.0)

    options = SolveOptions()
    options.cancel.set()
    assert Scripted(quick).solve(linear([1.0]), options).status is Status.OPTIMAL


def test_reports_are_consistent_and_not_too_many() -> None:
    reports: list[Progress] = []

    def talk(control: Control) -> Claim:
        control.report(None, -9.0)
        for _ in range(1000):
            control.report(5.0, -8.0)
        control.report(4.0, -10.0, np.ones(1))
        control.report(4.5, 6.0, np.zeros(1))
        return Claim(Status.UNKNOWN)

    outcome_of(talk, on_progress=reports.append)
    assert len(reports) == 2
    assert (reports[0].objective, reports[0].bound) == (None, -9.0)
    assert (reports[1].objective, reports[1].bound) == (4.0, -8.0)
    assert reports[1].values is not None


@pytest.mark.parametrize(
    ("claim", "status", "objective", "bound"),
    [
        (Claim(Status.OPTIMAL, np.ones(1), 2.0, 2.0), Status.OPTIMAL, 2.0, 2.0),
        (Claim(Status.OPTIMAL, np.ones(1), 3.0, 2.9), Status.INFEASIBLE, None, 3.0),
        (Claim(Status.OPTIMAL, np.ones(1), 2.0, 2.1), Status.OPTIMAL, 2.0, 2.0),
        (Claim(Status.INFEASIBLE), Status.INFEASIBLE, None, 3.0),
        (Claim(Status.UNKNOWN, bound=7.0, reason="r"), Status.UNKNOWN, None, 3.0),
        (Claim(Status.UNKNOWN, np.ones(1), 5.0, 1.0, "r"), Status.UNKNOWN, None, 1.0),
        (Claim(Status.UNBOUNDED, np.ones(1)), Status.UNBOUNDED, None, -np.inf),
    ],
)
def test_the_cutoff_means_the_same_everywhere(
    claim: Claim, status: Status, objective: float | None, bound: float
) -> None:
    settled = settle(claim, SolveOptions(cutoff=3.0))
    assert (settled.status, settled.objective, settled.bound) == (status, objective, bound)
    assert (settled.values is None) == (objective is None and status is not Status.UNBOUNDED)
