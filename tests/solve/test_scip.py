"""What SCIP says, and what becomes of it."""

import numpy as np
import pytest

from tests.conformance.programmes import INFINITY, knapsacks, linear
from verinet.errors import RejectedRowError
from verinet.program import Expressions, Indicator, Programme, ProgrammeBuilder, Progress, SolveOptions, Status
from verinet.solve import get
from verinet.solve import scip as module

pyscipopt = pytest.importorskip("pyscipopt")

PROGRAMME = linear([1, 1], [[1, 2], [2, 1]], lower=[3, 3])
NO_CLAIMS = [
    "unknown",
    "userinterrupt",
    "nodelimit",
    "totalnodelimit",
    "stallnodelimit",
    "timelimit",
    "memlimit",
    "primallimit",
    "duallimit",
    "sollimit",
    "bestsollimit",
    "restartlimit",
    "terminate",
    "a_status_of_tomorrow",
]


def solve(programme: Programme, **options: object):
    return get("scip").solve(programme, SolveOptions(**{"time_limit": 20.0, **options}))


@pytest.mark.parametrize("status", NO_CLAIMS)
def test_every_status_that_is_no_claim_is_unknown(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(pyscipopt.Model):
        def getStatus(self) -> str:
            return status

    monkeypatch.setattr(pyscipopt, "Model", Odd)
    outcome = solve(PROGRAMME)
    assert outcome.status is Status.UNKNOWN
    assert outcome.reason == module._REASONS.get(status, f"status {status}")


def test_no_status_with_a_reason_is_a_claim() -> None:
    assert set(module._REASONS) < set(NO_CLAIMS)


def test_optimal_without_a_point_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(pyscipopt.Model):
        def getNSols(self) -> int:
            return 0

    monkeypatch.setattr(pyscipopt, "Model", Odd)
    assert solve(PROGRAMME).status is Status.UNKNOWN


def test_a_crash_in_the_library_is_unknown_and_frees_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = []

    class Odd(pyscipopt.Model):
        def optimizeNogil(self) -> None:
            raise Exception("SCIP: error in LP solver!")

        def freeProb(self) -> None:
            freed.append(True)
            super().freeProb()

    monkeypatch.setattr(pyscipopt, "Model", Odd)
    outcome = solve(PROGRAMME)
    assert outcome.status is Status.UNKNOWN
    assert "error in LP solver" in outcome.reason
    assert freed == [True]


@pytest.mark.parametrize("offset", [-1000.0, 1000.0])
def test_the_offset_counts_for_cutoff_and_stop_at(offset: float) -> None:
    programme = linear([-3, -4, -5], [[2, 3, 4]], upper=[5], box=(0, 1), integer=True, offset=offset)
    assert solve(programme, cutoff=offset - 6.5).objective == pytest.approx(offset - 7.0)
    refused = solve(programme, cutoff=offset - 7.5)
    assert (refused.status, refused.bound) == (Status.INFEASIBLE, offset - 7.5)
    reports: list[Progress] = []
    stopped = solve(programme, stop_at=offset - 1.0, on_progress=reports.append)
    assert stopped.objective <= offset - 1.0
    assert stopped.bound <= offset - 7.0 + 1e-6
    assert all(report.bound <= offset - 7.0 + 1e-6 for report in reports)


def test_a_start_is_the_first_incumbent() -> None:
    programme = knapsacks()
    best = solve(programme)
    reports: list[Progress] = []
    again = solve(programme, start=best.values, on_progress=reports.append)
    assert again.objective == pytest.approx(best.objective)
    first = next(report for report in reports if report.objective is not None)
    assert first.objective == pytest.approx(best.objective)


def test_a_row_of_an_indicator_without_coefficients_fixes_its_condition() -> None:
    for constant, least in ((1.0, 0.0), (-1.0, -1.0)):
        builder = ProgrammeBuilder()
        b, x = builder.binaries("b", 1), builder.variables("x", [0.0], [1.0])
        row = Expressions.rows(np.zeros((1, 1)), x, np.array([constant]))
        builder.semantic(Indicator(b, row, np.array([INFINITY]), True))
        builder.objective = -Expressions.variables(b)
        assert solve(builder.build()).objective == pytest.approx(least)


@pytest.mark.parametrize(("coefficient", "what"), [(1e-9, "drops"), (1e15, "refuses")])
def test_what_scip_reads_as_another_number_is_rejected(coefficient: float, what: str) -> None:
    with pytest.raises(RejectedRowError, match=f"scip {what} the coefficient"):
        solve(linear([1, 1], [[1.0, coefficient], [1.0, 1.0]], lower=[1.0, 1.0]))
