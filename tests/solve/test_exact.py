"""Exactness: the rational evaluator, and Z3 against exhaustive search on constraints by meaning."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from verinet.errors import UnsupportedModelError
from verinet.program import (
    ExactRow,
    Expressions,
    Indicator,
    Maximum,
    Product,
    Programme,
    ProgrammeBuilder,
    SolveOptions,
    Status,
    VariableKind,
)
from verinet.solve import ExactOutcome, Z3Backend, exact_values, first_violation

NONE = np.array([np.inf])
OPTIONS = SolveOptions(time_limit=20.0)

pytestmark = pytest.mark.skipif(not Z3Backend.is_installed(), reason="z3-solver is not installed")


def ask(programme: Programme, trust_bounds: bool = False, **changes: object) -> ExactOutcome:
    return Z3Backend(trust_bounds).solve_exact(programme, SolveOptions(**{"time_limit": 20.0, **changes}))


class TestEvaluation:
    def test_values_are_exact(self) -> None:
        expressions = Expressions.rows(np.array([[0.1, 1e17]]), [0, 1], np.array([-1e17]))
        assert exact_values(expressions, (Fraction(1, 3), Fraction(1))) == (Fraction(0.1) / 3,)

    def test_violations_are_named(self) -> None:
        builder = ProgrammeBuilder()
        b, x = builder.binaries("b", 1), builder.variables("x", [-1.0], [1.0])
        y, z = builder.variables("y", [-5.0], [5.0]), builder.variables("z", [-5.0], [5.0])
        builder.rows(Expressions.variables(x), upper=0.5)
        builder.exact(ExactRow(((int(x[0]), Fraction(3)),), Fraction(-1), strict=True))
        builder.semantic(Maximum.relu(y, Expressions.variables(x), -NONE, NONE))
        builder.semantic(Product(z, b, Expressions.variables(x), -NONE, NONE))
        builder.semantic(Indicator(b, Expressions.variables(x).shifted(-0.25), NONE))
        programme = builder.build()

        def violation(*point: Fraction | float) -> str:
            return first_violation(programme, [Fraction(value) for value in point])

        quarter, third, tiny = Fraction(1, 4), Fraction(1, 3), Fraction(1, 10**30)
        assert violation(1, quarter, quarter, quarter) == ""
        assert violation(0, -1, 0, 0) == ""
        assert violation(0, 1 + tiny, 1, 0) == "the bounds of x[0]"
        assert violation(0, -1 - tiny, 0, 0) == "the bounds of x[0]"
        assert violation(tiny, 0, 0, 0) == "integrality of b[0]"
        assert violation(0, Fraction(1, 2) + tiny, Fraction(1, 2) + tiny, 0) == "row 0"
        assert violation(0, third, third, 0) == "exact row 0"
        assert violation(0, third - tiny, third - tiny, 0) == ""
        assert violation(0, quarter, quarter + tiny, 0) == "Maximum 0"
        assert violation(1, quarter, quarter, 0) == "Product 0"
        assert violation(1, quarter + tiny, quarter + tiny, quarter + tiny) == "Indicator 0"


class TestExactAnswers:
    def test_the_optimum_is_rational(self) -> None:
        outcome = ask(linear([1, 1], [[3, 1], [1, 3]], lower=[1, 1]))
        assert outcome.objective == Fraction(1, 2)
        assert outcome.values == (Fraction(1, 4), Fraction(1, 4))

    def test_floats_are_read_as_stored(self) -> None:
        outcome = ask(linear([1], [[0.1]], lower=[0.3]))
        assert outcome.objective == Fraction(0.3) / Fraction(0.1)
        assert outcome.objective != 3

    def test_the_float_bound_is_rounded_down(self) -> None:
        outcome = Z3Backend().solve(linear([1], [[3]], lower=[1]), OPTIONS)
        assert Fraction(outcome.bound) <= Fraction(1, 3)
        assert outcome.bound == pytest.approx(1 / 3, rel=1e-15)

    def test_hair_breadths_decide(self) -> None:
        hair = 2.0**-1000
        infeasible = linear([0, 0], [[1, -1], [1, -1]], [0, -np.inf], [np.inf, -hair])
        assert ask(infeasible).status is Status.INFEASIBLE
        assert ask(linear([0, 0], [[1, -1]], [hair], [hair])).status is Status.OPTIMAL

    def test_strict_rational_rows_are_read(self) -> None:
        builder = ProgrammeBuilder()
        x = builder.variables("x", [0.0], [1.0])
        third = Fraction(1, 3)
        builder.exact(ExactRow(((0, Fraction(-1)),), third, strict=True))
        outcome = ask(builder.build())
        assert outcome.values is not None
        assert outcome.values[0] > third
        builder.objective = Expressions.variables(x)
        outcome = ask(builder.build())
        assert outcome.status is Status.UNKNOWN
        assert "infimum" in outcome.reason
        builder.exact(ExactRow(((0, Fraction(1)),), -third))
        assert ask(builder.build()).status is Status.INFEASIBLE

    def test_the_cutoff_is_strict(self) -> None:
        programme = linear([1], [[3]], lower=[1.5])
        assert ask(programme, cutoff=0.5).status is Status.INFEASIBLE
        assert ask(programme, cutoff=0.5 + 2**-50).objective == Fraction(1, 2)

    def test_cancelled(self) -> None:
        options = SolveOptions()
        options.cancel.set()
        outcome = Z3Backend().solve_exact(linear([1] * 3, [[1, 2, 3]], lower=[3], integer=True), options)
        assert outcome.status in (Status.OPTIMAL, Status.UNKNOWN)

    def test_products_need_finite_weights(self) -> None:
        builder = ProgrammeBuilder()
        w = builder.variables("w", [0.0], [np.inf], VariableKind.INTEGER)
        z = builder.variables("z", [0.0], [1.0])
        builder.semantic(Product(z, w, Expressions.constants([1.0]), -NONE, NONE))
        with pytest.raises(UnsupportedModelError, match="finite bounds"):
            ask(builder.build())


class TestMeaning:
    @pytest.mark.parametrize("reach", [3, 31, 32, 1000, 100_000])
    @pytest.mark.parametrize("weight", [-1, 0, 1])
    def test_products_by_cases_and_by_bits(self, reach: int, weight: int) -> None:
        builder = ProgrammeBuilder()
        w = builder.variables("w", [-reach], [reach], VariableKind.INTEGER)
        a, z = builder.variables("a", [-3.0], [3.0]), builder.variables("z", [-1e9], [1e9])
        builder.semantic(Product(z, w, Expressions.variables(a).shifted(0.5), -NONE, NONE))
        builder.objective = -Expressions.variables(z)
        assert ask(builder.build()).objective == Fraction(-7 * reach, 2)
        chosen = weight * (reach - 1)
        builder.rows(Expressions.variables(w), chosen, chosen)
        assert ask(builder.build()).objective == min(-Fraction(7, 2) * chosen, Fraction(5, 2) * chosen)

    @pytest.mark.parametrize("trust", [False, True])
    def test_bounds_of_arguments_are_trusted_only_on_request(self, trust: bool) -> None:
        builder = ProgrammeBuilder()
        x, y = builder.variables("x", [-2.0], [1.0]), builder.variables("y", [-9.0], [9.0])
        # The lower bound 0 is wrong: it says that the unit is always active.
        builder.semantic(Maximum.relu(y, Expressions.variables(x), np.zeros(1), np.ones(1)))
        builder.objective = Expressions.variables(y)
        outcome = ask(builder.build(), trust_bounds=trust)
        if trust:
            assert outcome.status is Status.UNKNOWN
            assert "violates Maximum 0" in outcome.reason
        else:
            assert outcome.objective == 0

    @settings(max_examples=40)
    @given(data=st.data(), trust=st.booleans())
    def test_agrees_with_exhaustive_search(self, data: st.DataObject, trust: bool) -> None:
        """All variables integer, so that trying every point decides; the trusted bounds are the true ones."""
        number = st.integers(-3, 3)
        builder = ProgrammeBuilder()
        w = builder.variables("w", [-1, 0], [1, 1], VariableKind.INTEGER)
        results = builder.variables("r", [-30] * 2, [30] * 2, VariableKind.INTEGER)
        arguments = [data.draw(st.tuples(number, number, number)) for _ in range(data.draw(st.integers(1, 3)))]
        numbers = np.array(arguments, dtype=float)
        affine = Expressions.rows(numbers[:, :2], w, numbers[:, 2])
        lower, upper = affine.enclosure(*builder.all_bounds())
        builder.semantic(Maximum(results[:1], affine, np.array([0, len(arguments)]), lower, upper))
        builder.semantic(Product(results[1:], w[:1], Expressions.variables(results[:1]), -NONE, NONE))
        limit, active = data.draw(number), data.draw(st.booleans())
        builder.semantic(Indicator(w[1:], Expressions.variables(results[1:]).shifted(limit), NONE, active))
        costs = np.array([[data.draw(number) for _ in range(4)]], dtype=float)
        builder.objective = Expressions.rows(costs, np.arange(4), np.zeros(1))
        best = None
        for first, second in itertools.product((-1, 0, 1), (0, 1)):
            largest = max(p * first + q * second + c for p, q, c in arguments)
            product = first * largest
            if second == active and product + limit > 0:
                continue
            value = int(costs[0] @ [first, second, largest, product])
            best = value if best is None else min(best, value)
        outcome = ask(builder.build(), trust_bounds=trust)
        if best is None:
            assert outcome.status is Status.INFEASIBLE
        else:
            assert outcome.status is Status.OPTIMAL
            assert outcome.objective == best
