"""Linear relaxations of ReLU and maximum: one line below and one above each result.

Both operations share one form: entry j of the result lies between a line in one entry of the argument and a line in
another (or the same) entry. For a ReLU both are entry j.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verinet.bounds.interval import Interval
from verinet.model import Maximum, Relu
from verinet.numeric import FloatArray, IntArray

__all__ = ["Line", "Relaxation", "relax"]


@dataclass(frozen=True, eq=False)
class Line:
    """``slope_j * argument[index_j] + intercept_j`` for each entry j of the result.

    Parameters
    ----------
    index : ndarray of int
    slope, intercept : ndarray of float
    """

    index: IntArray
    slope: FloatArray
    intercept: FloatArray


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Lines below and above the result of an operation, over the argument's enclosure.

    Parameters
    ----------
    below, above : Line
    size : int
        Length of the argument.
    """

    below: Line
    above: Line
    size: int


def _chord(lower: FloatArray, upper: FloatArray, floor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return slope and intercept of a line above ``max(x, floor)`` over lower <= x <= upper.

    Soundness: any slope s in [0, 1] gives a valid line with the intercept that the larger of both ends asks for,
    ``max(floor - s * lower, (1 - s) * upper)``; it is computed with two outward roundings an operation.
    """
    width = upper - lower
    above, below = lower >= floor, (upper <= floor) & (lower < floor)
    slope = np.where(width > 0, (upper - np.maximum(floor, lower)) / np.where(width > 0, width, 1.0), 1.0)
    slope = np.where(above, 1.0, np.where(below, 0.0, np.clip(slope, 0.0, 1.0)))
    at_lower = np.maximum(floor, lower) - slope * lower
    at_upper = (1.0 - slope) * upper
    slack = 8 * 2.0**-53 * (np.abs(floor) + np.abs(lower) + np.abs(upper)) + np.finfo(np.float64).tiny
    intercept = np.maximum(at_lower, at_upper) + slack
    # A stable entry is the argument itself, or the floor, without rounding.
    return slope, np.where(above, 0.0, np.where(below, floor, intercept))


def _relax_relu(op: Relu, argument: Interval) -> Relaxation:
    """Relax ``max(0, x)``: below by 0 or x, whichever leaves the smaller triangle, above by the chord."""
    lower, upper = argument.lower, argument.upper
    index = np.arange(op.size)
    slope, intercept = _chord(lower, upper, np.zeros_like(lower))
    below = np.where(lower >= 0, 1.0, np.where(upper <= 0, 0.0, (upper > -lower).astype(np.float64)))
    return Relaxation(Line(index, below, np.zeros_like(lower)), Line(index, slope, intercept), op.size)


def _relax_maximum(op: Maximum, argument: Interval) -> Relaxation:
    """Relax the maximum of each group.

    Below by the member with the largest lower bound; above by the chord of ``max(x_i, floor)`` for the member i with
    the largest upper bound, where floor is the largest upper bound of the others.
    """
    lower, upper = argument.lower[op.members], argument.upper[op.members]
    group = np.repeat(np.arange(op.size_out), np.diff(op.offsets))
    starts = op.offsets[:-1]
    # Sorting by group, then by bound, puts each group's largest last.
    ends = op.offsets[1:] - 1
    lowest = np.lexsort((lower, group))[ends]
    order = np.lexsort((upper, group))
    highest = order[ends]
    floor = np.where(np.diff(op.offsets) > 1, upper[order[np.maximum(ends - 1, starts)]], -np.inf)
    top_lower, top_upper = lower[highest], upper[highest]
    # With one member, or one that dominates, the floor never counts: any floor at most its lower bound says so.
    slope, intercept = _chord(top_lower, top_upper, np.maximum(floor, top_lower))
    ones, zeros = np.ones(op.size_out), np.zeros(op.size_out)
    below = Line(op.members[lowest], ones, zeros)
    return Relaxation(below, Line(op.members[highest], slope, intercept), op.size)


RELAXATIONS: Mapping[type, Callable[..., Relaxation]] = {Relu: _relax_relu, Maximum: _relax_maximum}
"""How each operation that is not affine is relaxed."""


def relax(op: Relu | Maximum, argument: Interval) -> Relaxation:
    """Relax an operation over its argument's enclosure.

    Parameters
    ----------
    op : Relu or Maximum
    argument : Interval
        One enclosure, not a batch.
    """
    return RELAXATIONS[type(op)](op, argument)
