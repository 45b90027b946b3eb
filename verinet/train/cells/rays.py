"""The rays of an arrangement of hyperplanes: where units of a network with few weights have to be looked for.

For fixed data the values of a hidden unit at the samples are linear in its weights on each cell of the arrangement of
the hyperplanes ``z_n . w = 0``. Together with the coordinate hyperplanes, on which the L1 norm bends, the cells are
pointed cones, and each is spanned by its edges: the rays in which all but one of ``width`` hyperplanes meet. So every
unit is a sum of rays of one cell, and the greatest of any function that is linear on cells is attained at a ray.

Soundness: rays are minors of the hyperplanes' coefficients, computed in float64 with a bound of their error. Where a
ray is too short to be told from that error, it is computed in integers.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from verinet.numeric import BoolArray, FloatArray, IntArray, ObjectArray, gamma

__all__ = ["RAY_ERROR", "Rays", "find_rays", "ray_count"]

RAY_ERROR = 1e-9
"""In the L1 norm: no ray of norm 1 is farther from the one that stands for it."""

DIGITS = 11
"""Rays that agree in so many decimals are one."""

Numbers = TypeVar("Numbers", FloatArray, ObjectArray)

MOST_EXACT = 30_000
"""Of rays in integer arithmetic, which takes about a second."""


@dataclass(frozen=True, eq=False)
class Rays:
    """All rays of the arrangement of some rows and of the coordinate hyperplanes.

    Parameters
    ----------
    points : ndarray, shape (rays, width)
        Of L1 norm 1, each within `RAY_ERROR` of a ray, and each ray within that of one of them.
    heights : ndarray, shape (rays, rows)
        ``max(0, row . point)``.
    sides : ndarray of int8, shape (rays, rows)
        On which side of each row a ray lies; 0 on it, or too near to tell.
    """

    points: FloatArray
    heights: FloatArray
    sides: np.ndarray[tuple[int, int], np.dtype[np.int8]]

    def within(self, cone: IntArray) -> BoolArray:
        """Return which rays lie in a cone: 1 and -1 demand that side of a row, 0 leaves both."""
        fixed = np.flatnonzero(cone)
        return np.asarray((self.sides[:, fixed] * cone[fixed].astype(np.int8) >= 0).all(axis=1))


def ray_count(rows: int, width: int) -> int:
    """Return how many rays there are at most.

    Parameters
    ----------
    rows, width : int
        Of the matrix of hyperplanes.
    """
    return 2 * math.comb(rows + width, width - 1)


def find_rays(rows: FloatArray) -> Rays | None:
    """Return the rays of an arrangement, or None where too many of them would have to be computed in integers.

    Parameters
    ----------
    rows : ndarray, shape (rows, width)
        Of hyperplanes, none zero; two columns at least.
    """
    width = rows.shape[1]
    # Powers of two change no direction and round nothing.
    scale = 2.0 ** -np.ceil(np.log2(np.abs(rows).max(axis=1, keepdims=True)))
    planes = np.unique(np.vstack([rows * scale, np.eye(width)]), axis=0)
    chosen, directions = _meetings(planes)
    size = width - 1
    error = gamma(size * (size + 1)) * math.factorial(size)
    lengths = np.abs(directions).sum(axis=1)
    long = lengths >= 4 * width * error / RAY_ERROR
    if np.count_nonzero(~long) > MOST_EXACT:
        return None
    points = np.vstack([directions[long] / lengths[long, None], _exact(planes, chosen[~long])])
    points = np.vstack([points, -points])
    _, first = np.unique(np.round(points, DIGITS) + 0.0, axis=0, return_index=True)
    points = points[np.sort(first)]
    heights = points @ rows.T
    near = 2 * RAY_ERROR * np.abs(rows).max(axis=1)
    sides = (heights > near).astype(np.int8)
    sides -= heights < -near
    np.maximum(heights, 0.0, out=heights)
    return Rays(points, heights, sides)


def _meetings(planes: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return every choice of all but one of ``width`` hyperplanes, and the direction in which these meet."""
    count, width = planes.shape
    chosen, minors = np.arange(count)[:, None], planes
    for size in range(2, width):
        room = count - 1 - chosen[:, -1]
        parent = np.repeat(np.arange(len(chosen)), room)
        place = np.arange(len(parent)) - np.repeat(np.cumsum(room) - room, room)
        new = chosen[parent, -1] + 1 + place
        minors = _larger(minors[parent], planes[new], size)
        chosen = np.column_stack([chosen[parent], new])
    return chosen, _direction(minors)


def _larger(minors: Numbers, row: Numbers, size: int) -> Numbers:
    """Expand minors by one more row: from those of ``size - 1`` columns to those of ``size``, both in order."""
    width = row.shape[1]
    place = {subset: k for k, subset in enumerate(itertools.combinations(range(width), size - 1))}
    columns = []
    for subset in itertools.combinations(range(width), size):
        total = np.zeros(len(row), dtype=row.dtype)
        for position, column in enumerate(subset):
            rest = subset[:position] + subset[position + 1 :]
            total = total + (-1) ** (size - 1 - position) * (minors[:, place[rest]] * row[:, column])
        columns.append(total)
    return np.column_stack(columns)


def _direction(minors: Numbers) -> Numbers:
    """Return the vector that is orthogonal to all rows: minors without one column, with alternating signs."""
    width = minors.shape[1]
    # Subsets stand in order, so the first leaves the last column out.
    direction: Numbers = minors[:, ::-1] * (-1) ** np.arange(width)
    return direction


def _exact(planes: FloatArray, chosen: IntArray) -> FloatArray:
    """Compute directions in integers; hyperplanes that do not meet in one line have none."""
    whole: ObjectArray = np.array([_integers(plane) for plane in planes], dtype=object).reshape(planes.shape)
    minors = whole[chosen[:, 0]]
    for size in range(2, planes.shape[1]):
        minors = _larger(minors, whole[chosen[:, size - 1]], size)
    points = []
    for direction in _direction(minors):
        length = sum(map(abs, direction))
        if length:
            points.append([float(Fraction(int(value), int(length))) for value in direction])
    return np.array(points, dtype=np.float64).reshape(len(points), planes.shape[1])


def _integers(plane: FloatArray) -> list[int]:
    """Return a multiple of a hyperplane's coefficients that is whole."""
    exact = [Fraction(float(value)) for value in plane]
    common = max(value.denominator for value in exact)
    return [int(value * common) for value in exact]
