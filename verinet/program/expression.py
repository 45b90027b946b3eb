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
        Coefficients, none stored twice. The number of columns may lag behind the number of variables: missing columns
        are zero.
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
        """Return ``coefficients @ variables[indices] + constant`` with a dense coefficient matrix.

        Raises
        ------
        InputError
            If a variable is named twice: adding up its coefficients would round.
        """
        index = np.asarray(indices, dtype=np.int64)
        if len(np.unique(index)) < len(index):
            raise InputError("rows of coefficients may name no variable twice, add up its coefficients first")
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

        Soundness: each interval sum is computed in float64 and widened by ``gamma_n`` times the sum of the magnitudes
        of its own terms, and by more than its products may lose to underflow, so the bounds hold for the exact
        expressions. Single variables and constants involve no rounding and are not widened. A sum that overflows is
        infinite on its outer side.
        """
        low, high = lower[: self.columns], upper[: self.columns]
        return self._interval_sum(low, high, -1.0), self._interval_sum(high, low, 1.0)

    def _interval_sum(self, at_positive: FloatArray, at_negative: FloatArray, outward: float) -> FloatArray:
        """Sum each expression at one end of its variables, chosen by sign, and widen the sum outward."""
        # Both drop stored zeros, so that none of them meets an infinite bound.
        positive, negative = self.matrix.maximum(0.0), self.matrix.minimum(0.0)
        terms = np.diff(self.matrix.indptr)
        with np.errstate(invalid="ignore", over="ignore"):
            total = positive @ at_positive + negative @ at_negative + self.constant
            reach = positive @ np.abs(at_positive) - negative @ np.abs(at_negative) + np.abs(self.constant)
            slack = reach * ((terms + 6) * 2.0**-52) + np.finfo(np.float64).tiny
            bound = np.where(self.is_selection | (terms == 0), total, total + outward * slack)
        return np.where(np.isfinite(bound), bound, outward * np.inf)

    @property
    def is_selection(self) -> BoolArray:
        """Where an expression is zero, or one variable with coefficient 1 or -1: products with it are exact."""
        counts = np.diff(self.matrix.indptr)
        single = counts == 1
        unit = counts == 0
        unit[single] = np.abs(self.matrix.data[self.matrix.indptr[:-1][single]]) == 1.0
        return np.asarray(unit & (self.constant == 0.0))
