"""A programme written in integers has the same optimum, to the last digit, or is refused."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import INFINITY, linear
from verinet.encode import lower_programme
from verinet.errors import UnsupportedModelError
from verinet.program import (
    Expressions,
    Maximum,
    Product,
    Programme,
    ProgrammeBuilder,
    SolveOptions,
    Status,
    VariableKind,
)
from verinet.solve import get
from verinet.solve.integer_form import LARGEST_SUM, IntegerForm, integer_form


def exact_least(form: IntegerForm) -> Fraction | None:
    """Return the least objective over all integer points, by trying every one."""
    best: Fraction | None = None
    ranges = [range(int(low), int(high) + 1) for low, high in zip(form.lower, form.upper, strict=True)]
    for point in itertools.product(*ranges):
        k = np.array(point, dtype=np.int64)
        if form.holds(k):
            value = form.objective(int(form.cost @ k))
            best = value if best is None else min(best, value)
    return best


def relu_of_integers(inputs: list[float], target: float) -> Programme:
    """Minimise ``|relu(w . inputs) - target|`` over integer weights from -2 to 2: training with one sample."""
    builder, size = ProgrammeBuilder(), len(inputs)
    w = builder.variables("w", np.full(size, -2.0), np.full(size, 2.0), VariableKind.INTEGER)
    reach = 2.0 * float(np.abs(inputs).sum())
    y = builder.variables("y", [0.0], [max(reach, 1.0)])
    loss = builder.variables("loss", [0.0], [INFINITY])
    before = Expressions.rows(np.array([inputs]), w, np.zeros(1))
    builder.semantic(Maximum.relu(y, before, np.array([-reach]), np.array([reach])))
    error = Expressions.variables(y) - Expressions.constants([target])
    builder.rows(Expressions.variables(loss) - error, lower=0.0)
    builder.rows(Expressions.variables(loss) + error, lower=0.0)
    builder.objective = Expressions.variables(loss)
    return lower_programme(builder.build()).programme


quarter = st.integers(-8, 8).map(lambda k: k / 4)


@settings(max_examples=12)
@given(st.lists(quarter, min_size=1, max_size=3), quarter)
def test_training_of_a_relu_is_exact(inputs: list[float], target: float) -> None:
    programme = relu_of_integers(inputs, target)
    choices = itertools.product(range(-2, 3), repeat=len(inputs))
    expected = min(abs(max(float(np.dot(w, inputs)), 0.0) - target) for w in choices)
    highs = get("highs").solve(programme, SolveOptions(time_limit=20.0))
    assert highs.objective == pytest.approx(expected, abs=1e-6)
    form = integer_form(programme)
    best = {}
    for w in itertools.product(range(-2, 3), repeat=len(inputs)):
        value = float(np.dot(w, inputs))
        start = completed(programme, w, max(value, 0.0), value > 0, abs(max(value, 0.0) - target))
        k = form.nearest(start)
        assert form.holds(k), (w, start, form.values(k))
        best[w] = form.objective(int(form.cost @ k))
    assert min(best.values()) == Fraction(expected)


def completed(programme: Programme, weights: tuple[int, ...], y: float, on: bool, loss: float) -> np.ndarray:
    """Return a point of the lowered programme, whose binaries, if any, follow the first variables."""
    rest = programme.size - len(weights) - 2
    return np.array([*weights, y, loss, *[float(on)] * rest])


@settings(max_examples=20)
@given(st.data())
def test_mixed_programmes_agree_with_the_relaxation_of_their_continuous_part(data: st.DataObject) -> None:
    """Continuous variables that never share a row have optimal end points on a grid."""
    whole, loose = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    number, factor = st.integers(-4, 4), st.sampled_from([-3, -2, -1, 1, 2, 3])
    rows, sides = [], []
    for j in range(loose):
        for _ in range(data.draw(st.integers(1, 2))):
            row = [data.draw(number) for _ in range(whole)] + [0] * loose
            row[whole + j] = data.draw(factor)
            rows.append(row)
            sides.append(data.draw(quarter))
    costs = [data.draw(number) for _ in range(whole + loose)]
    box = [(-1, 2)] * whole + [(-2.5, 3.25)] * loose
    programme = linear(costs, rows, lower=sides, box=box, integer=[True] * whole + [False] * loose)
    form = integer_form(programme)
    points = np.prod([float(high - low + 1) for low, high in zip(form.lower, form.upper, strict=True)])
    assume(points <= 3_000)
    outcome = get("highs").solve(programme, SolveOptions(time_limit=20.0))
    least = exact_least(form)
    if least is None:
        assert outcome.status is Status.INFEASIBLE
    else:
        assert outcome.status is Status.OPTIMAL
        assert float(least) == pytest.approx(outcome.objective, abs=1e-6)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=3), st.integers(0, 60), st.data())
def test_rows_are_scaled_and_never_rounded(numerators: list[int], exponent: int, data: st.DataObject) -> None:
    """A point holds in integers exactly if it holds in rationals."""
    row = [float(k) * 2.0**-exponent for k in numerators]
    side = data.draw(st.floats(-4, 4)) * 2.0**-exponent
    form = integer_form(linear([1] * len(row), [row], lower=[side], box=(-3, 3), integer=True))
    for point in itertools.product((-3, -1, 0, 2), repeat=len(row)):
        exact = sum((Fraction(a) * x for a, x in zip(row, point, strict=True)), Fraction(0)) >= Fraction(side)
        assert form.holds(np.array(point, dtype=np.int64)) is exact


@given(st.floats(-50, 50), st.lists(quarter, min_size=2, max_size=2), quarter)
def test_a_cutoff_keeps_exactly_what_is_below_it(cutoff: float, costs: list[float], offset: float) -> None:
    form = integer_form(linear(costs, box=(-2, 2), integer=True, offset=offset))
    limited = form.below(cutoff)
    for point in itertools.product(range(-2, 3), repeat=2):
        k = np.array(point, dtype=np.int64)
        objective = Fraction(offset) + sum(Fraction(c) * x for c, x in zip(costs, point, strict=True))
        below = any(costs) and objective < Fraction(cutoff)
        assert limited.holds(k) is (below or not any(costs))


def test_decimals_that_need_too_many_digits_are_refused() -> None:
    programme = linear([1, 1], [[0.1, 1e3]], lower=[1.0], box=(0, 10), integer=True)
    with pytest.raises(UnsupportedModelError, match=r"row 0 need integers up to 2\^\d+ without rounding"):
        integer_form(programme)
    assert (
        integer_form(linear([1, 1], [[0.125, 1e3]], lower=[1.0], box=(0, 10), integer=True)).matrix.data.max() == 8000
    )


def test_large_bounds_are_refused_and_not_wrapped_around() -> None:
    for reach in (2.0**61, 2.0**63, 2.0**64, 1e300):
        with pytest.raises(UnsupportedModelError, match="without rounding"):
            integer_form(linear([1], box=(0, reach), integer=True))
    assert integer_form(linear([1], box=(0, float(LARGEST_SUM)), integer=True)).upper[0] == LARGEST_SUM


@pytest.mark.parametrize(
    ("programme", "message"),
    [
        (linear([-1, -1], [[1, 1]], upper=[1.5]), r"x0\[0\] and x1\[0\] together in row 0"),
        (linear([1], box=(0, INFINITY), integer=True), "finite bounds of every variable, found none for x0"),
        (linear([1], box=(-INFINITY, 0)), "finite bounds of every variable, found none for x0"),
    ],
    ids=["two in a row", "integer without a bound", "continuous without a bound"],
)
def test_what_cannot_be_expressed_is_refused_in_a_sentence(programme: Programme, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        integer_form(programme)


def test_a_product_of_a_weight_and_an_integer_expression_stays_on_a_grid() -> None:
    builder = ProgrammeBuilder()
    w, x = builder.binaries("w", 1), builder.variables("x", [-3.0], [5.0], VariableKind.INTEGER)
    z = builder.variables("z", [-9.0], [9.0])
    half = Expressions.rows(np.array([[0.5]]), x, np.array([0.25]))
    builder.semantic(Product(z, w, half, np.array([-1.25]), np.array([2.75])))
    builder.objective = Expressions.variables(z)
    form = integer_form(lower_programme(builder.build()).programme)
    assert form.grid.steps[z[0]] == Fraction(1, 4)
