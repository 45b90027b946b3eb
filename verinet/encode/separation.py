"""Ideal cuts of ReLUs, found where a point of the relaxation breaks them.

Of ``h = max(a . v + b, 0)`` with the binary z that says which, over a set P of the variables v, any vector p gives

    h <= p . v + z max over P of ((a - p) . v + b) + (1 - z) max over P of (-p . v):

with z = 1 the left side is ``a . v + b``, with z = 0 it is 0, and each is at most p . v and what it is above it. All of
them together are the convex hull over P. P is a box, cut by one row ``c . v <= B`` where the programme has one, such as
the ball that the weights of a unit lie in. A p that is broken most comes of few candidates: of the box alone each entry
is 0 or that of a, and with a row of the form ``a - s c`` instead, or ``s c``, at one of the breakpoints of the shift s.

Soundness: p is found in float64 and any p will do; the two maxima are rounded up, so no feasible point is cut off.

References
----------
Anderson, Huchette, Ma, Tjandraatmadja, Vielma, Strong mixed-integer programming formulations for trained neural
networks, Mathematical Programming 2020, for boxes. That a row of budget only shifts the coefficients is Lagrange's
rule: the most of ``a . u`` over the share u of v that belongs to z = 1 is a fractional knapsack.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.encode.lowering import SMALLEST_BIG_M, SMALLEST_COEFFICIENT, Lowered
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Expressions, Programme, Rows

__all__ = ["ReluCuts"]

ROUNDING = 2.0**-52
"""Twice the relative error of one operation."""


@dataclass(frozen=True, eq=False)
class ReluCuts:
    """The ReLUs of a lowered programme, with what their cuts are made of.

    Every array of two axes holds, for each ReLU, its variables: as many as the longest one has, the others filled up
    with coefficients of zero.

    Parameters
    ----------
    results, binaries : ndarray of int, shape (relus,)
    variables : ndarray of int, shape (relus, width)
    coefficients : ndarray, shape (relus, width)
        The vectors a.
    constants : ndarray, shape (relus,)
        The numbers b.
    lower, upper : ndarray, shape (relus, width)
        The box.
    shares : ndarray, shape (relus, width)
        The vectors c of the budgets; zero where there is none.
    budgets : ndarray, shape (relus,)
        The sides B.
    """

    results: IntArray
    binaries: IntArray
    variables: IntArray
    coefficients: FloatArray
    constants: FloatArray
    lower: FloatArray
    upper: FloatArray
    shares: FloatArray
    budgets: FloatArray

    @classmethod
    def of(cls, lowered: Lowered) -> "ReluCuts":
        """Find the ReLUs of a lowered programme that have a binary, and variables with finite bounds.

        Parameters
        ----------
        lowered : Lowered
        """
        programme, found = lowered.programme, lowered.relus
        arguments = found.arguments.matrix.copy()
        # A variable that stands twice would count twice in a budget.
        arguments.sum_duplicates()
        counts = np.diff(arguments.indptr)
        inside = np.arange(int(counts.max(initial=0))) < counts[:, None]
        variables, coefficients = np.zeros(inside.shape, dtype=np.int64), np.zeros(inside.shape)
        variables[inside], coefficients[inside] = arguments.indices, arguments.data
        lower, upper = (np.where(inside, bound[variables], 0.0) for bound in (programme.lower, programme.upper))
        boxed = np.flatnonzero(np.isfinite(lower).all(axis=1) & np.isfinite(upper).all(axis=1))
        shares, budgets = _budgets(programme, variables[boxed], inside[boxed])
        return cls(
            found.results[boxed],
            found.binaries[boxed],
            variables[boxed],
            coefficients[boxed],
            found.arguments.constant[boxed],
            lower[boxed],
            upper[boxed],
            shares,
            budgets,
        )

    def separate(self, point: FloatArray, violation: float) -> Rows:
        """Return the most violated cut of each ReLU, where it is violated by more than `violation`.

        Parameters
        ----------
        point : ndarray, shape (variables,)
            Of the lowered programme.
        violation : float
        """
        shifts = self._best_shifts(point)
        values, inside = self._limits(shifts, point)
        broken = np.flatnonzero(point[self.results] > values + violation)
        return self.rows(broken, shifts[broken], inside[broken])

    def _limits(self, shifts: FloatArray, point: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return what the best cut at each ReLU's shift says of h, and which entries of its p come of a."""
        v, z = point[self.variables], point[self.binaries][:, None]
        reduced = self.coefficients - shifts[:, None] * self.shares
        least, most = np.where(reduced > 0, [self.lower, self.upper], [self.upper, self.lower])
        near, far = reduced * (v - least * (1.0 - z)), reduced * most * z
        inside = near < far
        used = (self.shares * v).sum(axis=1)
        paid = np.where(shifts > 0, self.budgets * z[:, 0], used - self.budgets * (1.0 - z[:, 0]))
        return np.where(inside, near, far).sum(axis=1) + shifts * paid + self.constants * z[:, 0], inside

    def _best_shifts(self, point: FloatArray) -> FloatArray:
        """Return the shift at which each ReLU's cut is tightest: a cut's side is linear between its breakpoints."""
        spent = self.shares > SMALLEST_COEFFICIENT
        breaks = np.divide(self.coefficients, self.shares, out=np.zeros(spent.shape), where=spent)
        best = np.zeros(len(breaks))
        least, _ = self._limits(best, point)
        for column in np.flatnonzero(spent.any(axis=0)):
            side, _ = self._limits(breaks[:, column], point)
            best = np.where(side < least, breaks[:, column], best)
            least = np.minimum(side, least)
        return best

    def rows(self, relus: IntArray, shifts: FloatArray, inside: BoolArray) -> Rows:
        """Return the cuts of some ReLUs.

        Parameters
        ----------
        relus : ndarray of int, shape (cuts,)
        shifts : ndarray, shape (cuts,)
            Any numbers; zero where a ReLU has no budget.
        inside : ndarray of bool, shape (cuts, width)
            Any entries; see `separate`.
        """
        a, c = self.coefficients[relus], self.shares[relus]
        on, off = np.maximum(shifts, 0.0), np.maximum(-shifts, 0.0)
        p = np.where(inside, a - on[:, None] * c, off[:, None] * -c)
        largest = np.maximum(np.abs(p).max(axis=1, initial=0.0), 1.0)
        p = np.where(np.abs(p) < SMALLEST_COEFFICIENT * largest[:, None], 0.0, p)
        # a - p rounds; the error is counted with the magnitudes of both.
        when_on = self._most(relus, a, p, on, self.constants[relus])
        when_off = self._most(relus, np.zeros_like(p), p, off, np.zeros(len(p)))
        steps = np.nextafter(when_on - when_off, np.inf)
        steps = np.where(np.abs(steps) < SMALLEST_BIG_M, np.where(steps > 0, SMALLEST_BIG_M, 0.0), steps)
        return self._assembled(relus, p, steps, when_off)

    def _most(
        self, relus: IntArray, a: FloatArray, p: FloatArray, price: FloatArray, constant: FloatArray
    ) -> FloatArray:
        """Return upper bounds of ``(a - p) . v + constant``, rounded up, with a price on the budget.

        Soundness: ``(a - p) . v <= price B + (a - p - price c) . v`` for a price that is not negative.
        """
        c, lower, upper = self.shares[relus], self.lower[relus], self.upper[relus]
        paid = price * self.budgets[relus]
        reduced = a - p - price[:, None] * c
        total = np.maximum(reduced * lower, reduced * upper).sum(axis=1) + paid + constant
        reach = (np.abs(a) + np.abs(p) + price[:, None] * c) * np.maximum(np.abs(lower), np.abs(upper))
        slack = (reach.sum(axis=1) + np.abs(paid) + np.abs(constant)) * ((p.shape[1] + 8) * ROUNDING)
        highest: FloatArray = np.nextafter(total + slack + np.finfo(np.float64).tiny, np.inf)
        return highest

    def _assembled(self, relus: IntArray, p: FloatArray, steps: FloatArray, sides: FloatArray) -> Rows:
        """Return ``h - p . v - step z <= side``."""
        count = len(p)
        entries = np.column_stack([np.ones(count), -p, -steps])
        columns = np.column_stack([self.results[relus], self.variables[relus], self.binaries[relus]])
        kept = entries != 0
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        highest = int(columns.max(initial=-1)) + 1
        matrix = sp.csr_array((entries[kept], columns[kept], starts), shape=(count, highest))
        matrix.sort_indices()
        return Rows(Expressions(matrix, np.zeros(count)), np.full(count, -np.inf), sides)


def _budgets(programme: Programme, variables: IntArray, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return for each ReLU a row ``c . v <= B`` with positive c that holds for its variables; zeros where none cuts."""
    shares, budgets = np.zeros(variables.shape), np.zeros(len(variables))
    rows = programme.rows
    # Both sides of each row, as upper ones.
    matrix = sp.csc_array(sp.vstack([programme.matrix, -programme.matrix]))
    matrix.sum_duplicates()
    sides = np.concatenate([rows.upper - rows.expressions.constant, rows.expressions.constant - rows.lower])
    sides = np.nextafter(sides, np.inf)
    least = Expressions(sp.csr_array(matrix), np.zeros(len(sides))).enclosure(programme.lower, programme.upper)[0]
    known: dict[bytes, tuple[FloatArray, float] | None] = {}
    for relu, entries in enumerate(inside):
        own = variables[relu, entries]
        key = own.tobytes()
        if key not in known:
            known[key] = _tightest(matrix[:, own], sides, least, programme.lower[own], programme.upper[own])
        tightest = known[key]
        if tightest is not None:
            shares[relu, entries], budgets[relu] = tightest
    return shares, budgets


def _tightest(
    columns: Any, sides: FloatArray, least: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, float] | None:
    """Return coefficients and side of the row that leaves least of a box, and None where no row cuts it.

    Other variables of a row count at their worst: its least value over the box less that of its own part.
    """
    positive = np.bincount(columns.indices[columns.data > 0], minlength=len(sides)) == columns.shape[1]
    chosen = np.flatnonzero(positive & np.isfinite(sides) & np.isfinite(least))
    if not len(chosen):
        return None
    c = sp.csr_array(columns)[chosen].toarray()
    low, high = c @ lower, c @ upper
    # Rounding of these few sums stays far below what is added.
    budget = sides[chosen] - least[chosen] + low
    budget += 1e-12 * (np.abs(sides[chosen]) + np.abs(least[chosen]) + c @ np.abs(lower))
    with np.errstate(invalid="ignore"):
        share = np.where(high > low, (budget - low) / (high - low), 1.0)
    best = int(np.argmin(share))
    return (c[best], float(budget[best])) if share[best] < 1.0 else None
