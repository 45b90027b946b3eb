"""Exact outcomes, and exact evaluation of a programme at a rational point."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verinet.program import Bilinear, Expressions, Indicator, Maximum, Product, Programme, Rows, Semantic, Status

__all__ = ["ExactOutcome", "exact_values", "first_violation", "is_between"]

Point = Sequence[Fraction]


@dataclass(frozen=True)
class ExactOutcome:
    """What an exact solver claims.

    Parameters
    ----------
    status : Status
    values : tuple of Fraction, length variables, or None
        Checked against the programme in rational arithmetic: a point that is given here is feasible.
    objective : Fraction or None
        The exact objective at these values.
    reason : str
        Why the status is UNKNOWN; empty otherwise.
    """

    status: Status
    values: tuple[Fraction, ...] | None = None
    objective: Fraction | None = None
    reason: str = ""


def exact_values(expressions: Expressions, point: Point) -> tuple[Fraction, ...]:
    """Evaluate expressions at a rational point, without rounding.

    Parameters
    ----------
    expressions : Expressions
    point : sequence of Fraction, length variables

    Returns
    -------
    tuple of Fraction, length size
    """
    matrix = expressions.matrix
    return tuple(
        Fraction(float(expressions.constant[row]))
        + sum(
            (Fraction(float(matrix.data[k])) * point[int(matrix.indices[k])] for k in _entries(matrix, row)),
            Fraction(0),
        )
        for row in range(expressions.size)
    )


def is_between(lower: float, value: Fraction, upper: float) -> bool:
    """Compare exactly: Python compares a float with a Fraction by their values, NumPy's scalars need not."""
    return float(lower) <= value <= float(upper)


def first_violation(programme: Programme, point: Point) -> str:
    """Name a bound, row or constraint that a point violates, exactly; empty if it is feasible.

    Parameters
    ----------
    programme : Programme
    point : sequence of Fraction, length variables

    Returns
    -------
    str

    Notes
    -----
    Soundness: rational arithmetic on the numbers as stored, no tolerance.
    """
    return next(_violations(programme, point), "")


def _violations(programme: Programme, point: Point) -> Iterator[str]:
    for j, value in enumerate(point):
        if not is_between(programme.lower[j], value, programme.upper[j]):
            yield f"the bounds of {programme.names[j]}"
        if programme.integer[j] and value.denominator != 1:
            yield f"integrality of {programme.names[j]}"
    yield from _row_violations(programme.rows, point)
    for number, exact in enumerate(programme.exact):
        total = exact.constant + sum((factor * point[variable] for variable, factor in exact.terms), Fraction(0))
        if total > 0 or (exact.strict and total == 0):
            yield f"exact row {number}"
    for constraint in programme.semantic:
        holds = _HOLDS[type(constraint)](constraint, point)
        yield from (f"{type(constraint).__name__} {j}" for j, ok in enumerate(holds) if not ok)


def _row_violations(rows: Rows, point: Point) -> Iterator[str]:
    for row, value in enumerate(exact_values(rows.expressions, point)):
        if not is_between(rows.lower[row], value, rows.upper[row]):
            yield f"row {row}"


def _maximum_holds(constraint: Maximum, point: Point) -> Iterator[bool]:
    arguments = exact_values(constraint.arguments, point)
    for j, result in enumerate(constraint.results):
        yield point[int(result)] == max(arguments[constraint.offsets[j] : constraint.offsets[j + 1]])


def _product_holds(constraint: Product, point: Point) -> Iterator[bool]:
    activations = exact_values(constraint.activations, point)
    for result, weight, activation in zip(constraint.results, constraint.weights, activations, strict=True):
        yield point[int(result)] == point[int(weight)] * activation


def _indicator_holds(constraint: Indicator, point: Point) -> Iterator[bool]:
    values = exact_values(constraint.expressions, point)
    for condition, value in zip(constraint.conditions, values, strict=True):
        yield point[int(condition)] != int(constraint.active) or value <= 0


def _bilinear_holds(constraint: Bilinear, point: Point) -> Iterator[bool]:
    left, right = exact_values(constraint.left, point), exact_values(constraint.right, point)
    for result, one, other in zip(constraint.results, left, right, strict=True):
        yield point[int(result)] == one * other


_HOLDS: dict[type[Semantic], Callable[[Any, Point], Iterator[bool]]] = {
    Maximum: _maximum_holds,
    Product: _product_holds,
    Indicator: _indicator_holds,
    Bilinear: _bilinear_holds,
}


def _entries(matrix: Any, row: int) -> range:
    return range(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
