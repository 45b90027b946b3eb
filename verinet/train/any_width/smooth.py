"""Smooth losses: squared and logistic, their conjugates, and the master problem that they make.

The master is a quadratic programme with nonnegative variables, or a sequence of them (Newton's method with a line
search). The active-set method of Lawson and Hanson finds its optimum in finitely many steps and starts from the last
one's active set, so a round of column generation costs a few small linear systems.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from verinet.numeric import BoolArray, FloatArray
from verinet.train.any_width.master import Columns, Fit
from verinet.train.specification import Loss

__all__ = ["SMOOTH", "SmoothLoss", "SmoothMaster"]

RIDGE = 1e-13
"""Relative to the largest diagonal entry: keeps systems of nearly equal columns solvable."""

STATIONARY = 1e-11
"""Reduced gradients below this, relative to their scale, count as zero."""

MOST_NEWTON_STEPS = 60


@dataclass(frozen=True)
class SmoothLoss:
    """A loss of target and output, with its first two derivatives by the output.

    Parameters
    ----------
    value, slope, curvature : callable
        Of targets and outputs.
    is_quadratic : bool
        One Newton step suffices.
    """

    value: Callable[[FloatArray, FloatArray], FloatArray]
    slope: Callable[[FloatArray, FloatArray], FloatArray]
    curvature: Callable[[FloatArray, FloatArray], FloatArray]
    is_quadratic: bool = False


def _sigmoid(t: FloatArray) -> FloatArray:
    return np.where(t >= 0, 1.0 / (1.0 + np.exp(-np.abs(t))), np.exp(-np.abs(t)) / (1.0 + np.exp(-np.abs(t))))


SMOOTH: Mapping[Loss, SmoothLoss] = {
    Loss.SQUARED: SmoothLoss(
        lambda y, f: (f - y) ** 2, lambda y, f: 2.0 * (f - y), lambda y, f: np.full(len(f), 2.0), is_quadratic=True
    ),
    Loss.LOGISTIC: SmoothLoss(
        lambda y, f: np.logaddexp(0.0, -y * f),
        lambda y, f: -y * _sigmoid(-y * f),
        lambda y, f: _sigmoid(y * f) * _sigmoid(-y * f),
    ),
}
"""The losses with a gradient."""


class SmoothMaster:
    """A smooth loss over the columns so far.

    Parameters
    ----------
    loss : SmoothLoss
    y, weights : ndarray, shape (samples,)
    columns : Columns
    """

    def __init__(self, loss: SmoothLoss, y: FloatArray, weights: FloatArray, columns: Columns) -> None:
        self._loss, self._y, self._weights = loss, y, weights
        self._columns = columns
        self._values = np.zeros(len(columns.costs))

    def add(self, columns: Columns) -> None:
        """Add structural variables."""
        self._columns = self._columns.joined(columns)
        self._values = np.concatenate([self._values, np.zeros(len(columns.costs))])

    def solve(self, time_limit: float) -> Fit:
        """Return the optimum over the variables so far."""
        columns = self._columns
        v = self._values
        f = columns.design @ v
        best = self._objective(v, f)
        for _ in range(1 if self._loss.is_quadratic else MOST_NEWTON_STEPS):
            curvature = self._weights * np.maximum(self._loss.curvature(self._y, f), 1e-10)
            slope = self._weights * self._loss.slope(self._y, f)
            gram = columns.design.T @ (curvature[:, None] * columns.design)
            target = gram @ v - columns.design.T @ slope - columns.costs
            trial = nonnegative_quadratic(gram, target, columns.free, v)
            v, f, value = self._line_search(v, f, trial, best)
            if best - value <= 1e-13 * max(abs(best), 1e-300):
                best = value
                break
            best = value
        self._values = v
        return Fit(v, f, -self._weights * self._loss.slope(self._y, f), np.zeros(0), best)

    def _objective(self, v: FloatArray, f: FloatArray) -> float:
        return float(self._weights @ self._loss.value(self._y, f) + self._columns.costs @ v)

    def _line_search(
        self, v: FloatArray, f: FloatArray, trial: FloatArray, best: float
    ) -> tuple[FloatArray, FloatArray, float]:
        """Go towards the quadratic model's optimum as far as the objective falls."""
        step = 1.0
        ahead = self._columns.design @ trial
        for _ in range(40):
            v_new, f_new = v + step * (trial - v), f + step * (ahead - f)
            value = self._objective(v_new, f_new)
            if value < best:
                return v_new, f_new, value
            step *= 0.5
        return v, f, best


def nonnegative_quadratic(gram: FloatArray, target: FloatArray, free: BoolArray, start: FloatArray) -> FloatArray:
    """Minimise ``v gram v / 2 - target v`` over v, nonnegative where not free.

    Parameters
    ----------
    gram : ndarray, shape (variables, variables)
        Positive semidefinite.
    target : ndarray, shape (variables,)
    free : ndarray of bool
    start : ndarray
        Feasible; its support is the first active set.

    Returns
    -------
    ndarray, shape (variables,)

    References
    ----------
    Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23.
    """
    size = len(target)
    v = start.copy()
    active = free | (v > 0)
    scale = max(float(np.abs(target).max(initial=0.0)), 1e-300)
    for _ in range(10 * size + 10):
        while True:
            chosen = np.flatnonzero(active)
            goal = np.zeros(size)
            goal[chosen] = _solve(gram[np.ix_(chosen, chosen)], target[chosen])
            falling = active & ~free & (goal <= 0)
            if not falling.any():
                v = goal
                break
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(falling, v / np.maximum(v - goal, 1e-300), np.inf)
            step = min(1.0, float(ratio.min()))
            v = v + step * (goal - v)
            active &= free | ((v > 0) & (ratio > step))
            v[~active] = 0.0
        reduced = np.where(active, -np.inf, target - gram @ v)
        entering = int(np.argmax(reduced))
        if reduced[entering] <= STATIONARY * scale:
            break
        active[entering] = True
    return v


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    if not len(right):
        return right
    ridge = RIDGE * max(float(np.diag(matrix).max()), 1e-300)
    try:
        factor = sla.cho_factor(matrix + ridge * np.eye(len(right)))
        return np.asarray(sla.cho_solve(factor, right))
    except sla.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])
