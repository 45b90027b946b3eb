"""One suite for all backends: what a status means must not depend on who says it."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import INFINITY, brute_force, knapsacks, linear, market_split
from verinet.errors import InputError, RejectedRowError, SolverError, UnsupportedModelError
from verinet.program import (
    Expressions,
    Indicator,
    Maximum,
    Product,
    Programme,
    ProgrammeBuilder,
    Progress,
    SolveOptions,
    Status,
)
from verinet.solve import Backend, Capability

TOLERANCE = 1e-6


def options(**changes: object) -> SolveOptions:
    return SolveOptions(**{"time_limit": 20.0, **changes})


def solve_to(backend: Backend, programme: Programme, objective: float, **changes: object) -> np.ndarray:
    """Solve and expect a known optimum."""
    outcome = backend.solve(programme, options(**changes))
    assert outcome.status is Status.OPTIMAL, outcome.reason
    assert outcome.reason == ""
    assert outcome.objective == pytest.approx(objective, abs=TOLERANCE)
    assert outcome.bound <= objective + TOLERANCE
    assert outcome.bound == pytest.approx(objective, rel=1e-5, abs=TOLERANCE)
    assert outcome.solver.startswith(backend.name)
    assert outcome.values is not None
    assert programme.objective.value(outcome.values)[0] == pytest.approx(objective, abs=TOLERANCE)
    return outcome.values


class TestAnswers:
    def test_linear_optimum(self, backend: Backend) -> None:
        values = solve_to(backend, linear([-3, -5], [[1, 0], [0, 2], [3, 2]], upper=[4, 12, 18]), -36.0)
        assert values == pytest.approx([2, 6])

    def test_integer_optimum(self, backend: Backend) -> None:
        weights, profits = [2, 3, 4, 5], [-3, -4, -5, -6]
        values = solve_to(backend, linear(profits, [weights], upper=[5], box=(0, 1), integer=True), -7.0)
        assert values == pytest.approx([1, 1, 0, 0])

    def test_integrality_cuts_off_the_relaxation(self, backend: Backend) -> None:
        solve_to(backend, linear([-1, -1], [[2, 2]], upper=[3], box=(0, 5), integer=True), -1.0)

    def test_mixed_variables(self, backend: Backend) -> None:
        values = solve_to(backend, linear([-1, -1], [[1, 1]], upper=[2.5], box=(0, 2), integer=[True, False]), -2.5)
        assert values[0] == pytest.approx(round(values[0]))

    def test_infeasible(self, backend: Backend) -> None:
        outcome = backend.solve(linear([1, 1], [[1, 1]], lower=[30.0]), options())
        assert outcome.status is Status.INFEASIBLE
        assert outcome.values is None
        assert outcome.bound == INFINITY

    def test_integer_infeasible(self, backend: Backend) -> None:
        outcome = backend.solve(linear([0, 0], [[2, -2]], 1, 1, box=(0, 5), integer=True), options())
        assert outcome.status is Status.INFEASIBLE

    def test_unbounded(self, backend: Backend) -> None:
        outcome = backend.solve(linear([-1, 0], [[1, -1]], 0, 0, box=(0, INFINITY)), options())
        expect_unbounded(backend, outcome.status, outcome.reason)
        assert outcome.bound == -INFINITY

    def test_unbounded_integer(self, backend: Backend) -> None:
        programme = linear([-1, 0], [[1, -1]], 0, 0, box=(0, INFINITY), integer=[True, False])
        outcome = backend.solve(programme, options())
        expect_unbounded(backend, outcome.status, outcome.reason)

    def test_a_ray_without_a_point_is_infeasible(self, backend: Backend) -> None:
        rows, sides = [[1, -1, 0], [0, 0, 1], [0, 0, 1]], ([0, 1, -INFINITY], [0, INFINITY, -1])
        programme = linear([-1, 0, 0], rows, *sides, box=(-INFINITY, INFINITY))
        assert backend.solve(programme, options()).status is Status.INFEASIBLE

    def test_an_integer_ray_without_a_point_is_infeasible(self, backend: Backend) -> None:
        rows, sides = [[0, 2, 2], [1, -1, 0]], ([1, -INFINITY], [1, INFINITY])
        box = [(0, INFINITY), (0, 4), (0, 4)]
        outcome = backend.solve(linear([-1, 0, 0], rows, *sides, box=box, integer=True), options())
        assert outcome.status is Status.INFEASIBLE

    def test_equations(self, backend: Backend) -> None:
        values = solve_to(backend, linear([1, 2], [[1, 1], [1, -1]], [3, 1], [3, 1]), 4.0)
        assert values == pytest.approx([2, 1])

    def test_rows_with_two_sides(self, backend: Backend) -> None:
        solve_to(backend, linear([1, 1], [[1, 1]], 2, 3), 2.0)
        solve_to(backend, linear([-1, -1], [[1, 1]], 2, 3), -3.0)

    def test_rows_without_sides(self, backend: Backend) -> None:
        solve_to(backend, linear([1, 1], [[1, 1], [1, 0]], [-INFINITY, 2], INFINITY), 2.0)

    def test_crossed_sides_are_infeasible(self, backend: Backend) -> None:
        assert backend.solve(linear([1, 1], [[1, 1]], 2, 1), options()).status is Status.INFEASIBLE

    def test_free_variables(self, backend: Backend) -> None:
        solve_to(backend, linear([1, 0], [[1, 1]], lower=[-7], box=[(-INFINITY, INFINITY), (-3, 3)]), -10.0)

    def test_fixed_variables(self, backend: Backend) -> None:
        values = solve_to(backend, linear([1, 1], [[1, 1]], lower=[3.5], box=[(1.25, 1.25), (0, 9)]), 3.5)
        assert values[0] == 1.25

    def test_fractional_bounds_of_an_integer(self, backend: Backend) -> None:
        solve_to(backend, linear([1], box=(0.5, 3.5), integer=True), 1.0)
        assert backend.solve(linear([1], box=(0.4, 0.6), integer=True), options()).status is Status.INFEASIBLE

    def test_constants_of_rows_and_objective(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        x = builder.variables("x", [-10.0], [10.0])
        builder.rows(Expressions.rows(np.array([[2.0]]), x, np.array([5.0])), lower=1.0)
        builder.objective = Expressions.rows(np.array([[3.0]]), x, np.array([100.0]))
        solve_to(backend, builder.build(), 94.0)

    def test_repeated_variables_of_a_row_add_up(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        x = builder.variables("x", [0.0], [10.0])
        twice = sp.csr_array((np.ones(2), np.array([x[0], x[0]]), np.array([0, 2])), shape=(1, 1))
        builder.rows(Expressions(twice, np.zeros(1)), lower=6.0)
        builder.objective = Expressions.variables(x)
        solve_to(backend, builder.build(), 3.0)

    def test_no_rows(self, backend: Backend) -> None:
        solve_to(backend, linear([1, -1]), -10.0)

    def test_no_objective(self, backend: Backend) -> None:
        programme = linear([0, 0], [[1, 1]], 2, 2, integer=True, offset=4.5)
        values = solve_to(backend, programme, 4.5)
        assert values.sum() == pytest.approx(2)

    def test_no_variables(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        builder.objective = Expressions.constants([2.5])
        solve_to(backend, builder.build(), 2.5)
        builder.rows(Expressions.constants([1.0]), upper=0.0)
        assert backend.solve(builder.build(), options()).status is Status.INFEASIBLE

    def test_a_row_without_coefficients(self, backend: Backend) -> None:
        assert backend.solve(linear([1], [[0]], lower=[1.0]), options()).status is Status.INFEASIBLE
        solve_to(backend, linear([1], [[0]], lower=[-1.0]), 0.0)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_agrees_with_brute_force(self, backend: Backend, data: st.DataObject) -> None:
        size, height = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3))
        number = st.integers(-5, 5)
        rows = [[data.draw(number) for _ in range(size)] for _ in range(height)]
        sides = [sorted((data.draw(number), data.draw(number))) for _ in range(height)]
        boxes = [tuple(sorted((data.draw(st.integers(-2, 2)), data.draw(st.integers(-2, 2))))) for _ in range(size)]
        costs = [data.draw(number) for _ in range(size)]
        lower, upper = [low for low, _ in sides], [high for _, high in sides]
        programme = linear(costs, rows, lower, upper, box=boxes, integer=True, offset=data.draw(number))
        optimum = brute_force(programme)
        if optimum == INFINITY:
            assert backend.solve(programme, options()).status is Status.INFEASIBLE
        else:
            solve_to(backend, programme, optimum)


def expect_unbounded(backend: Backend, status: Status, reason: str) -> None:
    """An exact backend has no finite evidence that there is no bound, and says so."""
    if Capability.EXACT in backend.capabilities:
        assert status is Status.UNKNOWN
        assert "no lower bound" in reason
    else:
        assert status is Status.UNBOUNDED, reason


class TestSemantics:
    def test_indicator(self, backend: Backend) -> None:
        for active, best in ((True, -10.0), (False, -13.0)):
            programme = indicator_programme(active)
            if Capability.INDICATOR in backend.capabilities:
                values = solve_to(backend, programme, best)
                assert values[1] == pytest.approx(10.0 if active else 3.0, abs=TOLERANCE)
            else:
                with pytest.raises(UnsupportedModelError, match="Indicator"):
                    backend.solve(programme, options())

    def test_maximum_and_product_need_the_capability(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        x, y = builder.variables("x", [-1.0], [1.0]), builder.variables("y", [-9.0], [9.0])
        w, z = builder.binaries("w", 1), builder.variables("z", [-9.0], [9.0])
        none = np.full(1, INFINITY)
        builder.semantic(Maximum.relu(y, Expressions.variables(x), -none, none))
        builder.semantic(Product(z, w, Expressions.variables(y), -none, none))
        builder.objective = Expressions.rows(np.array([[-1.0, 1.0]]), [z[0], x[0]], np.zeros(1))
        programme = builder.build()
        if Capability.SEMANTIC in backend.capabilities:
            solve_to(backend, programme.with_objective(-Expressions.variables(z)), -1.0)
        else:
            with pytest.raises(UnsupportedModelError, match="Maximum"):
                backend.solve(programme, options())


def indicator_programme(active: bool) -> Programme:
    """Minimise over b and x up to 10, where ``b = active`` limits x to 3.

    Active at one: ``-x - 5 b`` is -10 at b = 0. Active at zero: ``-x + 10 b - 10`` is -13 at b = 0 and x = 3.
    """
    builder = ProgrammeBuilder()
    b, x = builder.binaries("b", 1), builder.variables("x", [0.0], [10.0])
    row = Expressions.rows(np.array([[1.0]]), x, np.array([-3.0]))
    builder.semantic(Indicator(b, row, np.array([INFINITY]), active))
    cost = -5.0 if active else 10.0
    builder.objective = Expressions.rows(np.array([[cost, -1.0]]), [b[0], x[0]], np.array([0.0 if active else -10.0]))
    return builder.build()


class TestBadInput:
    @pytest.mark.parametrize("coefficient", [1e-12, 1e-10, 1e10, 1e16, 1e30])
    def test_hostile_coefficients_raise_on_floating_point(self, backend: Backend, coefficient: float) -> None:
        programme = linear([1, 1], [[coefficient, 1.0]], lower=[1.0])
        if Capability.EXACT in backend.capabilities:
            # With x = 10 the rest is y = 1 - 10 c; a coefficient above 0.1 needs x = 1 / c alone.
            solve_to(backend, programme, min(1.0, 1.0 / coefficient))
        else:
            with pytest.raises((RejectedRowError, UnsupportedModelError), match="coefficient"):
                backend.solve(programme, options())

    @pytest.mark.parametrize("coefficient", [1e-14, 1e30])
    def test_dropped_and_refused_coefficients_are_rejected(self, backend: Backend, coefficient: float) -> None:
        if Capability.EXACT in backend.capabilities:
            pytest.skip("nothing is dropped in exact arithmetic")
        with pytest.raises((RejectedRowError, UnsupportedModelError), match=r"changes the model|without rounding"):
            backend.solve(linear([1, 1], [[coefficient, 0.0]], lower=[1.0]), options())

    def test_not_a_number(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        x = builder.variables("x", [0.0], [1.0])
        builder.objective = Expressions.rows(np.array([[np.nan]]), x, np.zeros(1))
        with pytest.raises(InputError, match="NaN"):
            backend.solve(builder.build(), options())
        with pytest.raises(InputError, match="NaN"):
            linear([1], [[np.nan]], lower=[1.0])
        with pytest.raises(InputError, match="lower <= upper"):
            linear([1], box=(np.nan, 1.0))

    def test_crossed_bounds(self) -> None:
        with pytest.raises(InputError, match="lower <= upper"):
            linear([1], box=(1.0, 0.0))

    def test_unknown_variable(self, backend: Backend) -> None:
        builder = ProgrammeBuilder()
        builder.variables("x", [0.0], [1.0])
        builder.objective = Expressions.variables([3])
        with pytest.raises(InputError, match="variable 3"):
            backend.solve(builder.build(), options())

    def test_impossible_side(self, backend: Backend) -> None:
        with pytest.raises(InputError, match="row 0"):
            backend.solve(linear([1], [[1]], lower=[INFINITY]), options())

    @pytest.mark.parametrize("bad", [{"time_limit": -1.0}, {"time_limit": np.nan}, {"cutoff": np.nan}, {"threads": -1}])
    def test_bad_options(self, backend: Backend, bad: dict[str, float]) -> None:
        with pytest.raises(InputError, match=next(iter(bad))):
            backend.solve(linear([1]), options(**bad))

    def test_start_of_the_wrong_size(self, backend: Backend) -> None:
        with pytest.raises(InputError, match="start"):
            backend.solve(linear([1]), options(start=np.zeros(2)))


class TestLimits:
    @pytest.mark.parametrize("seconds", [0.0, 0.3])
    def test_time_limit_is_unknown_with_a_valid_bound(self, backend: Backend, seconds: float) -> None:
        programme, known = market_split()
        outcome = backend.solve(programme, SolveOptions(time_limit=seconds))
        assert outcome.status is Status.UNKNOWN
        assert "time limit" in outcome.reason
        assert outcome.bound <= known
        assert outcome.seconds < seconds + 2.0

    def test_cancellation(self, backend: Backend) -> None:
        programme, known = market_split()
        chosen = SolveOptions()
        timer = threading.Timer(0.3, chosen.cancel.set)
        timer.start()
        outcome = backend.solve(programme, chosen)
        timer.join()
        assert outcome.status is Status.UNKNOWN
        assert outcome.reason.startswith("cancelled")
        assert outcome.bound <= known
        assert outcome.seconds < 2.3

    def test_cancelled_before_it_starts(self, backend: Backend) -> None:
        chosen = SolveOptions()
        chosen.cancel.set()
        outcome = backend.solve(market_split()[0], chosen)
        assert outcome.status is Status.UNKNOWN
        assert outcome.seconds < 2.0

    def test_keyboard_interrupt(self, backend: Backend) -> None:
        script = (
            "import os, signal, threading\n"
            "from tests.conformance.programmes import market_split\n"
            "from verinet.program import SolveOptions\n"
            "from verinet.solve import get\n"
            f"backend, (programme, _) = get({backend.name!r}), market_split()\n"
            "threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
            "outcome = backend.solve(programme, SolveOptions(time_limit=20.0))\n"
            "print('\\n' + outcome.status.value, outcome.reason, outcome.seconds < 10)\n"
        )
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
        assert run.stdout.splitlines()[-1:] == ["unknown interrupted True"], run.stderr

    def test_stop_at(self, backend: Backend) -> None:
        outcome = backend.solve(knapsacks(8 if backend.name == "z3" else 30), options(stop_at=-1.0))
        assert outcome.objective is not None
        assert outcome.objective <= -1.0
        if outcome.status is Status.UNKNOWN:
            assert "stop_at" in outcome.reason
        else:
            assert outcome.status is Status.OPTIMAL

    def test_stop_at_out_of_reach(self, backend: Backend) -> None:
        solve_to(backend, linear([1], [[2]], lower=[3], integer=True), 2.0, stop_at=0.0)


class TestHints:
    @pytest.mark.parametrize("integer", [True, False])
    def test_cutoff(self, backend: Backend, integer: bool) -> None:
        programme = linear([-3, -4, -5], [[2, 3, 4]], upper=[5], box=(0, 1), integer=integer, offset=10.0)
        best = backend.solve(programme, options()).objective
        assert best is not None
        solve_to(backend, programme, best, cutoff=best + 0.5)
        outcome = backend.solve(programme, options(cutoff=best - 0.5))
        assert outcome.status is Status.INFEASIBLE
        assert outcome.bound == best - 0.5

    def test_cutoff_of_a_constant_objective(self, backend: Backend) -> None:
        programme = linear([0, 0], [[1, 1]], lower=[1], integer=True, offset=3.0)
        solve_to(backend, programme, 3.0, cutoff=4.0)
        assert backend.solve(programme, options(cutoff=2.0)).status is Status.INFEASIBLE
        assert backend.solve(programme, options(cutoff=3.0)).status is Status.INFEASIBLE

    @pytest.mark.parametrize(
        "start",
        [[1, 1, 0, 0], [1, 1, 1, 1], [9, -9, 9, 9], [np.nan] * 4, [1, np.nan, np.nan, 0], [0.5, 0.5, 0.2, 0]],
        ids=["optimal", "infeasible", "outside", "unknown", "partial", "fractional"],
    )
    @pytest.mark.parametrize("integer", [True, False])
    def test_start_changes_no_answer(self, backend: Backend, start: list[float], integer: bool) -> None:
        programme = linear([-3, -4, -5, -6], [[2, 3, 4, 5]], upper=[5], box=(0, 1), integer=integer)
        optimum = -7.0
        solve_to(backend, programme, optimum, start=np.array(start))

    def test_start_is_honoured(self, backend: Backend) -> None:
        if Capability.START not in backend.capabilities:
            pytest.skip("takes no start")
        programme, known = market_split()
        rng = np.random.default_rng(1)
        rng.integers(1, 1000, (12, 50)), rng.integers(1, 1000, 50)
        outcome = backend.solve(programme, SolveOptions(time_limit=0.5, start=rng.integers(0, 2, 50).astype(float)))
        assert outcome.status is Status.UNKNOWN
        assert outcome.objective == pytest.approx(known)
        assert outcome.bound <= known

    def test_progress(self, backend: Backend) -> None:
        reports: list[Progress] = []
        outcome = backend.solve(knapsacks(8 if backend.name == "z3" else 30), options(on_progress=reports.append))
        assert outcome.status is Status.OPTIMAL
        if Capability.CALLBACK not in backend.capabilities:
            assert reports == []
            return
        objectives = [report.objective for report in reports if report.objective is not None]
        assert objectives
        assert objectives == sorted(objectives, reverse=True)
        assert all(report.bound <= report.objective for report in reports if report.objective is not None)
        assert all(report.bound <= outcome.objective + TOLERANCE for report in reports)
        new = [report for report in reports if report.values is not None]
        assert new
        assert all(np.dot(r.values, knapsack_costs()) == pytest.approx(r.objective) for r in new)

    def test_an_exception_in_on_progress_reaches_the_caller(self, backend: Backend) -> None:
        if Capability.CALLBACK not in backend.capabilities:
            pytest.skip("reports no progress")

        def fail(report: Progress) -> None:
            raise ZeroDivisionError("from the caller's own function")

        with pytest.raises(ZeroDivisionError, match="own function"):
            backend.solve(knapsacks(), options(on_progress=fail))

    def test_same_seed_same_answer(self, backend: Backend) -> None:
        programme = knapsacks(8 if backend.name == "z3" else 30)
        first, second = (backend.solve(programme, options(seed=7)) for _ in range(2))
        assert first.values is not None
        assert np.array_equal(first.values, second.values)
        assert first.bound == second.bound

    def test_the_number_of_threads_may_change_between_solves(self, backend: Backend) -> None:
        programme = linear([-1, -1], [[2, 2]], upper=[3], box=(0, 5), integer=True)
        for threads in (1, 2, 0, 1):
            solve_to(backend, programme, -1.0, threads=threads)

    def test_solves_side_by_side(self, backend: Backend) -> None:
        programme, answers = linear([-1, -1], [[2, 2]], upper=[3], box=(0, 5), integer=True), []

        def work() -> None:
            answers.extend(backend.solve(programme, options()).objective for _ in range(5))

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert answers == pytest.approx([-1.0] * 15)


def knapsack_costs() -> np.ndarray:
    return knapsacks().objective.matrix.toarray()[0]


def test_silence(backend: Backend, capfd: pytest.CaptureFixture[str]) -> None:
    backend.solve(knapsacks(8), options())
    backend.solve(market_split()[0], SolveOptions(time_limit=0.2))
    backend.solve(linear([1], [[1]], lower=[30]), options())
    time.sleep(0.05)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def hostile_relu(slope: float, semantic: bool) -> Programme:
    """Minimise ``t = relu(W h0 - W h1 + 1e-3)`` where ``h0 = h1``: the minimum is exactly the float 1e-3."""
    builder = ProgrammeBuilder()
    h = builder.variables("h", [0.0, 0.0], [1.0, 1.0])
    t = builder.variables("t", [0.0], [2 * slope])
    builder.rows(Expressions.rows(np.array([[1.0, -1.0]]), h, np.zeros(1)), 0.0, 0.0)
    before = Expressions.rows(np.array([[slope, -slope]]), h, np.array([1e-3]))
    result = Expressions.variables(t)
    if semantic:
        builder.semantic(Maximum.relu(t, before, np.array([-INFINITY]), np.array([INFINITY])))
    else:
        on = Expressions.variables(builder.binaries("d", 1))
        builder.rows(result - before, lower=0.0)
        builder.rows(result - before + on.scaled(2 * slope), upper=2 * slope)
        builder.rows(result - on.scaled(2 * slope), upper=0.0)
    builder.objective = result
    return builder.build()


@pytest.mark.parametrize("slope", [1.0, 1e3, 1e6, 1e8, 1e9, 1e10, 1e12, 1e13, 1e14, 1e15, 1e18])
def test_hostile_slopes_never_give_a_false_proof(backend: Backend, slope: float) -> None:
    """The table of traps: from 1e13 on HiGHS calls this infeasible, from 1e15 on it drops the rows."""
    exact = Capability.EXACT in backend.capabilities
    try:
        outcome = backend.solve(hostile_relu(slope, semantic=exact), options())
    except SolverError:
        assert not exact
        assert slope > 1e8
        return
    assert outcome.status is not Status.INFEASIBLE
    assert outcome.bound <= 1e-3 + TOLERANCE
    if exact or slope <= 1e3:
        assert outcome.status is Status.OPTIMAL
        assert outcome.objective == pytest.approx(1e-3, abs=TOLERANCE)
