from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from verinet.encode import lower_programme
from verinet.errors import InputError, ModelTooLargeError, UnsupportedModelError
from verinet.program import Bilinear, Expressions, Indicator, Maximum, Programme, ProgrammeBuilder, SolveOptions, Status
from verinet.solve import Availability, Backend, GurobiBackend, Limits, ScipBackend, choose, first_violation, get
from verinet.solve.factoring import factored

OPTIONS = SolveOptions(time_limit=20.0)


@pytest.fixture(params=["scip", "gurobi"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen = get(request.param)
    if not chosen.probe().usable:
        pytest.skip(chosen.probe().reason)
    return chosen


def rectangle(others: int = 0) -> Programme:
    """Build: maximise the area ``(x + 1) * y`` where ``x + 2 y <= 3``: 2 at x = 1, y = 1."""
    builder = ProgrammeBuilder()
    x, y = builder.variables("x", [0.0], [3.0]), builder.variables("y", [0.0], [3.0])
    area = builder.variables("area", [0.0], [100.0])
    builder.variables("other", np.zeros(others), np.ones(others))
    sides = Expressions.variables(x).shifted(1.0), Expressions.variables(y)
    builder.semantic(Bilinear(area, *sides))
    builder.rows(Expressions.variables(x) + Expressions.variables(y).scaled(2.0), upper=3.0)
    builder.objective = -Expressions.variables(area)
    return builder.build()


def test_the_largest_rectangle(backend: Backend) -> None:
    outcome = backend.solve(rectangle(), OPTIONS)
    assert outcome.status is Status.OPTIMAL, outcome.reason
    assert outcome.objective == pytest.approx(-2.0, abs=1e-5)
    assert outcome.bound <= -2.0 + 1e-6
    assert outcome.values is not None
    assert outcome.values == pytest.approx([1.0, 1.0, 2.0], abs=1e-2)


def test_start_cutoff_and_progress(backend: Backend) -> None:
    reports = []
    options = replace(OPTIONS, start=np.array([1.0, 1.0, 2.0]), on_progress=reports.append)
    assert backend.solve(rectangle(), options).objective == pytest.approx(-2.0, abs=1e-5)
    assert all(report.values is None or len(report.values) == 3 for report in reports)
    assert backend.solve(rectangle(), replace(OPTIONS, cutoff=-2.1)).status is Status.INFEASIBLE


def test_products_that_cannot_be(backend: Backend) -> None:
    builder = ProgrammeBuilder.extending(rectangle())
    builder.rows(Expressions.variables([2]), lower=2.5)
    assert backend.solve(builder.build(), OPTIONS).status is Status.INFEASIBLE


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=6, max_size=6))
def test_products_of_integers_are_found_by_trying(numbers: list[int]) -> None:
    """Minimise ``(a x + b y + c) (d x + e) + f y`` over a grid."""
    a, b, c, d, e, f = numbers
    builder = ProgrammeBuilder()
    x = builder.variables("x", [-2.0, -2.0], [2.0, 2.0])
    z = builder.variables("z", [-1000.0], [1000.0])
    left = Expressions.rows(np.array([[a, b]], dtype=float), x, np.array([float(c)]))
    builder.semantic(Bilinear(z, left, Expressions.rows(np.array([[d]], dtype=float), x[:1], np.array([float(e)]))))
    builder.objective = Expressions.rows(np.array([[1.0, float(f)]]), [z[0], x[1]], np.zeros(1))
    programme = replace(builder.build(), integer=np.array([True, True, False]))
    least = min((a * u + b * v + c) * (d * u + e) + f * v for u in range(-2, 3) for v in range(-2, 3))
    for name in ("scip", "gurobi"):
        if get(name).probe().usable:
            outcome = get(name).solve(programme, OPTIONS)
            assert outcome.status is Status.OPTIMAL, outcome.reason
            assert outcome.objective == pytest.approx(least, abs=1e-5)


def test_others_refuse_and_name_the_remedy() -> None:
    for name in ("highs", "cpsat"):
        with pytest.raises(UnsupportedModelError, match=f"{name} takes linear rows.*Bilinear.*use the solver scip"):
            get(name).check(rectangle())


def test_z3_multiplies_exactly() -> None:
    builder = ProgrammeBuilder()
    x = builder.variables("x", [0.0, 0.0, 0.0], [9.0, 9.0, 9.0])
    one, two, three = (Expressions.variables([j]) for j in x)
    builder.semantic(Bilinear(x[2:], one, two))
    builder.rows(Expressions.stack([one, three]), [2.0, 6.0], [2.0, 6.0])
    outcome = get("z3").solve(builder.build(), OPTIONS)
    assert outcome.status is Status.OPTIMAL, outcome.reason
    assert outcome.values is not None
    assert outcome.values.tolist() == [2.0, 3.0, 6.0]
    builder.rows(two, upper=2.5)
    assert get("z3").solve(builder.build(), OPTIONS).status is Status.INFEASIBLE


def test_a_root_is_no_rational_point() -> None:
    builder = ProgrammeBuilder()
    x = builder.variables("x", [0.0, 2.0], [9.0, 2.0])
    builder.semantic(Bilinear(x[1:], Expressions.variables(x[:1]), Expressions.variables(x[:1])))
    outcome = get("z3").solve(builder.build(), OPTIONS)
    assert outcome.status is Status.UNKNOWN
    assert "irrational" in outcome.reason


def test_exact_evaluation() -> None:
    programme = rectangle()
    assert first_violation(programme, [Fraction(1), Fraction(1), Fraction(2)]) == ""
    near = [Fraction(1), Fraction(1), 2 + Fraction(1, 10**30)]
    assert first_violation(programme, near) == "Bilinear 0"


def test_lowering_keeps_products() -> None:
    builder = ProgrammeBuilder.extending(rectangle())
    y = builder.variables("relu", [0.0], [3.0])
    builder.semantic(Maximum.relu(y, Expressions.variables([0]).shifted(-1.0), -np.ones(1), np.full(1, 2.0)))
    lowered = lower_programme(builder.build())
    assert [type(constraint) for constraint in lowered.programme.semantic] == [Bilinear]
    assert len(lowered.extend(np.array([2.0, 0.5, 1.5, 1.0]))) == lowered.programme.size
    assert choose(lowered.programme, "scip").backend.solve(lowered.programme, OPTIONS).status is Status.OPTIMAL


def test_factors_that_are_variables_stay() -> None:
    model = factored(rectangle())
    assert (model.results.tolist(), model.left.tolist(), model.right.tolist()) == ([2], [3], [1])
    assert model.programme.names[3:] == ("factor[0]",)
    assert model.extend(np.array([1.0, 1.0, np.nan])).tolist()[3] == 2.0
    plain = linear([1.0])
    assert factored(plain).programme is plain


def test_sizes_have_to_agree() -> None:
    programme = rectangle()
    wrong = Bilinear(np.array([0, 1]), Expressions.variables([0]), Expressions.variables([1]))
    with pytest.raises(InputError, match=r"as many left and right factors as results, found sizes \(2, 1, 1\)"):
        ScipBackend().check(replace(programme, semantic=(wrong,)))


def test_auto_knows_the_licence_for_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GurobiBackend, "is_installed", classmethod(lambda cls: True))
    monkeypatch.setattr(GurobiBackend, "probe", lambda self: Availability(True, "restricted", Limits(2000, 2000, 200)))
    # The factor x + 1 takes a variable too.
    assert choose(rectangle(196)).backend.name == "gurobi"
    choice = choose(rectangle(197))
    assert choice.backend.name == "scip"
    assert "201 variables with 1 products" in choice.reason
    assert "allows 200 and 2000; use the solver scip" in choice.reason


def test_the_real_licence_for_products() -> None:
    gurobi = GurobiBackend()
    if not gurobi.probe().usable or gurobi.probe().limits == Limits():
        pytest.skip("needs a restricted licence")
    assert gurobi.solve(rectangle(196), OPTIONS).status is Status.OPTIMAL
    with pytest.raises(ModelTooLargeError, match="201 variables"):
        gurobi.solve(rectangle(197), OPTIONS)


@pytest.mark.parametrize("constant", [1.0, -1.0])
def test_an_indicator_without_coefficients(backend: Backend, constant: float) -> None:
    builder = ProgrammeBuilder()
    b = builder.binaries("b", 1)
    builder.semantic(Indicator(b, Expressions.constants([constant]), np.array([np.inf])))
    builder.objective = -Expressions.variables(b)
    outcome = backend.solve(builder.build(), OPTIONS)
    assert outcome.objective == pytest.approx(0.0 if constant > 0 else -1.0)
