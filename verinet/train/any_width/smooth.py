"""Smooth losses: squared and logistic, their conjugates, and the master problem that they make.

The master is a quadratic programme with nonnegative variables, or a sequence of them (Newton's method with a line
search). The active-set method of Lawson and Hanson finds its optimum in finitely many steps and starts from the last
one's active set, so a round of column generation costs a few small linear systems.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.train.any_width.master import Columns, Fit, PointRows
from verinet.train.specification import Loss

__all__ = ["SMOOTH", "SmoothLoss", "SmoothMaster"]

RIDGE = 1e-13
"""Relative to the largest diagonal entry: keeps systems of nearly equal columns solvable."""

STATIONARY = 1e-11
"""Reduced gradients below this, relative to their scale, count as zero."""

MOST_NEWTON_STEPS = 60

PENALTY = 1e3
"""Of the square of what conditions are missed by: large beside the curvature of a loss whose weights sum to 1."""

SETTLED = 1e-9
"""Multipliers that change no more have reached their optimum."""

MOST_CORRECTIONS = 60
"""Of the multipliers; conditions that the units so far cannot meet raise them again and again."""


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


@dataclass(frozen=True, eq=False)
class _Sides:
    """Conditions with one side each: ``weights f >= least``.

    Parameters
    ----------
    weights : ndarray, shape (sides, points)
    least : ndarray, shape (sides,)
    condition : ndarray of int, shape (sides,)
        Which condition each comes from.
    signs : ndarray, shape (sides,)
        Of that condition's multiplier.
    price : float
    """

    weights: FloatArray
    least: FloatArray
    condition: IntArray
    signs: FloatArray
    price: float

    @classmethod
    def of(cls, rows: PointRows | None, points: int) -> "_Sides":
        """Split conditions into their finite sides."""
        if rows is None:
            return cls(np.zeros((0, points)), np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0), 0.0)
        low, high = rows.sides
        lower, upper = np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
        return cls(
            np.vstack([rows.weights[lower], -rows.weights[upper]]),
            np.concatenate([low[lower], -high[upper]]),
            np.concatenate([lower, upper]),
            np.concatenate([np.ones(len(lower)), -np.ones(len(upper))]),
            rows.price,
        )


class SmoothMaster:
    """A smooth loss over the columns so far.

    Conditions enter by the method of multipliers: a quadratic penalty around multipliers that each solve corrects, with
    a nonnegative variable for what a condition leaves unused, so that every step is one more quadratic programme.

    Parameters
    ----------
    loss : SmoothLoss
    y, weights : ndarray, shape (samples,)
    columns : Columns
        Of the samples, then of the points that conditions speak of.
    rows : PointRows or None

    References
    ----------
    Rockafellar, The multiplier method of Hestenes and Powell applied to convex programming (1973).
    """

    def __init__(
        self,
        loss: SmoothLoss,
        y: FloatArray,
        weights: FloatArray,
        columns: Columns,
        rows: PointRows | None = None,
    ) -> None:
        self._loss, self._y, self._weights = loss, y, weights
        self._columns, self._rows = columns, rows
        self._sides = _Sides.of(rows, len(columns.design))
        self._multipliers = np.zeros(len(self._sides.least))
        self._values = np.zeros(len(columns.costs))

    def add(self, columns: Columns) -> None:
        """Add structural variables."""
        self._columns = self._columns.joined(columns)
        self._values = np.concatenate([self._values, np.zeros(len(columns.costs))])

    def solve(self, time_limit: float) -> Fit:
        """Return the optimum over the variables so far."""
        sides, loose = self._sides, np.inf
        for _ in range(MOST_CORRECTIONS if len(sides.least) else 1):
            self._values = self._minimise()
            if not len(sides.least):
                break
            missed = sides.least - sides.weights @ (self._columns.design @ self._values)
            corrected = np.clip(self._multipliers + PENALTY * missed, 0.0, sides.price)
            was, loose = loose, float(np.abs(corrected - self._multipliers).max())
            self._multipliers = corrected
            if loose <= SETTLED or (loose >= 0.999 * was and loose <= PENALTY * SETTLED):
                break
        return self._fit()

    def central(self) -> Fit:
        """Return the last optimum: a smooth loss has one price for each output."""
        return self._fit()

    def _fit(self) -> Fit:
        v, sides, samples = self._values, self._sides, len(self._y)
        f = self._columns.design @ v
        prices = np.zeros(len(f))
        prices[:samples] = -self._weights * self._loss.slope(self._y, f[:samples])
        objective = float(self._weights @ self._loss.value(self._y, f[:samples]) + self._columns.costs @ v)
        multipliers = np.zeros(0 if self._rows is None else len(self._rows.low))
        if self._rows is not None:
            np.add.at(multipliers, sides.condition, sides.signs * self._multipliers)
            prices += multipliers @ self._rows.weights
            objective += self._rows.cost(f)
        return Fit(v, f, prices, multipliers, objective)

    def _minimise(self) -> FloatArray:
        """Return the optimum at the present multipliers, by Newton's method."""
        columns, samples = self._columns, len(self._y)
        design, count = columns.design[:samples], len(columns.costs)
        reached = self._sides.weights @ columns.design
        v = self._values
        f, at = design @ v, reached @ v
        best = self._augmented(v, f, at)
        for _ in range(1 if self._loss.is_quadratic else MOST_NEWTON_STEPS):
            curvature = self._weights * np.maximum(self._loss.curvature(self._y, f), 1e-10)
            slope = self._weights * self._loss.slope(self._y, f)
            gram = design.T @ (curvature[:, None] * design)
            target = gram @ v - design.T @ slope - columns.costs
            trial = self._quadratic(gram, target, reached, v, at)[:count]
            v, f, at, value = self._line_search(v, (f, at), trial, (design @ trial, reached @ trial), best)
            if best - value <= 1e-13 * max(abs(best), 1e-300):
                break
            best = value
        return v

    def _quadratic(
        self, gram: FloatArray, target: FloatArray, reached: FloatArray, v: FloatArray, at: FloatArray
    ) -> FloatArray:
        """Minimise a quadratic model with the conditions' penalty; what they leave unused stands behind v."""
        sides, free = self._sides, self._columns.free
        count = len(sides.least)
        if not count:
            return nonnegative_quadratic(gram, target, free, v)
        goal = sides.least + self._multipliers / PENALTY
        whole = np.block(
            [
                [gram + PENALTY * reached.T @ reached, -PENALTY * reached.T],
                [-PENALTY * reached, PENALTY * np.eye(count)],
            ]
        )
        right = np.concatenate([target + PENALTY * reached.T @ goal, -PENALTY * goal])
        start = np.concatenate([v, np.maximum(at - goal, 0.0)])
        return nonnegative_quadratic(whole, right, np.concatenate([free, np.zeros(count, dtype=np.bool_)]), start)

    def _augmented(self, v: FloatArray, f: FloatArray, at: FloatArray) -> float:
        """Return the loss, the costs and the penalty."""
        short = np.maximum(self._sides.least + self._multipliers / PENALTY - at, 0.0)
        loss = float(self._weights @ self._loss.value(self._y, f) + self._columns.costs @ v)
        return loss + 0.5 * PENALTY * float(short @ short)

    def _line_search(
        self,
        v: FloatArray,
        here: tuple[FloatArray, FloatArray],
        trial: FloatArray,
        ahead: tuple[FloatArray, FloatArray],
        best: float,
    ) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """Go towards the quadratic model's optimum as far as the objective falls."""
        step = 1.0
        for _ in range(40):
            v_new = v + step * (trial - v)
            f_new, at_new = (a + step * (b - a) for a, b in zip(here, ahead, strict=True))
            value = self._augmented(v_new, f_new, at_new)
            if value < best:
                return v_new, f_new, at_new, value
            step *= 0.5
        return v, *here, best


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
