"""Ideal cuts of ReLUs hold at every feasible point, and are found wherever one is broken."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from verinet.encode import Lowered, ReluCuts, lower_programme
from verinet.program import Expressions, Maximum, ProgrammeBuilder, Rows

WIDTH = 3


def drawn(rng: np.random.Generator, relus: int, *, budget: bool) -> Lowered:
    """Lower random ReLUs over a box, whose signs no bound decides."""
    builder = ProgrammeBuilder()
    low = rng.uniform(-2, 1, WIDTH) * (not budget)
    high = low + rng.uniform(0.5, 3, WIDTH)
    variables = builder.variables("v", low, high)
    a, middle = rng.normal(size=(relus, WIDTH)) * 10.0 ** rng.integers(-3, 4), (low + high) / 2
    if budget:
        c = rng.uniform(0.5, 2, (1, WIDTH))
        side = float((c @ middle)[0])
        builder.rows(Expressions.rows(c, list(variables), np.zeros(1)), upper=side)
        middle = middle * 0.5
    arguments = Expressions.rows(a, list(variables), -a @ middle)
    lower, upper = builder.enclosure(arguments)
    results = builder.variables("h", np.zeros(relus), np.maximum(upper, 0.0))
    builder.semantic(Maximum.relu(results, arguments, lower, upper))
    return lower_programme(builder.build())


def relaxed(rng: np.random.Generator, lowered: Lowered) -> np.ndarray:
    """Draw a point of the box that keeps the budget, with binaries that are fractions."""
    lower, upper = lowered.programme.lower, lowered.programme.upper
    point = rng.uniform(lower, upper)
    point[:WIDTH] = lower[:WIDTH] + (point - lower)[:WIDTH] * rng.uniform(0, 0.5)
    return point


def excess(cuts: Rows, point: list[Fraction]) -> list[Fraction]:
    """Return by how much rows are broken, exactly."""
    matrix = cuts.expressions.matrix.toarray()
    return [
        sum((Fraction(c) * x for c, x in zip(row, point, strict=False)), Fraction(0)) - Fraction(side)
        for row, side in zip(matrix, cuts.upper, strict=True)
    ]


def hull(lowered: Lowered, relu: int, point: np.ndarray) -> float:
    """Return the largest result over a point and its binary in the convex hull, by a linear programme in the share."""
    programme, relus = lowered.programme, lowered.relus
    a, b = relus.arguments.widened(WIDTH).matrix.toarray()[relu], relus.arguments.constant[relu]
    v, z = point[:WIDTH], point[relus.binaries[relu]]
    lower, upper = programme.lower[:WIDTH], programme.upper[:WIDTH]
    low = np.maximum(z * lower, v - (1 - z) * upper)
    high = np.minimum(z * upper, v - (1 - z) * lower)
    rows, sides = np.zeros((0, WIDTH)), np.zeros(0)
    matrix = programme.matrix.toarray()
    own = np.flatnonzero((matrix[:, WIDTH:] == 0).all(axis=1))
    for c, side in zip(matrix[own, :WIDTH], programme.rows.upper[own], strict=True):
        rows = np.vstack([rows, c, -c])
        sides = np.concatenate([sides, [side * z, side * (1 - z) - c @ v]])
    found = linprog(-a, rows, sides, bounds=np.column_stack([low, np.maximum(low, high)]))
    assert found.status == 0
    return -float(found.fun) + b * z


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), budget=st.booleans(), wild=st.booleans())
def test_cuts_hold_at_every_feasible_point(seed: int, budget: bool, wild: bool) -> None:
    rng = np.random.default_rng(seed)
    lowered = drawn(rng, 4, budget=budget)
    relus, programme = lowered.relus, lowered.programme
    cuts = ReluCuts.of(lowered)
    every = np.arange(4)
    shifts = rng.normal(size=4) * 10 if wild and budget else np.zeros(4)
    found = [cuts.separate(relaxed(rng, lowered), 1e-6) for _ in range(5)]
    found.append(cuts.rows(every, shifts, rng.random((4, WIDTH)) < 0.5))
    corners = list(product(*zip(programme.lower[:WIDTH], programme.upper[:WIDTH], strict=True)))
    side = programme.rows.upper[0] if budget else np.inf
    first = programme.matrix.toarray()[0, :WIDTH]
    for corner in (*corners, *rng.uniform(programme.lower[:WIDTH], programme.upper[:WIDTH], (10, WIDTH))):
        v = [Fraction(x) for x in corner]
        used = sum(Fraction(c) * x for c, x in zip(first, v, strict=True))
        if budget and used > Fraction(side):
            # Towards the corner of least values, zero, until the budget is spent to the last digit.
            v = [x * Fraction(side) / used for x in v]
        point = [*v, *[Fraction(0)] * (programme.size - WIDTH)]
        for relu in every:
            row = relus.arguments[[relu]].widened(WIDTH)
            value = sum((Fraction(c) * x for c, x in zip(row.matrix.toarray()[0], v, strict=True)), Fraction(0))
            value += Fraction(row.constant[0])
            point[relus.results[relu]] = max(value, Fraction(0))
            point[relus.binaries[relu]] = Fraction(int(value > 0))
        assert all(amount <= 0 for rows in found for amount in excess(rows, point))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), budget=st.booleans())
def test_a_cut_is_found_exactly_where_the_hull_is_left(seed: int, budget: bool) -> None:
    rng = np.random.default_rng(seed)
    lowered = drawn(rng, 2, budget=budget)
    point, cuts = relaxed(rng, lowered), ReluCuts.of(lowered)
    for relu in range(2):
        most, scale = hull(lowered, relu, point), lowered.programme.upper[lowered.relus.results[relu]] + 1e-3
        for factor in (-1e-3, 1e-3):
            moved = point.copy()
            moved[lowered.relus.results] = -1e9
            moved[lowered.relus.results[relu]] = most + factor * scale
            rows = cuts.separate(moved, 1e-5 * scale)
            assert rows.expressions.size == (factor > 0)
            assert all(amount > 0 for amount in excess(rows, [Fraction(x) for x in moved]))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_a_cut_is_found_wherever_one_of_all_subsets_is_broken(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lowered = drawn(rng, 1, budget=False)
    relus, point = lowered.relus, relaxed(rng, lowered)
    a, b = relus.arguments.widened(WIDTH).matrix.toarray()[0], relus.arguments.constant[0]
    v, z = point[:WIDTH], point[relus.binaries[0]]
    lower, upper = lowered.programme.lower[:WIDTH], lowered.programme.upper[:WIDTH]
    near = a * (v - np.where(a > 0, lower, upper) * (1 - z))
    far = a * np.where(a > 0, upper, lower) * z
    least = min(np.where(inside, near, far).sum() + b * z for inside in product([False, True], repeat=WIDTH))
    result = point[relus.results[0]]
    scale = lowered.programme.upper[relus.results[0]]
    if abs(result - least) > 1e-6 * scale:
        assert ReluCuts.of(lowered).separate(point, 1e-7 * scale).expressions.size == (result > least)


def test_only_maxima_with_zero_that_no_bound_decides_are_relus() -> None:
    builder = ProgrammeBuilder()
    v = builder.variables("v", np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
    both = Expressions.variables(v)
    infinite = np.full(2, np.inf)
    builder.semantic(Maximum.relu(builder.variables("h", np.zeros(2), np.full(2, 2.0)), both, -infinite, infinite))
    larger = builder.variables("m", np.array([-2.0]), np.array([2.0]))
    two = Expressions.stack([both[[0]], both[[0]].scaled(-1.0)])
    builder.semantic(Maximum(larger, two, np.array([0, 2]), -infinite, infinite))
    relus = lower_programme(builder.build()).relus
    assert relus.results.tolist() == [2]
    assert relus.arguments.value(np.array([0.25, 1.5])) == pytest.approx([0.25])


def test_without_relus_there_is_nothing_to_separate() -> None:
    builder = ProgrammeBuilder()
    builder.variables("v", np.zeros(1), np.ones(1))
    assert ReluCuts.of(lower_programme(builder.build())).separate(np.ones(1), 1e-6).expressions.size == 0
