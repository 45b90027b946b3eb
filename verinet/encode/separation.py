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
        """Find the ReLUs of a lowered programme: maxima of an expression and zero with a binary.

        Parameters
        ----------
        lowered : Lowered
        """
        switches = lowered.switches
        matrix = switches.arguments.matrix
        counts = np.diff(matrix.indptr)
        size, width = len(counts), int(counts.max(initial=0))
        inside = np.arange(width) < counts[:, None]
        variables, coefficients = np.zeros((size, width), dtype=np.int64), np.zeros((size, width))
        variables[inside], coefficients[inside] = matrix.indices, matrix.data
        programme = lowered.programme
        lower = np.where(inside, programme.lower[variables], 0.0)
        upper = np.where(inside, programme.upper[variables], 0.0)
        shares, budgets = _budgets(programme, variables, inside)
        return cls(
            switches.results,
            switches.binaries,
            variables,
            coefficients,
            switches.arguments.constant,
            lower,
            upper,
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
        with np.errstate(invalid="ignore"):
            paid = np.where(shifts > 0, self.budgets * z[:, 0], used - self.budgets * (1.0 - z[:, 0]))
        offset = np.where(shifts != 0, shifts * paid, 0.0) + self.constants * z[:, 0]
        return np.where(inside, near, far).sum(axis=1) + offset, inside

    def _best_shifts(self, point: FloatArray) -> FloatArray:
        """Return the shift at which each ReLU's cut is tightest: a cut's side is convex in it, with few breakpoints."""
        spent = self.shares > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(spent, self.coefficients / self.shares, 0.0)
        breaks = np.sort(np.column_stack([ratios, np.zeros(len(ratios))]), axis=1)
        rows = np.arange(len(breaks))
        first, last = np.zeros(len(breaks), dtype=np.int64), np.full(len(breaks), breaks.shape[1] - 1)
        while (first < last).any():
            middle = (first + last) // 2
            here, _ = self._limits(breaks[rows, middle], point)
            after, _ = self._limits(breaks[rows, np.minimum(middle + 1, last)], point)
            falls = after < here
            first, last = np.where(falls, middle + 1, first), np.where(falls, last, middle)
            first = np.minimum(first, last)
        return breaks[rows, first]

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
        usable = np.flatnonzero(np.isfinite(steps) & np.isfinite(when_off))
        return self._assembled(relus[usable], p[usable], steps[usable], when_off[usable])

    def _most(
        self, relus: IntArray, a: FloatArray, p: FloatArray, price: FloatArray, constant: FloatArray
    ) -> FloatArray:
        """Return upper bounds of ``(a - p) . v + constant``, rounded up, with a price on the budget.

        Soundness: ``(a - p) . v <= price B + (a - p - price c) . v`` for a price that is not negative.
        """
        c, lower, upper = self.shares[relus], self.lower[relus], self.upper[relus]
        paid = np.where(price > 0, price * self.budgets[relus], 0.0)
        reduced = a - p - price[:, None] * c
        with np.errstate(invalid="ignore"):
            terms = np.where(reduced != 0, np.maximum(reduced * lower, reduced * upper), 0.0)
        magnitude = np.abs(a) + np.abs(p) + price[:, None] * c
        reach = np.where(magnitude > 0, magnitude * np.maximum(np.abs(lower), np.abs(upper)), 0.0)
        total = terms.sum(axis=1) + paid + constant
        slack = (reach.sum(axis=1) + paid + np.abs(constant)) * ((p.shape[1] + 8) * ROUNDING)
        return np.asarray(np.nextafter(total + slack + np.finfo(np.float64).tiny, np.inf))

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
    sides = np.concatenate([rows.upper - rows.expressions.constant, rows.expressions.constant - rows.lower])
    sides = np.nextafter(sides, np.inf)
    least = Expressions(sp.csr_array(matrix), np.zeros(len(sides))).enclosure(programme.lower, programme.upper)[0]
    known: dict[bytes, tuple[FloatArray, float] | None] = {}
    for relu, entries in enumerate(inside):
        own = variables[relu, entries]
        key = own.tobytes()
        if key not in known:
            known[key] = _tightest(matrix[:, own], sides, least, programme.lower[own], programme.upper[own])
        row = known[key]
        if row is not None:
            shares[relu, entries], budgets[relu] = row
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
