"""Compiled minima of linear functions over a box, cut to L1 balls, and of their non-negative combinations.

Soundness: every value is lowered by more than its own rounding can change. A minimum over box and ball is bounded by
Lagrangian duality, where any multiplier is sound: ``sum_i min over the sides of (a_i x_i + m |x_i - c_i|) - m r``.
"""

from typing import Any, NamedTuple

import numpy as np

from verinet.bounds import InputSet
from verinet.bounds.kernels import TINY
from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray

__all__ = ["Balls", "combine", "is_apart", "lowest", "make_balls"]

COMBINATIONS = 24
"""Steps that multipliers of a conjunction's rows are improved by."""

SHARE_SLACK = 1e-12
"""More than the sum of a few multipliers, relative to itself, can be off by."""


class Balls(NamedTuple):
    """L1 balls as flat arrays, with centres in floats and radii that take in the centres' rounding.

    Attributes
    ----------
    first : ndarray of int, shape (balls + 1,)
        Ball k is over the coordinates ``coordinate[first[k]:first[k + 1]]``, each at most once.
    coordinate : ndarray of int
    centre : ndarray of float
    radius : ndarray of float, shape (balls,)
    inside : ndarray of int, shape (balls, inputs)
        The place of each input among a ball's coordinates, counted like `coordinate`; -1 for none.
    """

    first: IntArray
    coordinate: IntArray
    centre: FloatArray
    radius: FloatArray
    inside: IntArray


def make_balls(inputs: InputSet) -> Balls:
    """Flatten the balls of an input set; one that names a coordinate twice is left to its box.

    Parameters
    ----------
    inputs : InputSet
    """
    balls = [ball for ball in inputs.balls if len(np.unique(ball.coordinates)) == len(ball.coordinates)]
    first = np.cumsum([0, *(len(ball.coordinates) for ball in balls)])
    inside = np.full((len(balls), len(inputs.box.lower)), -1, dtype=np.int64)
    for k, ball in enumerate(balls):
        inside[k, ball.coordinates] = np.arange(first[k], first[k + 1])
    return Balls(
        first,
        np.concatenate([np.zeros(0, dtype=np.int64), *(ball.coordinates for ball in balls)]).astype(np.int64),
        np.concatenate([np.zeros(0), *(ball.centre for ball in balls)]),
        np.array([ball.radius for ball in balls], dtype=np.float64),
        inside,
    )


@jit
def is_apart(tape: Any, work: Any, balls: Any) -> bool:
    """Return whether the box has no point in common with one of the balls, for sure."""
    for k in range(len(balls.radius)):
        distance, reach = 0.0, balls.radius[k]
        for j in range(balls.first[k], balls.first[k + 1]):
            i, c = balls.coordinate[j], balls.centre[j]
            distance += max(0.0, work.lower[i] - c, c - work.upper[i])
            reach += abs(c) + max(abs(work.lower[i]), abs(work.upper[i]))
        if distance - tape.gamma * reach - TINY > balls.radius[k]:
            return True
    return False


@jit
def lowest(tape: Any, work: Any, balls: Any, row: FloatArray, constant: float, point: FloatArray) -> float:
    """Bound ``row . x + constant`` from below over box and balls; where it is attained, nearly, goes to `point`.

    Parameters
    ----------
    tape : Tape
    work : Work
        Its first entries hold the box.
    balls : Balls
        Of several, the one that gives most counts.
    row : ndarray, shape (inputs,)
    constant : float
    point : ndarray
        Its first entries are overwritten.
    """
    value, reach = 0.0, abs(constant)
    for i in range(tape.inputs):
        a, b = row[i] * work.lower[i], row[i] * work.upper[i]
        if a < b:
            value += a
            point[i] = work.lower[i]
        else:
            value += b
            point[i] = work.upper[i]
        reach += max(abs(a), abs(b))
    best = value + constant - tape.gamma * reach - TINY
    for k in range(len(balls.radius)):
        multiplier = _greedy(work, balls, k, row, point)
        if multiplier > 0.0:
            best = max(best, _over_ball(tape, work, balls, k, row, constant, multiplier))
    return float(best)


@jit
def _greedy(work: Any, balls: Any, k: int, row: FloatArray, point: FloatArray) -> float:
    """Move from the centre, where it pays most first, as far as the radius allows; return what the last move paid.

    A continuous knapsack. Zero means that the ball is wide enough for the box's own minimiser.
    """
    first, last = balls.first[k], balls.first[k + 1]
    left = balls.radius[k]
    total = 0.0
    for j in range(first, last):
        i = balls.coordinate[j]
        nearest = min(max(balls.centre[j], work.lower[i]), work.upper[i])
        left -= abs(nearest - balls.centre[j])
        total += abs(point[i] - nearest)
    if total <= left:
        return 0.0
    left = max(left, 0.0)
    multiplier = 0.0
    order = np.argsort(-np.abs(row[balls.coordinate[first:last]]))
    for n in range(last - first):
        j = first + order[n]
        i = balls.coordinate[j]
        nearest = min(max(balls.centre[j], work.lower[i]), work.upper[i])
        way = point[i] - nearest
        if abs(way) <= left:
            left -= abs(way)
            continue
        if multiplier == 0.0:
            multiplier = abs(row[i])
        point[i] = nearest + (left if way > 0.0 else -left)
        left = 0.0
    return float(multiplier)


@jit
def _over_ball(tape: Any, work: Any, balls: Any, k: int, row: FloatArray, constant: float, multiplier: float) -> float:
    """Bound the function over the box and one ball, by a multiplier of the ball's row."""
    value = constant - multiplier * balls.radius[k]
    reach = abs(constant) + multiplier * balls.radius[k]
    for i in range(tape.inputs):
        low, high, j = work.lower[i], work.upper[i], balls.inside[k, i]
        a, b = row[i] * low, row[i] * high
        if j < 0:
            value += min(a, b)
            reach += max(abs(a), abs(b))
            continue
        c = balls.centre[j]
        term = min(a + multiplier * abs(low - c), b + multiplier * abs(high - c))
        if low < c < high:
            term = min(term, row[i] * c)
        value += term
        # Some of the terms cancel; all that any of them had rounded counts.
        reach += max(abs(a), abs(b)) + (abs(row[i]) + multiplier) * abs(c) + multiplier * max(abs(low), abs(high))
    return float(value - 2.0 * tape.gamma * reach - TINY)


@jit
def combine(
    tape: Any,
    work: Any,
    balls: Any,
    rows: FloatArray,
    constants: FloatArray,
    priced: IntArray,
    weights: FloatArray,
    slopes: FloatArray,
    sum_row: FloatArray,
    point: FloatArray,
) -> tuple[float, float]:
    """Look for multipliers whose combination of the rows is positive over box and balls.

    Exponentiated subgradients on the simplex: the rows that the minimiser violates gain weight.

    Parameters
    ----------
    tape : Tape
    work : Work
    balls : Balls
    rows, constants : ndarray, shapes (rows, inputs) and (rows,)
    priced : ndarray of int, shape (rows,)
        Which rows are members of the objective, all less one cut-off.
    weights, slopes, sum_row, point : ndarray
        Room.

    Returns
    -------
    best : float
        The best bound found of a combination.
    objective : float
        Where all other rows are at most zero, some priced one is at least this.
    """
    count = len(constants)
    weights[:count] = 1.0 / count
    best, objective = -np.inf, -np.inf
    for step in range(COMBINATIONS):
        sum_row[:] = 0.0
        constant, share = 0.0, 0.0
        for k in range(count):
            constant += weights[k] * constants[k]
            share += weights[k] * priced[k]
            for i in range(tape.inputs):
                sum_row[i] += weights[k] * rows[k, i]
        value = lowest(tape, work, balls, sum_row, constant, point)
        # The combination itself was rounded: its terms are bounded by those of the rows.
        reach = 0.0
        for k in range(count):
            part = abs(constants[k])
            for i in range(tape.inputs):
                part += abs(rows[k, i]) * work.magnitude[i]
            reach += weights[k] * part
        value -= tape.gamma * reach + tape.underflow * work.largest[0]
        best = max(best, value)
        if best > 0.0:
            return float(best), float(objective)
        if share > 0.0:
            # sum of w_k e_k >= value over the priced rows, so their largest is at least value / share.
            objective = max(objective, value / share * (1.0 + SHARE_SLACK))
        largest = 0.0
        for k in range(count):
            slope = constants[k]
            for i in range(tape.inputs):
                slope += rows[k, i] * point[i]
            slopes[k] = slope
            largest = max(largest, abs(slope))
        if largest == 0.0:
            break
        total = 0.0
        rate = 4.0 / (1.0 + 0.25 * step)
        for k in range(count):
            weights[k] *= np.exp(rate * slopes[k] / largest)
            total += weights[k]
        for k in range(count):
            weights[k] /= total
    return float(best), float(objective)
