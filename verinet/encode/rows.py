"""From exact linear atoms to float64 rows whose feasible set contains the exact one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.model import Atom, LinearExpression, Side, Symbol
from verinet.numeric import FloatArray, float_up
from verinet.program import ExactRow, Expressions, ProgrammeBuilder

__all__ = ["Places", "add_atom", "below_zero", "exact_row"]

EXACT_INTEGERS = 2**53
"""Integers up to here are float64 numbers."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the symbols live in a programme.

    Parameters
    ----------
    expressions : Mapping
        The expressions of each side's vector.
    lower, upper : Mapping
        Finite bounds of each side's vector, used to round safely.
    """

    expressions: Mapping[Side, Expressions]
    lower: Mapping[Side, FloatArray]
    upper: Mapping[Side, FloatArray]

    def magnitude(self, symbol: Symbol) -> float:
        """Return the largest absolute value that a symbol takes."""
        low, high = self.lower[symbol.side][symbol.index], self.upper[symbol.side][symbol.index]
        return float(max(abs(low), abs(high)))


def _float_coefficients(expression: LinearExpression) -> tuple[LinearExpression, bool]:
    """Scale an expression so that its coefficients are float64 numbers, if a positive factor does it."""
    scale = math.lcm(*(c.denominator for _, c in expression.terms)) if expression.terms else 1
    scaled = expression * Fraction(scale)
    if all(abs(c.numerator) <= EXACT_INTEGERS for _, c in scaled.terms):
        return scaled, True
    return expression, all(Fraction(float(c)) == c for _, c in expression.terms)


def below_zero(atom: Atom, places: Places) -> Expressions:
    """Return one expression that is at most zero wherever the atom holds.

    Parameters
    ----------
    atom : Atom
        Strict or not: the expression describes the closure.
    places : Places

    Returns
    -------
    Expressions
        Of size one. Its coefficients are those of the atom times a positive factor where that is exact; otherwise
        they are rounded and the constant is lowered by what rounding can change over the bounds. The constant is
        always rounded down.

    Raises
    ------
    InputError
        If rounding is needed and a symbol has no finite bound.
    """
    expression, exact = _float_coefficients(atom.expression)
    slack = Fraction(0)
    coefficients = []
    for symbol, coefficient in expression.terms:
        nearest = float(coefficient)
        coefficients.append(nearest)
        if not exact:
            magnitude = places.magnitude(symbol)
            if not math.isfinite(magnitude):
                raise InputError(f"the condition {atom} needs finite bounds of {symbol} to be rounded safely")
            slack += abs(Fraction(nearest) - coefficient) * Fraction(magnitude)
    constant = -float_up(-(expression.constant - slack))
    total = Expressions.constants([constant])
    for side in Side:
        chosen = [(s.index, c) for (s, _), c in zip(expression.terms, coefficients, strict=True) if s.side is side]
        if chosen:
            index, weights = (list(column) for column in zip(*chosen, strict=True))
            total = total + places.expressions[side][index].linear(np.array([weights]))
    return total


def exact_row(atom: Atom, places: Places) -> ExactRow:
    """Return what an atom says about a programme's variables, in rational numbers.

    Parameters
    ----------
    atom : Atom
    places : Places
    """
    terms: dict[int, Fraction] = {}
    constant = atom.expression.constant
    for symbol, coefficient in atom.expression.terms:
        expressions = places.expressions[symbol.side]
        matrix, row = expressions.matrix, symbol.index
        constant += coefficient * Fraction(float(expressions.constant[row]))
        for k in range(int(matrix.indptr[row]), int(matrix.indptr[row + 1])):
            variable = int(matrix.indices[k])
            terms[variable] = terms.get(variable, Fraction(0)) + coefficient * Fraction(float(matrix.data[k]))
    return ExactRow(tuple(terms.items()), constant, atom.strict)


def add_atom(builder: ProgrammeBuilder, atom: Atom, places: Places) -> None:
    """Demand an atom: as a float row that is rounded outward, and exactly.

    Parameters
    ----------
    builder : ProgrammeBuilder
    atom : Atom
    places : Places
    """
    builder.rows(below_zero(atom, places), upper=0.0)
    builder.exact(exact_row(atom, places))
