"""A programme as a model of int64 numbers, without rounding, or a refusal that says where that fails."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import UnsupportedModelError
from verinet.numeric import FloatArray, IntArray
from verinet.program import Programme
from verinet.solve.grid import ExactSide, Grid, common_step, exact_terms, find_grid, linear_rows

__all__ = ["LARGEST_SUM", "IntegerForm", "integer_form"]

LARGEST_SUM = 2**60
"""What a row, a side or a value may reach: CP-SAT's sums stay within int64 then, with room to spare."""


@dataclass(frozen=True, eq=False)
class IntegerForm:
    """Minimise ``unit * (cost @ k) + offset`` over integers ``lower <= k <= upper`` with rows.

    The rows are ``row_lower <= matrix @ k <= row_upper``, and the values of the programme's variables ``steps * k``.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of int64, shape (rows, variables)
    row_lower, row_upper : ndarray of int, shape (rows,)
    lower, upper : ndarray of int, shape (variables,)
        Sides and bounds may cross.
    cost : ndarray of int, shape (variables,)
    unit, offset : Fraction
    grid : Grid

    Notes
    -----
    Soundness: no number is rounded, and no sum over points between the bounds leaves ``LARGEST_SUM``. Its optimum is
    that of the programme; see `find_grid`.
    """

    matrix: Any
    row_lower: IntArray
    row_upper: IntArray
    lower: IntArray
    upper: IntArray
    cost: IntArray
    unit: Fraction
    offset: Fraction
    grid: Grid

    @property
    def is_contradictory(self) -> bool:
        """Whether bounds or sides cross."""
        return bool((self.lower > self.upper).any() or (self.row_lower > self.row_upper).any())

    def holds(self, point: IntArray) -> bool:
        """Tell exactly whether a point is feasible."""
        if ((point < self.lower) | (point > self.upper)).any():
            return False
        sums = self.matrix @ point
        return bool(((sums >= self.row_lower) & (sums <= self.row_upper)).all())

    def values(self, point: IntArray) -> FloatArray:
        """Return the programme's variables at a point, rounded to nearest."""
        return np.array([float(step * k) for step, k in zip(self.grid.steps, point.tolist(), strict=True)])

    def objective(self, total: int) -> Fraction:
        """Return the programme's objective where ``cost @ k`` is `total`."""
        return self.unit * total + self.offset

    def below(self, cutoff: float) -> "IntegerForm":
        """Add the row that only objectives less than a finite cutoff are of interest."""
        if not math.isfinite(cutoff) or not self.cost.any():
            return self
        reach = int(np.abs(self.cost) @ np.maximum(np.abs(self.lower), np.abs(self.upper)))
        most = max(-reach - 1, min(reach, math.ceil((Fraction(cutoff) - self.offset) / self.unit) - 1))
        return replace(
            self,
            matrix=sp.vstack([self.matrix, sp.csr_array(self.cost[np.newaxis])], format="csr"),
            row_lower=np.append(self.row_lower, -reach),
            row_upper=np.append(self.row_upper, most),
        )

    def nearest(self, start: FloatArray) -> IntArray:
        """Return the grid point near a start without unknown entries; what an end decides is decided exactly."""
        steps = self.grid.steps
        ratios = [Fraction(value) / step if step else 0 for value, step in zip(start.tolist(), steps, strict=True)]
        point = np.array([round(max(-LARGEST_SUM, min(LARGEST_SUM, ratio))) for ratio in ratios], dtype=np.int64)
        point = np.clip(point, np.minimum(self.lower, self.upper), self.upper)
        for variable, upward in self.grid.ends.items():
            point[variable] = self._end(point, variable, upward)
        return point

    def _end(self, point: IntArray, variable: int, upward: bool) -> int:
        column = self._columns[:, [variable]]
        rows, factors = column.indices, column.data
        rest = self.matrix[rows] @ point - factors * point[variable]
        low, high = int(self.lower[variable]), int(self.upper[variable])
        for row, factor, other in zip(rows.tolist(), factors.tolist(), rest.tolist(), strict=True):
            sides = sorted(
                (int(side) - other) / Fraction(factor) for side in (self.row_lower[row], self.row_upper[row])
            )
            low, high = max(low, math.ceil(sides[0])), min(high, math.floor(sides[1]))
        return high if upward else low

    @property
    def _columns(self) -> Any:
        return self.matrix.tocsc()


def integer_form(programme: Programme) -> IntegerForm:
    """Write a programme without semantic constraints in integers; the last one is remembered, by its content.

    Parameters
    ----------
    programme : Programme

    Returns
    -------
    IntegerForm

    Raises
    ------
    UnsupportedModelError
        If a continuous variable is not provably a multiple of a step, a variable has no finite bounds, or a row needs
        larger integers than int64 holds.
    """
    digest = _digest(programme)
    if digest not in _last:
        form = _written(programme)
        _last.clear()
        _last[digest] = form
    return _last[digest]


_last: dict[bytes, IntegerForm] = {}
"""A programme is checked and then solved; writing it takes seconds where there are thousands of variables."""


def _digest(programme: Programme) -> bytes:
    """Return a hash of every number of a programme: arrays can change, so their identity says nothing."""
    total = hashlib.blake2b()
    for expressions in (programme.rows.expressions, programme.objective):
        matrix = expressions.matrix
        for array in (matrix.data, matrix.indices, matrix.indptr, expressions.constant):
            total.update(f"{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    for array in (programme.lower, programme.upper, programme.integer, programme.rows.lower, programme.rows.upper):
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.digest()


def _written(programme: Programme) -> IntegerForm:
    rows = linear_rows(programme)
    costs = exact_terms(programme.objective)[0]
    grid = find_grid(programme, rows, costs)
    bounds = [_whole(grid, j) for j in range(programme.size)]
    lower, upper = (
        np.array([_held(pair[side], programme.names[j]) for j, pair in enumerate(bounds)]) for side in (0, 1)
    )
    reach = [max(abs(low), abs(high)) for low, high in bounds]
    scaled = [_scaled(row, grid, reach, f"row {number}") for number, row in enumerate(rows)]
    cost = _scaled(ExactSide(costs, None, None), grid, reach, "the objective")
    columns = np.array([j for row in scaled for j in row.terms], dtype=np.int64)
    data = np.array([value for row in scaled for value in row.terms.values()], dtype=np.int64)
    starts = np.cumsum([0, *(len(row.terms) for row in scaled)])
    dense = np.zeros(programme.size, dtype=np.int64)
    for j, value in cost.terms.items():
        dense[j] = value
    return IntegerForm(
        sp.csr_array((data, columns, starts), shape=(len(rows), programme.size)),
        np.array([row.lower for row in scaled], dtype=np.int64),
        np.array([row.upper for row in scaled], dtype=np.int64),
        lower.astype(np.int64),
        upper.astype(np.int64),
        dense,
        cost.unit,
        Fraction(float(programme.objective.constant[0])),
        grid,
    )


@dataclass(frozen=True)
class _Scaled:
    """A row divided by `unit`, in integers."""

    terms: dict[int, int]
    lower: int
    upper: int
    unit: Fraction


def _whole(grid: Grid, variable: int) -> tuple[int, int]:
    """Return the bounds of a variable in steps; they cross if no multiple lies between them."""
    low, high, step = grid.lower[variable], grid.upper[variable], grid.steps[variable]
    if step == 0:
        return (0, 0) if low <= 0 <= high else (1, 0)
    return math.ceil(low / step), math.floor(high / step)


def _held(value: int, name: str) -> int:
    if abs(value) > LARGEST_SUM:
        raise UnsupportedModelError(_too_large(f"the variable {name}", abs(value)))
    return value


def _scaled(row: ExactSide, grid: Grid, reach: Sequence[int], name: str) -> _Scaled:
    """Divide a row by the common step of its terms, so that its coefficients are integers without a common factor."""
    steps = {j: value * grid.steps[j] for j, value in row.terms.items() if grid.steps[j]}
    unit = common_step(steps.values()) or Fraction(1)
    # Every step is a multiple of the unit, and its denominator divides the unit's.
    terms = {j: step.numerator * (unit.denominator // step.denominator) // unit.numerator for j, step in steps.items()}
    largest = sum(abs(value) * reach[j] for j, value in terms.items())
    if max(largest, *(abs(value) for value in terms.values()), 0) > LARGEST_SUM:
        raise UnsupportedModelError(_too_large(f"the coefficients of {name}", largest))
    # The sum of integers is an integer: rounding its sides inward loses no point. Beyond its reach they say no more.
    low = -largest if row.lower is None else math.ceil(row.lower / unit)
    high = largest if row.upper is None else math.floor(row.upper / unit)
    return _Scaled(terms, max(-largest - 1, min(largest + 1, low)), max(-largest - 1, min(largest + 1, high)), unit)


def _too_large(what: str, largest: int) -> str:
    return (
        f"{what} need integers up to 2^{largest.bit_length()} without rounding, cpsat holds 2^60; give the data fewer "
        "binary digits or use the solver highs or scip"
    )
