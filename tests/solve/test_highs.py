"""A row that HiGHS does not hold must never go unnoticed."""

import numpy as np
import pytest
import scipy.sparse as sp

from tests.conformance.programmes import linear
from verinet.errors import RejectedRowError
from verinet.program import Expressions, ProgrammeBuilder, SolveOptions, Status
from verinet.solve import HighsBackend
from verinet.solve import highs as module

highspy = pytest.importorskip("highspy")

PROGRAMME = linear([1, 1], [[1, 2], [2, 1]], lower=[3, 3])


@pytest.mark.parametrize("lost", ["getNumRow", "getNumNz", "getNumCol"])
def test_a_lost_row_or_coefficient_is_noticed(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highspy.Highs, lost, lambda self: 1)
    with pytest.raises(RejectedRowError, match="HiGHS was given 2 variables, 2 rows and 4 coefficients"):
        HighsBackend().solve(PROGRAMME, SolveOptions())


def test_a_row_lost_while_solving_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([2, 1, 1])
    monkeypatch.setattr(highspy.Highs, "getNumRow", lambda self: next(counts))
    with pytest.raises(RejectedRowError, match="solved 1 of 2 rows"):
        HighsBackend().solve(PROGRAMME, SolveOptions())


@pytest.mark.parametrize("coefficient", [1e-13, 1e16])
def test_what_highs_itself_drops_or_refuses_is_rejected_without_the_screen(
    coefficient: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "check_kept", lambda *arguments: None)
    monkeypatch.setattr(module, "check_numerics", lambda programme: None)
    programme = linear([1, 1], [[1.0, coefficient], [1.0, 1.0]], lower=[1.0, 1.0])
    with pytest.raises(RejectedRowError, match=r"k(Warning|Error)"):
        HighsBackend().solve(programme, SolveOptions())


def test_an_error_status_of_the_run_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highspy.Highs, "run", lambda self: highspy.HighsStatus.kError)
    outcome = HighsBackend().solve(PROGRAMME, SolveOptions())
    assert outcome.status is Status.UNKNOWN
    assert "failed" in outcome.reason


def test_the_table_of_reasons_names_existing_statuses() -> None:
    assert set(module._REASONS) <= set(highspy.HighsModelStatus.__members__)


def test_every_other_status_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = {"kOptimal", "kInfeasible", "kUnbounded", "kUnboundedOrInfeasible"}
    for name, status in highspy.HighsModelStatus.__members__.items():
        monkeypatch.setattr(highspy.Highs, "getModelStatus", lambda self, status=status: status)
        outcome = HighsBackend().solve(PROGRAMME, SolveOptions())
        if name not in claims:
            assert outcome.status is Status.UNKNOWN, name
            assert outcome.reason


def test_larger_models_are_handed_over_in_bulk() -> None:
    size = 3000
    rows = np.arange(size)
    builder = ProgrammeBuilder()
    x = builder.variables("x", np.zeros(size), np.full(size, 10.0))
    matrix = sp.csr_array((np.ones(2 * size), (np.repeat(rows, 2), np.stack([rows, (rows + 1) % size], 1).ravel())))
    builder.rows(Expressions(matrix, np.zeros(size)), lower=2.0)
    builder.objective = Expressions.variables(x).total()
    outcome = HighsBackend().solve(builder.build(), SolveOptions(time_limit=20.0))
    assert outcome.objective == pytest.approx(size)
