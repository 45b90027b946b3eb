"""The piecewise-linear programme: variables, linear rows, an objective, and constraints by meaning.

It knows no solver and no big-M. `Maximum`, `Product`, `Indicator` and `Bilinear` say what must hold; `verinet.encode`
turns all but the last into linear rows and binaries for solvers that need it, and solvers that reason exactly read them
as they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from verinet.errors import InputError
from verinet.numeric import FloatArray, IntArray
from verinet.program.expression import Expressions

__all__ = [
    "Bilinear",
    "ExactRow",
    "Indicator",
    "Maximum",
    "Product",
    "Programme",
    "ProgrammeBuilder",
    "Rows",
    "Semantic",
    "VariableKind",
]


class VariableKind(Enum):
    """Which values a variable may take between its bounds."""

    CONTINUOUS = "C"
    INTEGER = "I"


@dataclass(frozen=True, eq=False)
class Rows:
    """Linear rows ``lower <= expression <= upper``.

    Parameters
    ----------
    expressions : Expressions
    lower, upper : ndarray of float, shape (size,)
        May be infinite; equal for an equation.
    """

    expressions: Expressions
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True)
class ExactRow:
    """``sum of coefficient * variable + constant <= 0``, or ``< 0`` if strict, in rational numbers.

    Some other row or bound of the programme says the same in floats, rounded so that it says no more. Exact backends
    read both; floating-point ones leave this out.

    Parameters
    ----------
    terms : tuple of (int, Fraction)
        Variables and their coefficients.
    constant : Fraction
    strict : bool
    """

    terms: tuple[tuple[int, Fraction], ...]
    constant: Fraction
    strict: bool = False


@dataclass(frozen=True, eq=False)
class Maximum:
    """``result_j = max of the arguments in group j``; a ReLU is the maximum of a pre-activation and zero.

    Parameters
    ----------
    results : ndarray of int, shape (size,)
        Variables.
    arguments : Expressions
        Group after group.
    offsets : ndarray of int, shape (size + 1,)
        Group j is ``arguments[offsets[j]:offsets[j + 1]]``.
    lower, upper : ndarray of float
        Bounds of each argument that are implied by the rest of the programme; infinite where none is known.
    """

    results: IntArray
    arguments: Expressions
    offsets: IntArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def relu(cls, results: IntArray, arguments: Expressions, lower: FloatArray, upper: FloatArray) -> "Maximum":
        """Build ``result_j = max(argument_j, 0)`` from pre-activations and their bounds."""
        size = arguments.size
        order = np.arange(2 * size).reshape(2, size).T.ravel()
        zeros = np.zeros(size)
        both = Expressions.stack([arguments, Expressions.constants(zeros)])
        return cls(
            results,
            both[order],
            2 * np.arange(size + 1),
            np.concatenate([lower, zeros])[order],
            np.concatenate([upper, zeros])[order],
        )


@dataclass(frozen=True, eq=False)
class Product:
    """``result_j = weight_j * activation_j`` with integer weights.

    Parameters
    ----------
    results : ndarray of int, shape (size,)
        Variables.
    weights : ndarray of int, shape (size,)
        Integer variables with finite bounds.
    activations : Expressions
    lower, upper : ndarray of float
        Bounds of each activation.
    """

    results: IntArray
    weights: IntArray
    activations: Expressions
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, eq=False)
class Indicator:
    """``condition_j = active implies expression_j <= 0``.

    Parameters
    ----------
    conditions : ndarray of int, shape (size,)
        Binary variables.
    expressions : Expressions
    upper : ndarray of float
        Upper bounds of the expressions; infinite where none is known.
    active : bool
        The value of the binary that switches the row on.
    """

    conditions: IntArray
    expressions: Expressions
    upper: FloatArray
    active: bool = True


@dataclass(frozen=True, eq=False)
class Bilinear:
    """``result_j = left_j * right_j``, where both factors may be continuous; no linear rows say the same.

    Parameters
    ----------
    results : ndarray of int, shape (size,)
        Variables.
    left, right : Expressions
        The factors. Spatial branch and bound needs finite bounds of their variables to come to an end.
    """

    results: IntArray
    left: Expressions
    right: Expressions


Semantic = Maximum | Product | Indicator | Bilinear
"""Every constraint by meaning; a table keyed on type covers these."""


@dataclass(frozen=True, eq=False)
class Programme:
    """Minimise a linear objective over variables, linear rows and semantic constraints.

    Parameters
    ----------
    lower, upper : ndarray of float, shape (variables,)
    integer : ndarray of bool, shape (variables,)
    rows : Rows
    objective : Expressions
        One expression, to be minimised.
    semantic : tuple of Semantic
    names : tuple of str
        One for each variable.
    exact : tuple of ExactRow
        What decimals and strict inequalities really say, for exact backends.

    Notes
    -----
    Soundness: every number is a float64 and means the dyadic rational it stores. Whoever builds a programme from
    other numbers rounds so that the programme's feasible set only grows.
    """

    lower: FloatArray
    upper: FloatArray
    integer: Any
    rows: Rows
    objective: Expressions
    semantic: tuple[Semantic, ...]
    names: tuple[str, ...]
    exact: tuple[ExactRow, ...] = ()

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @property
    def is_linear(self) -> bool:
        """Whether no semantic constraint is left."""
        return not self.semantic

    @property
    def binaries(self) -> int:
        """Number of integer variables."""
        return int(np.count_nonzero(self.integer))

    def with_objective(self, objective: Expressions) -> "Programme":
        """Return the same constraints with another objective."""
        return replace(self, objective=objective)

    @cached_property
    def matrix(self) -> Any:
        """Coefficients of the rows, shape (rows, variables), in CSR form."""
        return self.rows.expressions.widened(self.size).matrix


@dataclass(eq=False)
class ProgrammeBuilder:
    """Collects variables, rows and semantic constraints; `build` returns the programme."""

    _lower: list[FloatArray] = field(default_factory=list)
    _upper: list[FloatArray] = field(default_factory=list)
    _integer: list[Any] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _rows: list[Rows] = field(default_factory=list)
    _semantic: list[Semantic] = field(default_factory=list)
    _exact: list[ExactRow] = field(default_factory=list)
    objective: Expressions = field(default_factory=lambda: Expressions.constants([0.0]))

    @classmethod
    def extending(cls, programme: Programme) -> "ProgrammeBuilder":
        """Start from a copy of a programme."""
        return cls(
            [programme.lower],
            [programme.upper],
            [programme.integer],
            list(programme.names),
            [programme.rows],
            list(programme.semantic),
            list(programme.exact),
            programme.objective,
        )

    @property
    def size(self) -> int:
        """Number of variables so far."""
        return len(self._names)

    def variables(
        self,
        name: str,
        lower: FloatArray | Sequence[float],
        upper: FloatArray | Sequence[float],
        kind: VariableKind = VariableKind.CONTINUOUS,
    ) -> IntArray:
        """Add variables ``name[0], name[1], ...`` and return their indices.

        Raises
        ------
        InputError
            If a bound is NaN, a lower bound exceeds its upper bound, or there are more of one than of the other.
        """
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        if low.shape != high.shape:
            raise InputError(f"variables {name} need as many lower as upper bounds, found {low.size} and {high.size}")
        crossed = ~(low <= high)
        if crossed.any():
            j = int(np.flatnonzero(crossed)[0])
            raise InputError(f"variable {name}[{j}] needs lower <= upper, found lower={low[j]} upper={high[j]}")
        start = self.size
        self._lower.append(low)
        self._upper.append(high)
        self._integer.append(np.full(len(low), kind is VariableKind.INTEGER))
        self._names += [f"{name}[{j}]" for j in range(len(low))]
        return np.arange(start, start + len(low))

    def binaries(self, name: str, size: int) -> IntArray:
        """Add integer variables between 0 and 1."""
        return self.variables(name, np.zeros(size), np.ones(size), VariableKind.INTEGER)

    def bounds(self, indices: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of some variables."""
        lower, upper = self.all_bounds()
        return lower[indices], upper[indices]

    def all_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of all variables so far."""
        if len(self._lower) > 1:
            self._lower, self._upper = [np.concatenate(self._lower)], [np.concatenate(self._upper)]
        return (self._lower[0], self._upper[0]) if self._lower else (np.zeros(0), np.zeros(0))

    def rows(
        self,
        expressions: Expressions,
        lower: FloatArray | float = -np.inf,
        upper: FloatArray | float = np.inf,
    ) -> None:
        """Add ``lower <= expressions <= upper``."""
        shape = (expressions.size,)
        low, high = (np.broadcast_to(np.asarray(v, dtype=np.float64), shape) for v in (lower, upper))
        if np.isnan(low).any() or np.isnan(high).any():
            raise InputError("a row needs numbers as bounds, found NaN")
        if not (np.isfinite(expressions.matrix.data).all() and np.isfinite(expressions.constant).all()):
            raise InputError("a row needs finite coefficients and constants, found NaN or infinity")
        self._rows.append(Rows(expressions, low, high))

    def semantic(self, constraint: Semantic) -> None:
        """Add a constraint by meaning."""
        self._semantic.append(constraint)

    @property
    def constraints(self) -> tuple[Semantic, ...]:
        """The constraints by meaning so far, in the order in which they were added."""
        return tuple(self._semantic)

    def exact(self, row: ExactRow) -> None:
        """Add a rational row that exact backends read beside its float relaxation."""
        self._exact.append(row)

    def enclosure(self, expressions: Expressions) -> tuple[FloatArray, FloatArray]:
        """Return rounding-safe bounds of expressions over the variables' box."""
        return expressions.enclosure(*self.all_bounds())

    def build(self) -> Programme:
        """Return the programme."""
        lower, upper = self.all_bounds()
        parts = self._rows or [Rows(Expressions.constants([]), np.zeros(0), np.zeros(0))]
        rows = Rows(
            Expressions.stack([part.expressions for part in parts]),
            np.concatenate([part.lower for part in parts]),
            np.concatenate([part.upper for part in parts]),
        )
        integer = np.concatenate(self._integer) if self._integer else np.zeros(0, dtype=bool)
        return Programme(
            lower,
            upper,
            integer,
            rows,
            self.objective,
            tuple(self._semantic),
            tuple(self._names),
            tuple(self._exact),
        )
