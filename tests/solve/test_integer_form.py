import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from tests.integer_networks import integer_training
from verinet.encode import lower_programme
from verinet.errors import UnsupportedModelError
from verinet.program import Expressions, Programme, ProgrammeBuilder
from verinet.solve.grid import common_step
from verinet.solve.integer_form import LARGEST_SUM, IntegerForm, integer_form


def least(form: IntegerForm) -> Fraction | None:
    """Return the least objective over all integer points."""
    ranges = [range(low, high + 1) for low, high in zip(form.lower.tolist(), form.upper.tolist(), strict=True)]
    points = (np.array(point, dtype=np.int64) for point in itertools.product(*ranges))
    return min((form.objective(int(form.cost @ point)) for point in points if form.holds(point)), default=None)


@given(st.lists(st.fractions(max_denominator=60), min_size=1, max_size=5))
def test_the_common_step_is_the_largest(values: list[Fraction]) -> None:
    step = common_step(values)
    if step == 0:
        assert not any(values)
        return
    multiples = [value / step for value in values]
    assert all(multiple.denominator == 1 for multiple in multiples)
    assert math.gcd(*(int(multiple) for multiple in multiples)) == 1


def test_the_stored_numbers_count_and_not_the_decimals() -> None:
    # As stored, 0.1 is a little more than a tenth: ten of them exceed 1, which no tolerance can see.
    form = integer_form(linear([-1], [[0.1]], upper=[1.0], box=(0, 20), integer=True))
    assert least(form) == -9
    assert least(integer_form(linear([-1], [[0.125]], upper=[1.0], box=(0, 20), integer=True))) == -8


def test_rows_are_divided_by_their_common_factor() -> None:
    form = integer_form(linear([0.3, 0.3], [[1 / 3, 2 / 3]], lower=[0.5], box=(0, 4), integer=True))
    assert form.matrix.toarray().tolist() == [[1, 2]]
    assert form.row_lower.tolist() == [2]
    assert form.cost.tolist() == [1, 1]
    assert form.unit == Fraction(0.3)


def test_a_single_continuous_variable_moves_between_its_ends() -> None:
    # Minimise t where t >= 3 - 2 x and t >= x - 1.5 and 4 t >= x: the best of x = 0..4 is x = 2 with t = 0.5.
    rows = [[2, 1], [-1, 1], [-1, 4]]
    form = integer_form(linear([0, 1], rows, [3, -1.5, 0], box=[(0, 4), (-np.inf, np.inf)], integer=[True, False]))
    assert form.grid.steps == (1, Fraction(1, 4))
    assert least(form) == Fraction(1, 2)


def test_a_free_variable_without_cost_is_zero() -> None:
    form = integer_form(linear([1, 0], box=[(2, 4), (-np.inf, np.inf)], integer=[True, False]))
    assert (form.lower[1], form.upper[1]) == (0, 0)
    assert least(form) == 2


def test_a_variable_without_cost_may_have_one_side_only() -> None:
    box = [(0, 3), (-np.inf, np.inf)]
    form = integer_form(linear([-1, 0], [[1, 1]], upper=[1.5], box=box, integer=[True, False]))
    assert least(form) == -3


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_activations_of_integer_weights_are_multiples(layers: int, scale: float) -> None:
    inputs = np.array([[1.0, -1.0], [2.0, 1.0], [0.0, 1.0]]) * scale
    training = integer_training(inputs, np.array([1.0, -1.0, 1.0]), hidden=2, layers=layers, step=scale)
    programme = lower_programme(training).programme
    form = integer_form(programme)
    steps = {step for name, step in zip(programme.names, form.grid.steps, strict=True) if name.startswith("h")}
    assert steps <= {0, Fraction(scale), Fraction(2 * scale)}
    # Only the losses are free to move; everything else is decided by the integers.
    assert {programme.names[j].split("[")[0] for j in form.grid.ends} == {"loss"}


def test_a_start_is_met_exactly() -> None:
    programme = linear([0, 1], [[2, 1]], [0.3], box=[(0, 4), (0, np.inf)], integer=[True, False])
    form = integer_form(programme)
    point = form.nearest(np.array([0.0, 0.3000001]))
    assert form.holds(point)
    assert form.objective(int(form.cost @ point)) == Fraction(0.3)


def test_two_continuous_variables_in_a_row_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"multiples of a step, found x0\[0\] and x1\[0\] .* row 0"):
        integer_form(linear([1, 1], [[1, 1]], lower=[1]))


def test_no_binary_is_enough_where_one_case_is_open() -> None:
    # h is a where z = 1 and anything up to 4 where z = 0, so h + g has two loose variables.
    rows = [[-1, 0, 1, 0], [-1, 4, 1, 0], [0, 0, 1, 1]]
    programme = linear(
        [0, 0, 1, 1], rows, [0, -np.inf, 0.5], [np.inf, 4, np.inf],
        box=[(0, 3), (0, 1), (0, 4), (0, 1)], integer=[True, True, False, False],
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="multiples of a step"):
        integer_form(programme)


def test_missing_bounds_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"finite bounds .* x0\[0\]"):
        integer_form(linear([1], box=(0, np.inf), integer=True))
    with pytest.raises(UnsupportedModelError, match="finite bounds"):
        integer_form(linear([-1], box=(0, np.inf)))


@pytest.mark.parametrize("row", [[1e-12, 1.0], [1e30, 1.0], [0.1, 1e-7]])
def test_what_int64_cannot_hold_is_refused(row: list[float]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"coefficients of row 0 need integers up to .* without rounding"):
        integer_form(linear([1, 1], [row], lower=[1.0], integer=True))


@given(
    st.lists(st.floats(-4, 4), min_size=2, max_size=2),
    st.lists(st.floats(-4, 4), min_size=2, max_size=2),
    st.floats(-9, 9),
)
def test_nothing_is_rounded(row: list[float], costs: list[float], side: float) -> None:
    programme = linear(costs, [row], upper=[side], box=(-2, 2), integer=True)
    try:
        form = integer_form(programme)
    except UnsupportedModelError:
        return
    for point in itertools.product(range(-2, 3), repeat=2):
        exact = sum(Fraction(factor) * x for factor, x in zip(row, point, strict=True))
        holds = form.holds(np.array(point) if form.grid.steps == (1, 1) else np.zeros(2, dtype=np.int64))
        assert holds == (exact <= Fraction(side))
        total = sum(Fraction(cost) * x for cost, x in zip(costs, point, strict=True))
        assert form.objective(int(form.cost @ np.array(point))) == total
    reach = abs(form.matrix) @ np.maximum(abs(form.lower), abs(form.upper))
    assert (reach <= LARGEST_SUM).all()


def test_the_cutoff_is_strict() -> None:
    form = integer_form(linear([2], box=(0, 5), integer=True))
    assert least(form.below(0.0)) is None
    assert least(form.below(1e-9)) == 0


def test_repeated_coefficients_add_up_exactly() -> None:
    builder = ProgrammeBuilder()
    x = builder.variables("x", [0.0], [8.0])
    builder.rows(Expressions.variables(x).scaled(2.0) + Expressions.variables(x), lower=6.0)
    builder.objective = Expressions.variables(x)
    assert least(integer_form(whole(builder.build()))) == 2


def whole(programme: Programme) -> Programme:
    """Return the same programme over integers."""
    builder = ProgrammeBuilder.extending(programme)
    builder._integer = [np.ones(programme.size, dtype=bool)]
    return builder.build()
