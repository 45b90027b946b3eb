"""A programme's linear part in the arrays that floating-point solvers take."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.numeric import BoolArray, FloatArray
from verinet.program import Programme

__all__ = ["LinearForm", "canonical", "integer_bounds", "linear_form"]


@dataclass(frozen=True, eq=False)
class LinearForm:
    """Minimise ``cost @ x + offset`` where ``lower <= matrix @ x <= upper``.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, shape (rows, variables)
        Sorted, without duplicates and without stored zeros, 32-bit indices.
    lower, upper : ndarray of float, shape (rows,)
    cost : ndarray of float, shape (variables,)
    offset : float
    """

    matrix: Any
    lower: FloatArray
    upper: FloatArray
    cost: FloatArray
    offset: float

    @property
    def is_equation(self) -> BoolArray:
        """Which rows have equal sides."""
        return np.equal(self.lower, self.upper)

    @property
    def is_contradictory(self) -> bool:
        """Whether some row holds nowhere whatever the variables are: its sides cross, or it has no coefficients."""
        empty = np.diff(self.matrix.indptr) == 0
        return bool(((self.lower > self.upper) | (empty & ((self.lower > 0.0) | (self.upper < 0.0)))).any())


def integer_bounds(programme: Programme) -> tuple[FloatArray, FloatArray]:
    """Return the variables' bounds, those of integers moved inward to integers; they may cross then."""
    lower = np.where(programme.integer, np.ceil(programme.lower), programme.lower)
    upper = np.where(programme.integer, np.floor(programme.upper), programme.upper)
    return lower, upper


def linear_form(programme: Programme) -> LinearForm:
    """Write the rows and the objective with all constants moved to the sides.

    Soundness: the side of an inequality is rounded outward, so that its feasible set only grows; the side of an
    equation is rounded to nearest, far below every tolerance of the solvers that read this form.
    """
    rows = programme.rows
    objective = programme.objective.widened(programme.size)
    lower, lower_error = _exact_difference(rows.lower, rows.expressions.constant)
    upper, upper_error = _exact_difference(rows.upper, rows.expressions.constant)
    equation = rows.lower == rows.upper
    return LinearForm(
        canonical(programme.matrix),
        np.where(~equation & (lower_error < 0), np.nextafter(lower, -np.inf), lower),
        np.where(~equation & (upper_error > 0), np.nextafter(upper, np.inf), upper),
        objective.matrix.toarray().reshape(-1),
        float(objective.constant[0]),
    )


def canonical(matrix: Any) -> Any:
    """Return a copy with sorted indices, duplicates added up, zeros removed and 32-bit indices."""
    copy = sp.csr_array(matrix, copy=True)
    copy.sum_duplicates()
    copy.eliminate_zeros()
    indices, starts = copy.indices.astype(np.int32), copy.indptr.astype(np.int32)
    return sp.csr_array((copy.data, indices, starts), shape=copy.shape)


def _exact_difference(left: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``left - right`` rounded to nearest and its exact error (Knuth's two-sum), zero where infinite."""
    difference = left - right
    with np.errstate(invalid="ignore"):
        part = difference - left
        error = (left - (difference - part)) + (-right - part)
    return difference, np.where(np.isfinite(difference), error, 0.0)
