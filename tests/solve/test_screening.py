from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from verinet.errors import InputError, RejectedRowError, UnsupportedModelError
from verinet.program import Expressions, Maximum, Product, Programme, ProgrammeBuilder
from verinet.solve import check_numerics
from verinet.solve.linear_form import linear_form
from verinet.solve.screening import check_kept, check_structure


@pytest.mark.parametrize("row", [[1.0, 1e9], [1e-9, 1.0], [1e-5, 1e4], [0.0, 1e9], [0.0, 0.0]])
def test_moderate_ranges_pass(row: list[float]) -> None:
    check_numerics(linear([1, 1], [row], lower=[1.0]))


@pytest.mark.parametrize("row", [[1.0, 1.1e9], [1e-6, 1e4], [1e13, -1e13], [1e-10, 0.0], [5e-324, 1e300]])
def test_wide_ranges_are_refused_and_named(row: list[float]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"coefficients of row 1 .*exact engine"):
        check_numerics(linear([1, 1], [[1.0, 1.0], row], lower=[1.0, 1.0]))


def test_the_objective_is_screened_too() -> None:
    with pytest.raises(UnsupportedModelError, match="objective 0 range from 1e-06 to 1e\\+06"):
        check_numerics(linear([1e-6, 1e6]))


def test_sides_and_bounds_are_screened() -> None:
    with pytest.raises(UnsupportedModelError, match="the side of row 0"):
        check_numerics(linear([1], [[1]], lower=[-1e10]))
    with pytest.raises(UnsupportedModelError, match="the bound of variable 0"):
        check_numerics(linear([1], box=(0.0, 1e20)))
    with pytest.raises(UnsupportedModelError, match="the bound of variable 0"):
        check_numerics(linear([1], box=(0.0, 1e10), integer=True))
    check_numerics(linear([1], [[1]], lower=[-np.inf], box=(0.0, np.inf)))


def test_what_a_solver_would_drop_is_named() -> None:
    programme = linear([1, 1], [[1.0, 1.0], [1e-12, 1.0]], lower=[1.0, 1.0])
    check_kept(programme, "it", 1e-13, 1e15)
    with pytest.raises(RejectedRowError, match="it drops the coefficient 1e-12 of row 1"):
        check_kept(programme, "it", 1e-12, 1e15)
    with pytest.raises(RejectedRowError, match="it refuses the coefficient 1 of row 0"):
        check_kept(programme, "it", 0.0, 1.0)


def test_semantic_constraints_must_make_sense() -> None:
    none, x = np.array([np.inf]), Expressions.variables([0])
    wrong = [
        Maximum(np.array([0]), x, np.array([0, 0]), -none, none),
        Maximum(np.array([7]), x, np.array([0, 1]), -none, none),
        Product(np.array([0]), np.array([0]), x, -none, none),
    ]
    for constraint in wrong:
        builder = ProgrammeBuilder()
        builder.variables("x", [0.0], [1.0])
        builder.semantic(constraint)
        with pytest.raises(InputError, match="constraint 0"):
            check_structure(builder.build())


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, numbers)
def test_constants_move_to_the_sides_outward(constant: float, first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    form = linear_form(one_row(constant, low, high))
    if low < high:
        assert Fraction(float(form.lower[0])) <= Fraction(low) - Fraction(constant)
        assert Fraction(float(form.upper[0])) >= Fraction(high) - Fraction(constant)
    else:
        assert form.is_equation[0]
    assert form.lower[0] == pytest.approx(low - constant, rel=1e-15, abs=1e-300)
    assert form.upper[0] == pytest.approx(high - constant, rel=1e-15, abs=1e-300)


def one_row(constant: float, low: float, high: float) -> Programme:
    builder = ProgrammeBuilder()
    x = builder.variables("x", [0.0], [1.0])
    builder.rows(Expressions.variables(x).shifted(constant), low, high)
    return builder.build()
