"""From exact linear expressions to float64 rows whose feasible set contains the exact one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.model import Atom, LinearExpression, Side
from verinet.numeric import FloatArray, float_down
from verinet.program import ExactRow, Expressions, ProgrammeBuilder

__all__ = ["Places", "add_atoms", "exact_row", "linear_row"]

SMALLEST_SHARE = 1e-9
"""A coefficient that is smaller than this share of its row's largest is replaced by its least contribution."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the symbols live in a programme.

    Parameters
    ----------
    expressions : Mapping
        The expressions of each side's vector.
    lower, upper : Mapping
        Bounds of each side's vector.
    """

    expressions: Mapping[Side, Expressions]
    lower: Mapping[Side, FloatArray]
    upper: Mapping[Side, FloatArray]


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


def linear_row(expression: LinearExpression, places: Places, lower: FloatArray, upper: FloatArray) -> Expressions:
    """Write a linear expression over a programme's variables, never above it.

    Parameters
    ----------
    expression : LinearExpression
    places : Places
    lower, upper : ndarray of float
        Bounds of the programme's variables.

    Returns
    -------
    Expressions
        Of size one. At most zero wherever the atom ``expression <= 0`` holds.

    Raises
    ------
    InputError
        If rounding is needed and a variable has no finite bound.

    Notes
    -----
    Soundness: coefficients are added up in rational arithmetic and rounded once; the constant is lowered by what that
    can change over the bounds, and by the least contribution of coefficients that float solvers would drop.
    """
    return _rounded(exact_row(Atom(expression), places), expression, lower, upper)


def _rounded(row: ExactRow, expression: LinearExpression, lower: FloatArray, upper: FloatArray) -> Expressions:
    largest = max((abs(c) for _, c in row.terms), default=Fraction(0))
    smallest = Fraction(SMALLEST_SHARE) * max(Fraction(1), largest)
    index, weights, constant = [], [], row.constant
    for variable, c in row.terms:
        ends = float(lower[variable]), float(upper[variable])
        bounded = math.isfinite(ends[0]) and math.isfinite(ends[1])
        nearest = 0.0 if bounded and abs(c) < smallest else float(c)
        if nearest:
            index.append(variable)
            weights.append(nearest)
        if Fraction(nearest) != c:
            if not bounded:
                raise InputError(f"the expression {expression} needs finite bounds of its terms to be rounded safely")
            constant += min((c - Fraction(nearest)) * Fraction(end) for end in ends)
    coefficients = np.array([weights], dtype=np.float64).reshape(1, len(weights))
    return Expressions.rows(coefficients, index, np.array([float_down(constant)]))


def add_atoms(builder: ProgrammeBuilder, atoms: Iterable[Atom], places: Places) -> None:
    """Demand atoms, the closure of strict ones: as float rows that are rounded outward, and exactly.

    Parameters
    ----------
    builder : ProgrammeBuilder
    atoms : iterable of Atom
    places : Places
    """
    bounds = builder.all_bounds()
    for atom in atoms:
        exact = exact_row(atom, places)
        builder.rows(_rounded(exact, atom.expression, *bounds), upper=0.0)
        builder.exact(exact)
