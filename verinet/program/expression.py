"""Vectors of affine expressions over a programme's variables, as sparse arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["Expressions"]


@dataclass(frozen=True, eq=False)
class Expressions:
    """``matrix @ variables + constant``: a vector of affine expressions.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, shape (size, columns)
        Coefficients. The number of columns may lag behind the number of variables: missing columns are zero.
    constant : ndarray of float, shape (size,)

    Notes
    -----
    Coefficients are float64 and mean exactly what they store. `Expressions.linear` rounds when it sums or multiplies;
    `is_selection` tells where it cannot.
    """

    matrix: Any
    constant: FloatArray

    @classmethod
    def variables(cls, indices: Sequence[int] | IntArray) -> "Expressions":
        """Return the expressions that are single variables."""
        index = np.asarray(indices, dtype=np.int64)
        columns = int(index.max(initial=-1)) + 1
        matrix = sp.csr_array((np.ones(len(index)), index, np.arange(len(index) + 1)), shape=(len(index), columns))
        return cls(matrix, np.zeros(len(index)))

    @classmethod
    def constants(cls, values: FloatArray | Sequence[float]) -> "Expressions":
        """Return expressions without variables."""
        constant = np.asarray(values, dtype=np.float64)
        return cls(sp.csr_array((len(constant), 0)), constant)

    @classmethod
    def rows(cls, coefficients: FloatArray, indices: Sequence[int] | IntArray, constant: FloatArray) -> "Expressions":
        """Return ``coefficients @ variables[indices] + constant`` with a dense coefficient matrix."""
        index = np.asarray(indices, dtype=np.int64)
        columns = int(index.max(initial=-1)) + 1
        dense = sp.csr_array(coefficients)
        matrix = sp.csr_array((dense.data, index[dense.indices], dense.indptr), shape=(dense.shape[0], columns))
        return cls(matrix, np.asarray(constant, dtype=np.float64))

    @classmethod
    def stack(cls, parts: Sequence["Expressions"]) -> "Expressions":
        """Put expressions one after another."""
        columns = max(part.columns for part in parts)
        matrices = [part.widened(columns).matrix for part in parts]
        return cls(sp.vstack(matrices, format="csr"), np.concatenate([part.constant for part in parts]))

    @property
    def size(self) -> int:
        """Number of expressions."""
        return len(self.constant)

    @property
    def columns(self) -> int:
        """Number of variables that the matrix knows."""
        return int(self.matrix.shape[1])

    def widened(self, columns: int) -> "Expressions":
        """Return the same expressions with at least this many columns."""
        if columns <= self.columns:
            return self
        m = self.matrix
        return Expressions(sp.csr_array((m.data, m.indices, m.indptr), shape=(self.size, columns)), self.constant)

    def __getitem__(self, index: Any) -> "Expressions":
        rows = np.arange(self.size)[index]
        rows = rows.reshape(-1)
        return Expressions(self.matrix[rows], self.constant[rows])

    def __add__(self, other: "Expressions") -> "Expressions":
        if self.size != other.size:
            raise InputError(f"expressions of sizes {self.size} and {other.size} cannot be added")
        columns = max(self.columns, other.columns)
        total = sp.csr_array(self.widened(columns).matrix + other.widened(columns).matrix)
        return Expressions(total, self.constant + other.constant)

    def __sub__(self, other: "Expressions") -> "Expressions":
        return self + other.scaled(-1.0)

    def __neg__(self) -> "Expressions":
        return self.scaled(-1.0)

    def shifted(self, constant: FloatArray | float) -> "Expressions":
        """Return the expressions with `constant` added."""
        return Expressions(self.matrix, self.constant + constant)

    def scaled(self, factor: FloatArray | float) -> "Expressions":
        """Return the expressions times a number, or each times its own."""
        factors = np.broadcast_to(np.asarray(factor, dtype=np.float64), (self.size,))
        return Expressions(sp.csr_array(sp.diags_array(factors) @ self.matrix), self.constant * factors)

    def linear(self, matrix: Any) -> "Expressions":
        """Return ``matrix @ self``; `matrix` is dense or sparse with `size` columns."""
        left = sp.csr_array(matrix)
        return Expressions(sp.csr_array(left @ self.matrix), np.asarray(left @ self.constant))

    def total(self) -> "Expressions":
        """Return the sum of all expressions, as one."""
        return self.linear(np.ones((1, self.size)))

    def value(self, point: FloatArray) -> FloatArray:
        """Evaluate at values of the variables, shape (variables,)."""
        return np.asarray(self.matrix @ point[: self.columns] + self.constant)

    def enclosure(self, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return bounds of each expression over a box of the variables, rounded outward.

        Soundness: the interval sum is computed in float64 and widened by ``gamma_n`` times the sum of the magnitudes
        of its terms, so the bounds hold for the exact expressions.
        """
        low, high = lower[: self.columns], upper[: self.columns]
        positive, negative = self.matrix.maximum(0.0), self.matrix.minimum(0.0)
        with np.errstate(invalid="ignore"):
            smallest = _product(positive, low) + _product(negative, high) + self.constant
            largest = _product(positive, high) + _product(negative, low) + self.constant
            reach = _product(abs(self.matrix), np.maximum(abs(low), abs(high))) + abs(self.constant)
        terms = int(np.diff(self.matrix.indptr).max(initial=0)) + 2
        slack = reach * ((terms + 4) * 2.0**-52) + np.finfo(np.float64).tiny * (reach > 0)
        return np.where(np.isfinite(smallest), smallest - slack, -np.inf), np.where(
            np.isfinite(largest), largest + slack, np.inf
        )

    @property
    def is_selection(self) -> BoolArray:
        """Where an expression is one variable with coefficient 1 or -1, or a constant: products with it are exact."""
        counts = np.diff(self.matrix.indptr)
        unit = np.ones(self.size, dtype=bool)
        wrong = self.matrix.indptr[:-1][counts == 1]
        unit[counts == 1] = abs(self.matrix.data[wrong]) == 1.0
        return np.where(counts == 0, True, (counts == 1) & unit & (self.constant == 0.0))


def _product(matrix: Any, vector: FloatArray) -> FloatArray:
    """Multiply without turning ``0 * inf`` into NaN: entries that are not stored do not count."""
    return np.asarray(matrix @ vector)
