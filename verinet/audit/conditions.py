"""Linear conditions on a network's inputs, exactly: their truth at rows of data, and which of them say nothing new."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.numeric import BoolArray, FloatArray, ObjectArray, gamma, integers_over_power_of_two

__all__ = ["Condition", "Rows", "Simplifier"]

SMALLEST_MULTIPLIER = 1e-9
"""Of the scaled programme; smaller ones are residues of the solver, and without them the exact bound is better."""

HOPELESS = 1e-6
"""A scaled condition that fails by more, as far as the solver knows, is not worth a proof that it follows."""

SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Condition:
    """``coefficients . x + constant > 0``, or ``>= 0`` where it is not strict.

    Parameters
    ----------
    coefficients : tuple of int
        One for each input; without a common divisor, so that parallel conditions share them.
    constant : Fraction
    strict : bool
    """

    coefficients: tuple[int, ...]
    constant: Fraction
    strict: bool

    @classmethod
    def of(cls, coefficients: Sequence[int], constant: int, strict: bool) -> "Condition":
        """Divide by the coefficients' common divisor, which keeps the truth at every input."""
        divisor = math.gcd(*coefficients) or 1
        return cls(tuple(int(c) // divisor for c in coefficients), Fraction(int(constant), divisor), strict)

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of the inputs that it speaks of."""
        return tuple(j for j, c in enumerate(self.coefficients) if c)

    def accepts(self, value: Fraction) -> bool:
        """Decide the condition where its left side has a value."""
        return value > 0 if self.strict else value >= 0

    def value(self, x: Sequence[Fraction]) -> Fraction:
        """Evaluate the left side at a point, exactly."""
        return self.constant + sum((self.coefficients[j] * x[j] for j in self.features), Fraction(0))

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Decide the condition at a point, exactly."""
        return self.accepts(self.value(x))


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of data, as floats and as the rationals that these store.

    Parameters
    ----------
    x : ndarray, shape (rows, features)
        Finite.
    numerators : ndarray of Python int, shape (rows, features)
    denominator : int
    """

    x: FloatArray
    numerators: ObjectArray
    denominator: int

    @classmethod
    def of(cls, x: FloatArray) -> "Rows":
        """Read floats as rationals."""
        return cls(x, *integers_over_power_of_two(x))

    @cached_property
    def box(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """The smallest and the largest value of each feature."""
        low, high = self.x.min(axis=0), self.x.max(axis=0)
        return tuple(Fraction(float(v)) for v in low), tuple(Fraction(float(v)) for v in high)

    def exact_values(self, coefficients: Sequence[Fraction], rows: Sequence[int]) -> list[Fraction]:
        """Return ``coefficients . x`` at some rows, exactly."""
        common = math.lcm(*(c.denominator for c in coefficients)) if len(coefficients) else 1
        read = [j for j, c in enumerate(coefficients) if c]
        whole = np.array([int(coefficients[j] * common) for j in read], dtype=object)
        totals = (self.numerators[np.ix_(list(rows), read)] * whole).sum(axis=1) if read else [0] * len(rows)
        return [Fraction(int(total), common * self.denominator) for total in totals]

    def enclosed_values(self, coefficients: Sequence[Fraction]) -> tuple[FloatArray, FloatArray]:
        """Return floats below and above ``coefficients . x`` at every row; infinite where floats do not reach."""
        read = [j for j, c in enumerate(coefficients) if c]
        weights = np.array([_nearest(coefficients[j]) for j in read])
        with np.errstate(all="ignore"):
            values = self.x[:, read] @ weights
            # Twice: once for the rounded coefficients and once for the rounded products and sums.
            reach = np.abs(self.x[:, read])
            # What underflows is smaller than the smallest normal number, times the row.
            slack = 2 * gamma(len(read) + 4) * (reach @ np.abs(weights)) + SMALLEST_NORMAL * (1.0 + reach.sum(axis=1))
            known = np.isfinite(values) & np.isfinite(slack)
            return np.where(known, values - slack, -np.inf), np.where(known, values + slack, np.inf)

    def truth(self, condition: Condition) -> BoolArray:
        """Decide a condition at every row, exactly.

        Soundness: floats decide where their error bound leaves no doubt, rational arithmetic everywhere else.
        """
        coefficients = [Fraction(c) for c in condition.coefficients]
        # Large whole numbers would overflow: the largest becomes 1.
        scale = max(map(abs, coefficients), default=Fraction(0)) or Fraction(1)
        coefficients = [c / scale for c in coefficients]
        constant = condition.constant / scale
        low, high = self.enclosed_values(coefficients)
        edge = _nearest(-constant)
        above = low > np.nextafter(edge, np.inf)
        below = high < np.nextafter(edge, -np.inf)
        result: BoolArray = above.copy()
        doubtful = np.flatnonzero(~above & ~below)
        for row, value in zip(doubtful, self.exact_values(coefficients, doubtful.tolist()), strict=True):
            result[row] = condition.accepts(value + constant)
        return result


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


Box = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


@dataclass(frozen=True, eq=False)
class _Facts:
    """What is known of one condition: whether the box implies it, its truth at the rows, and its scaled form.

    Inputs are scaled to 0..1 and the condition is divided by its size, so that a solver sees numbers of one size.

    Parameters
    ----------
    follows_from_box : bool
    truth : ndarray of bool, shape (rows,)
    row : ndarray, shape (inputs,)
    constant : float
    size : Fraction
    """

    follows_from_box: bool
    truth: BoolArray
    row: FloatArray
    constant: float
    size: Fraction

    @classmethod
    def of(cls, condition: Condition, rows: Rows) -> "_Facts":
        low, high = rows.box
        read = {j: condition.coefficients[j] * (high[j] - low[j]) for j in condition.features}
        constant = condition.constant + sum((condition.coefficients[j] * low[j] for j in read), Fraction(0))
        size = max(map(abs, (*read.values(), constant))) or Fraction(1)
        row = np.zeros(len(low))
        for j, value in read.items():
            row[j] = value / size
        implied = _implied_by(condition, (), (), rows.box)
        return cls(implied, rows.truth(condition), row, float(constant / size), size)


@dataclass(eq=False)
class Simplifier:
    """Leaves out conditions that follow from others within the box of the data.

    Parameters
    ----------
    rows : Rows
        Their box is the data's; a row that meets all conditions but one shows that this one is needed.
    programmes : int
        How many linear programmes were solved so far.
    """

    rows: Rows
    programmes: int = 0
    _known: dict[Condition, _Facts] = field(default_factory=dict)

    def simplify(self, conditions: Sequence[Condition], *, thorough: bool = True) -> tuple[Condition, ...]:
        """Leave out conditions that the box or the others imply.

        Parameters
        ----------
        conditions : sequence of Condition
        thorough : bool
            Also ask a linear programme about conditions that read several inputs; otherwise only those go that the
            box or a single other condition implies.

        Returns
        -------
        tuple of Condition
            They hold at exactly the same points of the box.

        Notes
        -----
        Soundness: a solver only proposes multipliers. A condition goes if, with these, rational arithmetic proves that
        it follows from those that are kept; where the proof fails, for a rounding or a limit, it stays.
        """
        kept = [c for c in _tightest(conditions) if not self._facts(c).follows_from_box]
        if not thorough or len(kept) < 2 or all(len(c.features) == 1 for c in kept):
            # Of single inputs, the tightest in each direction are all needed.
            return tuple(kept)
        truth = np.array([self._facts(c).truth for c in kept])
        is_needed = (~truth[:, (~truth).sum(axis=0) == 1]).any(axis=1)
        left = list(kept)
        # Conditions on many inputs are the hardest to read, so they are the first that may go.
        for candidate in sorted((kept[k] for k in np.flatnonzero(~is_needed)), key=lambda c: -len(c.features)):
            others = [c for c in left if c is not candidate]
            multipliers = self._multipliers(candidate, others)
            if multipliers and _implied_by(candidate, others, multipliers, self.rows.box):
                left = others
        return tuple(left)

    def _facts(self, condition: Condition) -> _Facts:
        # Regions share most of their conditions.
        if condition not in self._known:
            self._known[condition] = _Facts.of(condition, self.rows)
        return self._known[condition]

    def _multipliers(self, condition: Condition, others: Sequence[Condition]) -> list[Fraction]:
        """Propose multipliers: the dual values of minimising a condition where others hold; none if it can fail."""
        # Imported here: records share this room, and need no solver.
        from scipy.optimize import linprog

        if not others:
            return []
        self.programmes += 1
        goal, facts = self._facts(condition), [self._facts(c) for c in others]
        solved = linprog(
            goal.row,
            A_ub=-np.array([f.row for f in facts]),
            b_ub=np.array([f.constant for f in facts]),
            bounds=(0.0, 1.0),
            method="highs",
        )
        if solved.status != 0 or solved.fun + goal.constant < -HOPELESS:
            return []
        prices = -np.asarray(solved.ineqlin.marginals)
        return [
            Fraction(float(price)) * goal.size / f.size if price > SMALLEST_MULTIPLIER else Fraction(0)
            for price, f in zip(prices, facts, strict=True)
        ]


def _tightest(conditions: Sequence[Condition]) -> list[Condition]:
    """Keep the tightest of the conditions that differ in their constants only."""
    tightest: dict[tuple[int, ...], Condition] = {}
    for condition in conditions:
        rival = tightest.get(condition.coefficients)
        # At equal constants the strict one says more.
        if rival is None or (condition.constant, not condition.strict) < (rival.constant, not rival.strict):
            tightest[condition.coefficients] = condition
    return list(tightest.values())


def _implied_by(condition: Condition, others: Sequence[Condition], multipliers: Sequence[Fraction], box: Box) -> bool:
    """Prove ``condition = sum of multipliers * others + rest`` with a rest that is not negative over the box."""
    used = [(m, other) for m, other in zip(multipliers, others, strict=True) if m > 0]
    rest = [Fraction(c) for c in condition.coefficients]
    bound = condition.constant
    for multiplier, other in used:
        bound -= multiplier * other.constant
        for j in other.features:
            rest[j] -= multiplier * other.coefficients[j]
    bound += sum((c * (low if c > 0 else high) for c, low, high in zip(rest, *box, strict=True) if c), Fraction(0))
    if bound > 0 or (bound == 0 and not condition.strict):
        return True
    return bound == 0 and any(other.strict for _, other in used)
