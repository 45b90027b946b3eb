from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import InputError
from verinet.program import (
    Bilinear,
    ExactRow,
    Expressions,
    Indicator,
    Maximum,
    Outcome,
    Product,
    ProgrammeBuilder,
    Semantic,
    SolveOptions,
    Status,
    VariableKind,
)


def small_programme():
    """Build x in [0, 1]^2, y = relu(x_0 - x_1), b binary, with one row and an objective."""
    builder = ProgrammeBuilder()
    x = builder.variables("x", [0.0, 0.0], [1.0, 1.0])
    y = builder.variables("y", [0.0], [np.inf])
    b = builder.binaries("b", 1)
    difference = Expressions.rows(np.array([[1.0, -1.0]]), x, np.zeros(1))
    builder.semantic(Maximum.relu(y, difference, *builder.enclosure(difference)))
    builder.rows(Expressions.variables(x).total(), upper=1.5)
    builder.objective = -Expressions.variables(y)
    return builder, x, y, b


def test_building_a_programme():
    builder, x, y, b = small_programme()
    programme = builder.build()
    assert programme.names == ("x[0]", "x[1]", "y[0]", "b[0]")
    assert programme.size == builder.size == 4
    assert [list(v) for v in (x, y, b)] == [[0, 1], [2], [3]]
    np.testing.assert_array_equal(programme.lower, [0, 0, 0, 0])
    np.testing.assert_array_equal(programme.upper, [1, 1, np.inf, 1])
    np.testing.assert_array_equal(programme.integer, [False, False, False, True])
    np.testing.assert_array_equal(programme.matrix.toarray(), [[1, 1, 0, 0]])
    np.testing.assert_array_equal([programme.rows.lower, programme.rows.upper], [[-np.inf], [1.5]])
    assert programme.exact == ()
    assert programme.binaries == 1
    assert not programme.is_linear
    np.testing.assert_array_equal(programme.objective.value(np.array([0.0, 0.0, 7.0])), [-7])


def test_an_empty_programme():
    programme = ProgrammeBuilder().build()
    assert programme.size == 0
    assert programme.is_linear
    assert programme.matrix.shape == (0, 0)
    np.testing.assert_array_equal(programme.objective.constant, [0])


def test_relu_is_the_maximum_with_zero():
    arguments = Expressions.variables([4, 5])
    relu = Maximum.relu(np.array([7, 8]), arguments, np.array([-1.0, -2.0]), np.array([3.0, 4.0]))
    np.testing.assert_array_equal(relu.offsets, [0, 2, 4])
    np.testing.assert_array_equal(relu.arguments.value(np.array([0, 0, 0, 0, 10.0, 20.0])), [10, 0, 20, 0])
    np.testing.assert_array_equal(relu.lower, [-1, 0, -2, 0])
    np.testing.assert_array_equal(relu.upper, [3, 0, 4, 0])
    np.testing.assert_array_equal(relu.results, [7, 8])


def test_extending_leaves_the_original_alone():
    builder, x, *_ = small_programme()
    half, third = (ExactRow(((int(x[0]), Fraction(1)),), Fraction(-1, n), strict=True) for n in (2, 3))
    builder.exact(half)
    programme = builder.build()
    more = ProgrammeBuilder.extending(programme)
    z = more.variables("z", [-1.0], [2.0], VariableKind.INTEGER)
    more.rows(Expressions.variables(z), 0.0, 1.0)
    more.exact(third)
    more.semantic(Indicator(np.array([3]), Expressions.variables(z), np.array([2.0])))
    more.objective = Expressions.variables(z)
    extended = more.build()
    assert list(z) == [4]
    assert extended.names == (*programme.names, "z[0]")
    assert extended.matrix.shape == (2, 5)
    assert extended.exact == (half, third)
    np.testing.assert_array_equal(extended.integer, [False, False, False, True, True])
    assert [type(s) for s in extended.semantic] == [Maximum, Indicator]
    assert extended.semantic[0] is programme.semantic[0]
    again = builder.build()
    for untouched in (programme, again):
        assert untouched.size == 4
        assert untouched.exact == (half,)
        assert len(untouched.semantic) == 1
        assert untouched.matrix.shape == (1, 4)
        assert untouched.objective.columns == 3


def test_with_objective_changes_nothing_else():
    programme = small_programme()[0].build()
    other = programme.with_objective(Expressions.variables([0]))
    assert other.rows is programme.rows
    assert other.semantic == programme.semantic
    assert other.objective.columns == 1


@given(st.lists(st.integers(0, 3), max_size=5))
def test_indices_run_on(sizes):
    builder = ProgrammeBuilder()
    indices = [builder.variables(f"v{k}", np.full(n, -k), np.full(n, k)) for k, n in enumerate(sizes)]
    assert [i for part in indices for i in part] == list(range(sum(sizes)))
    for k, part in enumerate(indices):
        lower, upper = builder.bounds(part)
        np.testing.assert_array_equal([lower, upper], [[-k] * sizes[k], [k] * sizes[k]])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda b: b.variables("v", [0, 2], [1, 1]), r"v\[1\] needs lower <= upper, found lower=2.0 upper=1.0"),
        (lambda b: b.variables("v", [np.nan], [1]), r"v\[0\] needs lower <= upper"),
        (lambda b: b.variables("v", [0], [np.nan]), r"v\[0\] needs lower <= upper"),
        (lambda b: b.variables("v", [0, 0, 0], [1]), "as many lower as upper bounds"),
        (lambda b: b.rows(Expressions.variables([0]), np.nan), "found NaN"),
        (lambda b: b.rows(Expressions.variables([0]), upper=np.nan), "found NaN"),
        (lambda b: b.rows(Expressions.variables([0]).scaled(np.nan), 0.0), "found NaN"),
        (lambda b: b.rows(Expressions.variables([0]).shifted(np.nan), 0.0), "found NaN"),
        (lambda b: b.rows(Expressions.rows(np.array([[np.inf]]), [0], np.zeros(1)), 0.0), "infin"),
        (lambda b: b.rows(Expressions.variables([0]).shifted(np.inf), 0.0), "infin"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(use, message):
    builder = ProgrammeBuilder()
    builder.variables("x", [0.0], [1.0])
    with pytest.raises(InputError, match=message):
        use(builder)


def test_the_semantic_constraints_are_three():
    assert set(get_args(Semantic)) == {Maximum, Product, Indicator, Bilinear}


# ----------------------------------------------------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("objective", "bound", "gap"),
    [(10.0, 9.0, 0.1), (-10.0, -11.0, 0.1), (None, 9.0, np.inf), (1.0, -np.inf, np.inf), (1.0, 1.0 + 1e-12, 0.0)],
)
def test_the_gap_is_relative_to_the_objective(objective, bound, gap):
    outcome = Outcome(Status.UNKNOWN, "solver 1.0", 0.0, objective=objective, bound=bound)
    assert outcome.gap == pytest.approx(gap)


def test_an_outcome_claims_nothing_by_default():
    outcome = Outcome(Status.UNKNOWN, "solver 1.0", 0.0, reason="time limit")
    assert outcome.bound == -np.inf
    assert outcome.values is None


def test_each_solve_can_be_cancelled_alone():
    first, second = SolveOptions(), SolveOptions()
    first.cancel.set()
    assert not second.cancel.is_set()
