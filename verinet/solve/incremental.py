"""A linear programme that grows: columns and rows are added in place, and each solve starts from the last basis."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import RejectedRowError, SolverError
from verinet.numeric import FloatArray, IntArray
from verinet.solve.quiet import new_highs

__all__ = ["GrowingProgramme"]

TOLERANCE = 1e-10
"""Feasibility of rows and reduced costs, the least that HiGHS accepts: prices are compared with it, never proofs."""

QUIET: tuple[tuple[str, bool | int | str], ...] = (
    ("log_to_console", False),
    ("output_flag", False),
    ("threads", 1),
    ("parallel", "off"),
)


class GrowingProgramme:
    """``minimise c . x  subject to  lower <= A x <= upper`` and bounds on x, solved again and again by HiGHS.

    Soundness: what it returns is the solver's claim. Whoever proves something from the duals checks them.
    """

    def __init__(self) -> None:
        import highspy

        self._codes = highspy.HighsStatus
        self._solver: Any = new_highs()
        for name, value in (
            *QUIET,
            ("primal_feasibility_tolerance", TOLERANCE),
            ("dual_feasibility_tolerance", TOLERANCE),
            ("small_matrix_value", 1e-12),
        ):
            self._accept(self._solver.setOptionValue(name, value), f"the option {name}")

    @property
    def columns(self) -> int:
        """How many there are."""
        return int(self._solver.getNumCol())

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self._solver.getNumRow())

    def add_columns(
        self, costs: FloatArray, lower: FloatArray, upper: FloatArray, coefficients: FloatArray | sp.csc_array
    ) -> IntArray:
        """Add columns with their coefficients in all rows, shape (rows, new columns); return their indices."""
        first, count = self.columns, len(costs)
        matrix = sp.csc_array(coefficients) if self.rows else sp.csc_array((0, count))
        status = self._solver.addCols(
            count, np.asarray(costs, np.float64), lower, upper, matrix.nnz,
            matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32), matrix.data.astype(np.float64),
        )  # fmt: skip
        self._accept(status, f"{count} columns", self.columns == first + count)
        return np.arange(first, first + count)

    def add_rows(self, lower: FloatArray, upper: FloatArray, coefficients: FloatArray | sp.csr_array) -> IntArray:
        """Add rows with their coefficients in all columns, shape (new rows, columns); return their indices."""
        first, count = self.rows, len(lower)
        matrix = sp.csr_array(coefficients)
        status = self._solver.addRows(
            count, lower, upper, matrix.nnz,
            matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32), matrix.data.astype(np.float64),
        )  # fmt: skip
        self._accept(status, f"{count} rows", self.rows == first + count)
        return np.arange(first, first + count)

    def set_costs(self, columns: IntArray, costs: FloatArray) -> None:
        """Change the costs of some columns."""
        status = self._solver.changeColsCost(len(columns), columns.astype(np.int32), np.asarray(costs, np.float64))
        self._accept(status, "new costs")

    def set_upper(self, columns: IntArray, upper: FloatArray) -> None:
        """Change the upper bounds of some columns whose lower bounds are zero."""
        zeros = np.zeros(len(columns))
        status = self._solver.changeColsBounds(
            len(columns), columns.astype(np.int32), zeros, np.asarray(upper, np.float64)
        )
        self._accept(status, "new bounds")

    def solve(self, time_limit: float = np.inf) -> tuple[FloatArray, FloatArray] | None:
        """Return the columns' values and the rows' dual values at an optimum; None where the objective has no limit.

        Raises
        ------
        SolverError
            If HiGHS claims neither; the status is named.
        """
        if np.isfinite(time_limit):
            # HiGHS counts from the model's first run.
            limit = self._solver.getRunTime() + max(time_limit, 0.01)
            self._accept(self._solver.setOptionValue("time_limit", limit), "a time limit")
        self._solver.run()
        status = self._solver.getModelStatus().name
        if status == "kUnbounded":
            return None
        if status != "kOptimal":
            raise SolverError(f"HiGHS ended a linear programme with the status {status}")
        solution = self._solver.getSolution()
        return np.array(solution.col_value), np.array(solution.row_dual)

    def central_duals(self) -> FloatArray | None:
        """Return dual values from the middle of the optimal ones, as an interior point method leaves them.

        Where an optimum has many, a vertex of them prices many columns at exactly their cost; these do not. None where
        HiGHS claims no optimum.
        """
        central = new_highs()
        for name, value in (*QUIET, ("solver", "ipm"), ("run_crossover", "off")):
            self._accept(central.setOptionValue(name, value), f"the option {name}")
        self._accept(central.passModel(self._solver.getLp()), "a linear programme")
        central.run()
        if central.getModelStatus().name != "kOptimal":
            return None
        return np.array(central.getSolution().row_dual)

    def _accept(self, status: Any, what: str, complete: bool = True) -> None:
        # A warning tells of dropped tiny coefficients: the duals that come out are checked by whoever uses them.
        if status == self._codes.kError or not complete:
            raise RejectedRowError(f"HiGHS did not take {what}; rescale the data")
