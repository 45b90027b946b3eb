"""Compiled local ascent on the L1 sphere, from vertex to vertex of the arrangement of a network's kinks.

The function is linear between its kinks, so its greatest values lie at vertices: points with as many independent
conditions (kinks of concave terms, coordinates at zero, the norm) as coordinates. The ascent keeps a list of
conditions that hold at its point, completed by unit vectors where there are too few. Each step leaves one of them and
walks along the others to where the function stops rising, which is a new condition.
"""

import numpy as np

from verinet.compiling import jit
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["climb"]

TIE = 1e-11
"""Rows whose products differ by less, relative to the largest entry, count as tied."""

DEPENDENT = 1e-7
"""A condition whose part independent of the others is smaller, relative to its length, is not added."""


@jit
def _products(columns: FloatArray, vector: FloatArray, out: FloatArray) -> None:
    """Multiply every row with a vector."""
    out[:] = 0.0
    for i in range(len(vector)):
        if vector[i] != 0.0:
            for row in range(len(out)):
                out[row] += vector[i] * columns[i, row]


@jit
def _leader(here: FloatArray, along: FloatArray, first: int, last: int, tie: float) -> int:
    """Return the row that is greatest just after leaving a point in a direction; -1 where none is positive."""
    leader, high, slope = -1, 0.0, 0.0
    for row in range(first, last):
        if here[row] > high + tie or (here[row] >= high - tie and along[row] > slope):
            # A tied row that rises faster leads; its height is that of the highest, give or take a tie.
            leader, high, slope = row, max(high, here[row]), along[row]
    return leader


@jit
def _slope(
    here: FloatArray, along: FloatArray, weights: FloatArray, ends: IntArray, tie: float, leaders: IntArray
) -> float:
    """Return the directional derivative, and write which row leads in each term."""
    total, first = 0.0, 0
    for term in range(len(weights)):
        leader = _leader(here, along, first, ends[term], tie)
        leaders[term] = leader
        if leader >= 0:
            total += weights[term] * along[leader]
        first = ends[term]
    return total


@jit
def _next_event(
    here: FloatArray, along: FloatArray, first: int, last: int, leader: int, step: float
) -> tuple[float, int]:
    """Return where along the walk a term's leader changes next, and to which row."""
    height = here[leader] if leader >= 0 else 0.0
    rise = along[leader] if leader >= 0 else 0.0
    soonest, chosen, steepest = np.inf, -2, 0.0
    if rise < 0.0:
        soonest, chosen, steepest = max(height / -rise, step), -1, 0.0
    for row in range(first, last):
        if along[row] > rise and row != leader:
            meeting = max((height - here[row]) / (along[row] - rise), step)
            if meeting < soonest or (meeting == soonest and along[row] > steepest):
                soonest, chosen, steepest = meeting, row, along[row]
    return soonest, chosen


@jit
def _walk(
    here: FloatArray,
    along: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    leaders: IntArray,
    slope: float,
    farthest: float,
    events: FloatArray,
    nexts: IntArray,
) -> tuple[float, int, int]:
    """Walk while the function rises; return how far, and the two rows whose kink ended it, or -2 and -2."""
    first = 0
    for term in range(len(weights)):
        events[term], nexts[term] = _next_event(here, along, first, ends[term], leaders[term], 0.0)
        first = ends[term]
    while True:
        term = int(np.argmin(events))
        step = events[term]
        if step >= farthest:
            return farthest, -2, -2
        old, new = leaders[term], nexts[term]
        rise_old = along[old] if old >= 0 else 0.0
        rise_new = along[new] if new >= 0 else 0.0
        slope += weights[term] * (rise_new - rise_old)
        if slope < 0.0:
            return step, old, new
        leaders[term] = new
        first = ends[term - 1] if term else 0
        events[term], nexts[term] = _next_event(here, along, first, ends[term], new, step)


@jit
def _residue(basis: FloatArray, known: int, vector: FloatArray) -> float:
    """Take from a vector its part in the span of an orthonormal basis; return the length of what remains."""
    for _ in range(2):
        for k in range(known):
            part = 0.0
            for i in range(len(vector)):
                part += basis[k, i] * vector[i]
            for i in range(len(vector)):
                vector[i] -= part * basis[k, i]
    total = 0.0
    for i in range(len(vector)):
        total += vector[i] * vector[i]
    return float(np.sqrt(total))


@jit
def _complete(conditions: FloatArray, count: int, basis: FloatArray) -> int:
    """Drop conditions that depend on earlier ones, complete the rest by unit vectors; return how many are real."""
    size = conditions.shape[1]
    known = 0
    vector = np.empty(size)
    for k in range(count):
        length = 0.0
        for i in range(size):
            vector[i] = conditions[k, i]
            length += vector[i] * vector[i]
        left = _residue(basis, known, vector)
        if left > DEPENDENT * np.sqrt(length) and known < size:
            conditions[known] = conditions[k]
            basis[known] = vector / left
            known += 1
    real = known
    while known < size:
        chosen, most = 0, -1.0
        for j in range(size):
            vector[:] = 0.0
            vector[j] = 1.0
            left = _residue(basis, known, vector)
            if left > most:
                chosen, most = j, left
        vector[:] = 0.0
        vector[chosen] = 1.0
        conditions[known] = vector
        basis[known] = vector
        basis[known] /= _residue(basis, known, basis[known])
        known += 1
    return real


@jit
def _inverse(matrix: FloatArray, out: FloatArray) -> bool:
    """Invert a small matrix by elimination with pivots; return whether that worked."""
    size = len(matrix)
    work = matrix.copy()
    out[:] = 0.0
    for i in range(size):
        out[i, i] = 1.0
    for i in range(size):
        pivot = i
        for k in range(i + 1, size):
            if abs(work[k, i]) > abs(work[pivot, i]):
                pivot = k
        if abs(work[pivot, i]) < 1e-12:
            return False
        for c in range(size):
            work[i, c], work[pivot, c] = work[pivot, c], work[i, c]
            out[i, c], out[pivot, c] = out[pivot, c], out[i, c]
        scale = 1.0 / work[i, i]
        for c in range(size):
            work[i, c] *= scale
            out[i, c] *= scale
        for k in range(size):
            factor = work[k, i]
            if k != i and factor != 0.0:
                for c in range(size):
                    work[k, c] -= factor * work[i, c]
                    out[k, c] -= factor * out[i, c]
    return True


@jit
def _height(here: FloatArray, weights: FloatArray, ends: IntArray) -> float:
    """Return the function's value from the rows' products."""
    total, first = 0.0, 0
    for term in range(len(weights)):
        high = 0.0
        for row in range(first, ends[term]):
            high = max(high, here[row])
        total += weights[term] * high
        first = ends[term]
    return total


@jit
def climb(
    columns: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    allowed: BoolArray,
    point: FloatArray,
    most_steps: int,
) -> float:
    """Move a point of the L1 sphere uphill to a vertex; return the value there.

    Parameters
    ----------
    columns : ndarray, shape (size, rows)
    weights, ends : ndarray, shape (terms,)
    allowed : ndarray of bool, shape (size, 2)
        Whether a coordinate may be positive, and negative.
    point : ndarray, shape (size,)
        Of norm 1; overwritten.
    most_steps : int

    Returns
    -------
    float
        Never less than at the start, up to rounding.
    """
    size, rows = columns.shape
    terms = len(weights)
    here, along, kept = np.empty(rows), np.empty(rows), np.empty(rows)
    leaders, kept_leaders = np.empty(terms, np.int64), np.empty(terms, np.int64)
    events, nexts = np.empty(terms), np.empty(terms, np.int64)
    conditions = np.zeros((2 * size + 2, size))
    basis, inverse = np.empty((size, size)), np.empty((size, size))
    direction, chosen = np.empty(size), np.empty(size)
    kinks = np.zeros((size, size))
    kink_count = 0
    tie = TIE * max(np.abs(columns).max(), 1e-300)
    _products(columns, point, here)
    best = _height(here, weights, ends)
    before = point.copy()
    for _ in range(most_steps):
        for i in range(size):
            conditions[0, i] = np.sign(point[i])
        count = 1
        for i in range(size):
            if point[i] == 0.0:
                conditions[count] = 0.0
                conditions[count, i] = 1.0
                count += 1
        for k in range(kink_count):
            if count < len(conditions):
                conditions[count] = kinks[k]
                count += 1
        real = _complete(conditions, count, basis)
        if not _inverse(conditions[:size], inverse):
            break
        steepest, leaving, leaving_slope = 0.0, -1, 0.0
        for k in range(1, size):
            held = -1
            if k < real:
                nonzero = 0
                for i in range(size):
                    if conditions[k, i] != 0.0:
                        nonzero += 1
                        held = i
                if nonzero != 1 or point[held] != 0.0:
                    held = -1
            for side in range(2):
                sign = 1.0 - 2.0 * side
                if held >= 0 and not allowed[held, side]:
                    continue
                length = 0.0
                for i in range(size):
                    direction[i] = sign * inverse[i, k]
                    if held >= 0:
                        direction[i] -= inverse[i, 0]
                    if point[i] == 0.0 and i != held:
                        direction[i] = 0.0
                    length += abs(direction[i])
                _products(columns, direction, along)
                slope = _slope(here, along, weights, ends, tie, leaders) / length
                # Along a completing unit vector a walk on the flat is worth it: it ends at a kink.
                gain = slope + (1e-13 if k >= real else 0.0)
                if gain > max(steepest, 1e-13 * max(abs(best), 1e-300)) or (k >= real and leaving < 0 and slope >= 0.0):
                    steepest, leaving, leaving_slope = gain, k, slope * length
                    chosen[:] = direction
                    kept[:] = along
                    kept_leaders[:] = leaders
        if leaving < 0:
            break
        farthest, touching = np.inf, -1
        for i in range(size):
            if chosen[i] * point[i] < 0.0 and -point[i] / chosen[i] < farthest:
                farthest, touching = -point[i] / chosen[i], i
        if touching < 0:
            break
        step, old, new = _walk(
            here, kept, weights, ends, kept_leaders, max(leaving_slope, 0.0), farthest, events, nexts
        )
        # Conditions that still hold: all real ones but the one that was left, and the kink at which the walk ended.
        kink_count = 0
        for k in range(1, real):
            if k == leaving:
                continue
            nonzero = 0
            for i in range(size):
                nonzero += int(conditions[k, i] != 0.0)
            if nonzero > 1 and kink_count < size - 1:
                kinks[kink_count] = conditions[k]
                kink_count += 1
        if old != -2 or new != -2:
            for i in range(size):
                value = 0.0
                if new >= 0:
                    value += columns[i, new]
                if old >= 0:
                    value -= columns[i, old]
                kinks[kink_count, i] = value
            kink_count += 1
        before[:] = point
        total = 0.0
        for i in range(size):
            point[i] += step * chosen[i]
            if (old == -2 and new == -2 and i == touching) or abs(point[i]) < 1e-15:
                point[i] = 0.0
            total += abs(point[i])
        for i in range(size):
            point[i] /= total
        _products(columns, point, here)
        value = _height(here, weights, ends)
        if value < best - 1e-12 * max(abs(best), 1e-300):
            point[:] = before
            break
        best = max(best, value)
    return best
