"""Steps: for which continuous variables multiples of a rational number are enough, proved from the rows.

An integer solver can decide a programme with continuous variables if some optimum, should there be any, lies on a grid.
Two arguments prove it, both in rational arithmetic on the numbers as stored.

1. *Pinned variables.* If a variable equals, in every case of a binary, or of binaries of which exactly one is 1, an
   affine expression of variables that have steps already, then it has a step too: that of its expressions. Equations
   are the case without a binary. So the big-M rows of a ReLU, of a maximum and of a product pass integrality on, layer
   by layer.
2. *End points.* If no row holds two of the variables that are left, then for any values of the others each of them
   moves in an interval of its own, and one end of it is optimal. Losses are of this kind.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import UnsupportedModelError
from verinet.program import Expressions, Programme

__all__ = ["ExactSide", "Grid", "common_step", "exact_terms", "find_grid", "linear_rows"]

Terms = Mapping[int, Fraction]

OTHER_SOLVERS = "use the solver highs or scip"


@dataclass(frozen=True)
class ExactSide:
    """``lower <= sum of terms <= upper`` in rationals; None where there is no side.

    Parameters
    ----------
    terms : mapping of variable to nonzero Fraction
    lower, upper : Fraction or None
    """

    terms: Terms
    lower: Fraction | None
    upper: Fraction | None


@dataclass(frozen=True)
class Grid:
    """Every variable is a multiple of its step, between finite bounds.

    Parameters
    ----------
    steps : tuple of Fraction, length variables
        Zero for a variable that is zero.
    lower, upper : tuple of Fraction, length variables
    ends : mapping of variable to bool
        The variables of the second argument: True if its upper end is optimal, else its lower one.
    """

    steps: tuple[Fraction, ...]
    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]
    ends: Mapping[int, bool]


def exact_terms(expressions: Expressions) -> list[dict[int, Fraction]]:
    """Return the coefficients of each expression, repeated ones added up exactly."""
    matrix, rows = expressions.matrix, []
    starts, columns, data = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    for begin, end in itertools.pairwise(starts):
        terms: dict[int, Fraction] = {}
        for column, value in zip(columns[begin:end], data[begin:end], strict=True):
            number = Fraction(value)
            terms[column] = terms[column] + number if column in terms else number
        rows.append({column: value for column, value in terms.items() if value})
    return rows


def linear_rows(programme: Programme) -> tuple[ExactSide, ...]:
    """Return the rows with their constants moved to the sides, exactly."""
    rows = programme.rows
    constants = [Fraction(value) for value in rows.expressions.constant.tolist()]
    return tuple(
        ExactSide(terms, _minus(lower, constant), _minus(upper, constant))
        for terms, lower, upper, constant in zip(
            exact_terms(rows.expressions), rows.lower.tolist(), rows.upper.tolist(), constants, strict=True
        )
    )


def common_step(values: Iterable[Fraction]) -> Fraction:
    """Return the largest rational of which all values are multiples; zero if all are zero."""
    numbers = tuple(values)
    denominator = math.lcm(*(number.denominator for number in numbers))
    numerators = (number.numerator * (denominator // number.denominator) for number in numbers)
    return Fraction(math.gcd(*numerators), denominator)


def find_grid(programme: Programme, rows: Sequence[ExactSide], costs: Terms) -> Grid:
    """Prove that multiples of steps are enough, and how far the variables reach.

    Parameters
    ----------
    programme : Programme
        Without semantic constraints.
    rows : sequence of ExactSide
        Its rows.
    costs : mapping of variable to Fraction
        Its objective.

    Returns
    -------
    Grid

    Raises
    ------
    UnsupportedModelError
        If neither argument covers a continuous variable, or a variable has no finite bounds.

    Notes
    -----
    Soundness: the programme has a feasible point if and only if it has one on the grid, and the least objectives are
    the same.
    """
    search = _Search(programme, rows)
    search.pin()
    return search.grid(costs)


class _Search:
    def __init__(self, programme: Programme, rows: Sequence[ExactSide]) -> None:
        self.names = programme.names
        self.rows = rows
        self.lower = [_minus(value, Fraction(0)) for value in programme.lower.tolist()]
        self.upper = [_minus(value, Fraction(0)) for value in programme.upper.tolist()]
        binary = programme.integer & (programme.lower >= 0) & (programme.upper <= 1)
        self.binaries = set(np.flatnonzero(binary).tolist())
        self.steps: dict[int, Fraction] = {}
        for j, (integer, low, high) in enumerate(zip(programme.integer.tolist(), self.lower, self.upper, strict=True)):
            if integer:
                self.steps[j] = Fraction(1)
            elif low is not None and low == high:
                self.steps[j] = abs(low)
        self.open = [sum(j not in self.steps for j in row.terms) for row in rows]
        self.rows_of: dict[int, list[int]] = {j: [] for j in range(programme.size) if j not in self.steps}
        self.groups_of: dict[int, list[tuple[int, ...]]] = {}
        for number, row in enumerate(rows):
            self._enter(number, row)

    def _enter(self, number: int, row: ExactSide) -> None:
        for j in row.terms:
            if j in self.rows_of:
                self.rows_of[j].append(number)
        exactly_one = row.lower == row.upper == 1 and all(value == 1 for value in row.terms.values())
        if exactly_one and self.binaries.issuperset(row.terms):
            for j in row.terms:
                self.groups_of.setdefault(j, []).append(tuple(row.terms))

    def pin(self) -> None:
        """Apply the first argument as long as it finds anything."""
        waiting = deque(self.rows_of)
        while waiting:
            variable = waiting.popleft()
            step = None if variable in self.steps else self._pinned_step(variable)
            if step is None:
                continue
            self.steps[variable] = step
            for number in self.rows_of[variable]:
                self.open[number] -= 1
                if self.open[number] == 1:
                    waiting.extend(j for j in self.rows[number].terms if j not in self.steps)

    def _pinned_step(self, variable: int) -> Fraction | None:
        """Return a variable's step if it is pinned in every case of some binary or of some group of binaries."""
        rows = [self.rows[number] for number in self.rows_of[variable] if self.open[number] == 1]
        at_least, at_most = self._sides(variable, rows)
        steps: dict[tuple[int, int], Fraction] = {}
        for low, high in itertools.product(at_least, at_most):
            difference = _difference(low, high)
            if not difference and low.constant == high.constant:
                return self._step_of(low)
            if len(difference) == 1 and self.binaries.issuperset(difference):
                switch = difference[0]
                for value in (0, 1):
                    constant = low.constant_where(switch, value)
                    if constant == high.constant_where(switch, value):
                        steps[switch, value] = self._step_of(low.without(switch, constant))
        cases: list[tuple[tuple[int, int], ...]] = [((switch, 0), (switch, 1)) for switch, _ in steps]
        cases += [tuple((j, 1) for j in group) for switch, _ in steps for group in self.groups_of.get(switch, ())]
        complete = (case for case in cases if all(key in steps for key in case))
        return next((common_step(steps[key] for key in case) for case in complete), None)

    def _sides(self, variable: int, rows: Iterable[ExactSide]) -> tuple[list["_Affine"], list["_Affine"]]:
        """Solve bounds and rows for one variable: the expressions that it is at least and at most."""
        at_least = [_Affine({}, bound) for bound in (self.lower[variable],) if bound is not None]
        at_most = [_Affine({}, bound) for bound in (self.upper[variable],) if bound is not None]
        for row in rows:
            factor = row.terms[variable]
            # Most factors are 1 or -1, and a change of sign costs much less than a quotient.
            if abs(factor) == 1:
                rest = {j: -value if factor > 0 else value for j, value in row.terms.items() if j != variable}
            else:
                rest = {j: -value / factor for j, value in row.terms.items() if j != variable}
            for side, ends in ((row.lower, (at_least, at_most)), (row.upper, (at_most, at_least))):
                if side is not None:
                    ends[factor < 0].append(_Affine(rest, side / factor))
        return at_least, at_most

    def _step_of(self, expression: "_Affine") -> Fraction:
        return common_step([expression.constant, *(value * self.steps[j] for j, value in expression.terms.items())])

    def grid(self, costs: Terms) -> Grid:
        """Apply the second argument to what is left, and bound every variable."""
        left = [j for j in self.rows_of if j not in self.steps]
        self._check_apart()
        self._check_bounds(self.steps)
        reached = {j: self._reach(j, costs.get(j, Fraction(0))) for j in left}
        for j, reach in reached.items():
            self.lower[j], self.upper[j], self.steps[j] = reach.lower, reach.upper, reach.step
        self._check_bounds(left)
        lower, upper = (tuple(value for value in side if value is not None) for side in (self.lower, self.upper))
        ends = {j: reach.upward for j, reach in reached.items()}
        return Grid(tuple(self.steps[j] for j in range(len(self.names))), lower, upper, ends)

    def _check_apart(self) -> None:
        for number, (row, count) in enumerate(zip(self.rows, self.open, strict=True)):
            if count > 1:
                first, second, *_ = (self.names[j] for j in row.terms if j not in self.steps)
                raise UnsupportedModelError(
                    f"cpsat takes integers and continuous variables that are provably multiples of a step, found "
                    f"{first} and {second} together in row {number}; {OTHER_SOLVERS}"
                )

    def _check_bounds(self, variables: Iterable[int]) -> None:
        for j in variables:
            if self.lower[j] is None or self.upper[j] is None:
                raise UnsupportedModelError(
                    f"cpsat needs finite bounds of every variable, found none for {self.names[j]}; bound it or "
                    f"{OTHER_SOLVERS}"
                )

    def _reach(self, variable: int, cost: Fraction) -> "_Reach":
        """Bound a variable that is left, and find the step of its ends.

        Where a bound is missing on the side away from the optimal end, no value beyond the farthest that this end can
        have is needed.
        """
        at_least, at_most = self._sides(variable, (self.rows[number] for number in self.rows_of[variable]))
        step = common_step(self._step_of(expression) for expression in (*at_least, *at_most))
        below, above = ([self._range(expression) for expression in side] for side in (at_least, at_most))
        low = max((least for least, _ in below), default=None)
        high = min((greatest for _, greatest in above), default=None)
        upward = cost < 0 or (cost == 0 and low is None and high is not None)
        if cost == 0 and low is None and high is None:
            low = high = Fraction(0)
        if high is None and not upward:
            high = max((greatest for _, greatest in below), default=None)
        if low is None and upward:
            low = min((least for least, _ in above), default=None)
        return _Reach(low, high, step, upward)

    def _range(self, expression: "_Affine") -> tuple[Fraction, Fraction]:
        least = greatest = expression.constant
        for j, value in expression.terms.items():
            low, high = self.lower[j], self.upper[j]
            assert low is not None
            assert high is not None
            least += value * (low if value > 0 else high)
            greatest += value * (high if value > 0 else low)
        return least, greatest


@dataclass(frozen=True)
class _Affine:
    """The sum of the terms and the constant."""

    terms: Terms
    constant: Fraction

    def constant_where(self, switch: int, value: int) -> Fraction:
        """Return the constant that a value for one variable leaves."""
        return self.constant + self.terms[switch] if value and switch in self.terms else self.constant

    def without(self, switch: int, constant: Fraction) -> "_Affine":
        """Return the terms of the other variables, and another constant."""
        return _Affine({j: factor for j, factor in self.terms.items() if j != switch}, constant)


@dataclass(frozen=True)
class _Reach:
    """Bounds and step of a variable of the second argument, and which of its ends is optimal."""

    lower: Fraction | None
    upper: Fraction | None
    step: Fraction
    upward: bool


def _difference(one: _Affine, other: _Affine) -> list[int]:
    """List the variables whose coefficients differ, two at most."""
    if abs(len(one.terms) - len(other.terms)) > 1:
        return [-1, -1]
    unequal = (j for j in {**one.terms, **other.terms} if one.terms.get(j, 0) != other.terms.get(j, 0))
    return list(itertools.islice(unequal, 2))


def _minus(side: float, constant: Fraction) -> Fraction | None:
    return Fraction(side) - constant if math.isfinite(side) else None
