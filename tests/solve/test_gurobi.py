import numpy as np
import pytest

from tests.conformance.programmes import linear
from verinet.program import SolveOptions, Status
from verinet.solve import GurobiBackend
from verinet.solve import gurobi as module

gurobipy = pytest.importorskip("gurobipy")


@pytest.fixture(autouse=True)
def _licence() -> None:
    availability = GurobiBackend().probe()
    if not availability.usable:
        pytest.skip(availability.reason)


def test_every_status_is_a_claim_or_has_a_reason() -> None:
    codes = gurobipy.GRB.Status
    claims = {codes.OPTIMAL, codes.INFEASIBLE, codes.CUTOFF, codes.UNBOUNDED, codes.INF_OR_UNBD}
    assert not claims & set(module._REASONS)
    assert set(module._REASONS) <= {getattr(codes, name) for name in dir(codes) if name.isupper()}
    assert module._REASONS[codes.TIME_LIMIT] == "the time limit was reached"
    assert module._REASONS[codes.NUMERIC] == "numerical difficulties"
    assert module._REASONS[codes.INTERRUPTED] == "interrupted"
    assert module._REASONS[codes.USER_OBJ_LIMIT] == "stop_at was reached"
    assert module.SIZE_LIMIT_EXCEEDED == gurobipy.GRB.Error.SIZE_LIMIT_EXCEEDED
    assert gurobipy.GRB.INFINITY == module.INFINITE


def test_a_wide_but_accepted_range_still_gives_the_answer() -> None:
    outcome = GurobiBackend().solve(linear([1, 1], [[1e-3, 1e5]], lower=[1.0]), SolveOptions())
    assert outcome.status is Status.OPTIMAL
    assert outcome.objective == pytest.approx(1e-5, abs=1e-9)


def test_extreme_options_are_clipped() -> None:
    options = SolveOptions(feasibility_tolerance=1e-15, seed=2**40, threads=2)
    assert GurobiBackend().solve(linear([1, 1], [[1, 1]], lower=[1.0]), options).objective == pytest.approx(1.0)


def test_the_licence_is_probed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_second_time(*arguments: object, **options: object) -> None:
        raise AssertionError("took a licence again")

    GurobiBackend().probe()
    monkeypatch.setattr(gurobipy, "Env", no_second_time)
    assert GurobiBackend().probe().usable


def test_rows_count_as_gurobi_counts_them() -> None:
    programme = linear([1], np.ones((4, 1)), [1, 1, -np.inf, -np.inf], [1, 2, 3, np.inf])
    assert module._row_count(programme) == 1 + 2 + 1 + 0
