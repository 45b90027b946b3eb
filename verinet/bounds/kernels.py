"""Compiled bounds over a box: interval and backward linear relaxation, rounding-safe.

The same mathematics as `verinet.bounds.backward`, one row at a time over flat arrays: only entries that are still open
under the bounds they start from are recomputed, and entries whose coefficient is zero (inactive neurons) are skipped.

Soundness: coefficients are floats and taken as the exact coefficients of the next functional. Each row gathers
``|coefficient| * reach`` for every entry it passes, where reach bounds the sum of the magnitudes that the entry's
products can have; `Tape.gamma` times this total bounds everything that rounding changed, in any order of summation, so
the compiler may reorder and contract sums.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from verinet.bounds.tape import Tape
from verinet.numeric import FloatArray, IntArray

__all__ = ["Lines", "Work", "bound_box", "evaluate_point", "make_work", "pull_row"]

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """Compile a kernel: cached on disk, without the GIL; sums may be reordered and contracted, NaN and inf stay."""
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})(function)
    return cast(Function, compiled)


INPUT, AFFINE, MAXIMUM = 0, 1, 2
DENSE = 0
TINY = float(np.finfo(np.float64).tiny)
ROUNDOFF = 2.0**-53


class Lines(NamedTuple):
    """For each entry of a maximum: a line below and one above it, ``slope * value[index] + intercept``."""

    low_index: IntArray
    low_slope: FloatArray
    low_intercept: FloatArray
    high_index: IntArray
    high_slope: FloatArray
    high_intercept: FloatArray


class Work(NamedTuple):
    """Buffers of one thread.

    Attributes
    ----------
    lower, upper : ndarray of float, shape (total,)
        Bounds of every entry: on entry those that are known, on return those that were found.
    magnitude, reach : ndarray of float, shape (total,)
        Largest absolute value of each entry, and of the terms that its products sum up.
    row : ndarray of float, shape (total,)
        Coefficients of the functional that is being pulled back; all zero between passes.
    open : ndarray of int, shape (total,)
        Which entries of a maximum's argument are worth a backward pass.
    lines : Lines
    """

    lower: FloatArray
    upper: FloatArray
    magnitude: FloatArray
    reach: FloatArray
    row: FloatArray
    open: IntArray
    lines: Lines


def make_work(tape: Tape) -> Work:
    """Allocate the buffers for a tape; bounds start infinite."""
    floats = [np.zeros(tape.total) for _ in range(7)]
    lines = Lines(
        np.zeros(tape.total, dtype=np.int64),
        floats[0],
        floats[1],
        np.zeros(tape.total, dtype=np.int64),
        floats[2],
        floats[3],
    )
    return Work(
        np.full(tape.total, -np.inf),
        np.full(tape.total, np.inf),
        floats[4],
        floats[5],
        floats[6],
        np.zeros(tape.total, dtype=np.int64),
        lines,
    )


@jit
def _affine_interval(tape: Any, work: Any, node: int) -> None:
    """Intersect the bounds of an affine node with its interval image, and note its reach."""
    start, size = tape.start[node], tape.size[node]
    for t in range(size):
        low, high, reach = tape.bias[start + t], tape.bias[start + t], abs(tape.bias[start + t])
        for m in range(tape.first_map[node], tape.first_map[node + 1]):
            source = tape.map_source[m]
            if tape.map_kind[m] == DENSE:
                width = tape.map_width[m]
                weights = tape.weights[tape.map_weights[m] + t * width : tape.map_weights[m] + (t + 1) * width]
                lower, upper = work.lower[source : source + width], work.upper[source : source + width]
                magnitude = work.magnitude[source : source + width]
                for c in range(width):
                    w = weights[c]
                    a, b = w * lower[c], w * upper[c]
                    low += min(a, b)
                    high += max(a, b)
                    reach += abs(w) * magnitude[c]
            else:
                at = tape.map_offsets[m] + t
                for k in range(tape.map_weights[m] + tape.offsets[at], tape.map_weights[m] + tape.offsets[at + 1]):
                    w, c = tape.weights[k], source + tape.columns[k]
                    a, b = w * work.lower[c], w * work.upper[c]
                    low += min(a, b)
                    high += max(a, b)
                    reach += abs(w) * work.magnitude[c]
        slack = tape.gamma * reach + TINY
        i = start + t
        # Written as comparisons: an overflow to NaN changes no bound.
        if low - slack > work.lower[i]:
            work.lower[i] = low - slack
        if high + slack < work.upper[i]:
            work.upper[i] = high + slack
        work.reach[i] = reach
        work.magnitude[i] = max(abs(work.lower[i]), abs(work.upper[i]))


@jit
def _relax_maximum(tape: Any, work: Any, node: int) -> None:
    """Set bounds, lines and reach of a maximum's entries from the bounds of its members; see `bounds.relaxation`."""
    start, lines = tape.start[node], work.lines
    for t in range(tape.size[node]):
        i = start + t
        first, last = tape.offsets[tape.group[node] + t], tape.offsets[tape.group[node] + t + 1]
        best_low, best_high, second = tape.floor[node], -np.inf, tape.floor[node]
        low_index, high_index = -1, tape.members[first]
        for k in range(first, last):
            j = tape.members[k]
            if work.lower[j] > best_low or (low_index < 0 and work.lower[j] >= best_low):
                best_low, low_index = work.lower[j], j
            if work.upper[j] > best_high:
                second = max(second, best_high)
                best_high, high_index = work.upper[j], j
            else:
                second = max(second, work.upper[j])
        low, high = work.lower[high_index], work.upper[high_index]
        lines.high_index[i] = high_index
        if low >= second:
            slope, intercept = 1.0, 0.0
        elif high <= second:
            slope, intercept = 0.0, second
        else:
            slope = min(1.0, (high - second) / (high - low))
            intercept = max(second - slope * low, (1.0 - slope) * high)
            intercept += 8.0 * ROUNDOFF * (abs(second) + abs(low) + abs(high)) + TINY
        lines.high_slope[i], lines.high_intercept[i] = slope, intercept
        lines.low_intercept[i] = 0.0
        if low_index >= 0:
            lines.low_index[i], lines.low_slope[i] = low_index, 1.0
        else:
            # The floor has the largest lower bound: a ReLU that may be off; keep the smaller triangle.
            lines.low_index[i] = high_index
            steep = high > -low
            lines.low_slope[i] = 1.0 if steep else 0.0
            lines.low_intercept[i] = 0.0
        work.lower[i] = max(work.lower[i], best_low)
        work.upper[i] = min(work.upper[i], max(best_high, tape.floor[node]))
        work.magnitude[i] = max(abs(work.lower[i]), abs(work.upper[i]))
        work.reach[i] = max(work.magnitude[lines.low_index[i]], work.magnitude[high_index] + abs(intercept))


@jit
def _pull_affine(tape: Any, row: FloatArray, node: int) -> None:
    """Replace a functional of an affine node's entries by one of its arguments' entries."""
    start, size = tape.start[node], tape.size[node]
    for m in range(tape.first_map[node], tape.first_map[node + 1]):
        source = tape.map_source[m]
        if tape.map_kind[m] == DENSE:
            width = tape.map_width[m]
            target = row[source : source + width]
            for t in range(size):
                v = row[start + t]
                if v != 0.0:
                    weights = tape.weights[tape.map_weights[m] + t * width : tape.map_weights[m] + (t + 1) * width]
                    for c in range(width):
                        target[c] += v * weights[c]
        else:
            for t in range(size):
                v = row[start + t]
                if v != 0.0:
                    at = tape.map_offsets[m] + t
                    for k in range(tape.map_weights[m] + tape.offsets[at], tape.map_weights[m] + tape.offsets[at + 1]):
                        row[source + tape.columns[k]] += v * tape.weights[k]


@jit
def pull_row(tape: Any, work: Any, node: int) -> tuple[float, float]:
    """Pull the functional in `work.row` back from a node to the inputs.

    Parameters
    ----------
    tape : Tape
    work : Work
        Its lines are set for every maximum before the node; `row` holds the functional of the node's entries.
    node : int

    Returns
    -------
    constant, slack : float
        Over the box, the functional is at least ``row[:inputs] . x + constant - slack``; the rest of `row` is zero.
    """
    row, lines = work.row, work.lines
    constant, total = 0.0, 0.0
    for j in range(node, -1, -1):
        start, size = tape.start[j], tape.size[j]
        if tape.kind[j] == INPUT:
            continue
        for i in range(start, start + size):
            v = row[i]
            total += abs(v) * work.reach[i]
        if tape.kind[j] == AFFINE:
            for i in range(start, start + size):
                constant += row[i] * tape.bias[i]
            _pull_affine(tape, row, j)
        else:
            for i in range(start, start + size):
                v = row[i]
                if v > 0.0:
                    row[lines.low_index[i]] += v * lines.low_slope[i]
                elif v < 0.0:
                    row[lines.high_index[i]] += v * lines.high_slope[i]
                    constant += v * lines.high_intercept[i]
        row[start : start + size] = 0.0
    return constant, tape.gamma * total + TINY


@jit
def row_minimum(tape: Any, work: Any, constant: float, slack: float) -> float:
    """Return the minimum of ``row . x + constant - slack`` over the box in `work.lower`, `work.upper`; safe."""
    value, reach = 0.0, abs(constant)
    for i in range(tape.inputs):
        a, b = work.row[i] * work.lower[i], work.row[i] * work.upper[i]
        value += min(a, b)
        reach += max(abs(a), abs(b))
    return float(value + constant - slack - tape.gamma * reach - TINY)


@jit
def _mark_open(tape: Any, work: Any, node: int, user: int) -> None:
    """Mark the entries of a node that its maximum leaves open."""
    start = tape.start[node]
    work.open[start : start + tape.size[node]] = 0
    for t in range(tape.size[user]):
        first, last = tape.offsets[tape.group[user] + t], tape.offsets[tape.group[user] + t + 1]
        best = tape.floor[user]
        for k in range(first, last):
            best = max(best, work.lower[tape.members[k]])
        rivals = 0
        for k in range(first, last):
            rivals += work.upper[tape.members[k]] > best
        # For a ReLU zero is a rival of its own: it is open while the entry may be on either side of it.
        if rivals > 1 or (rivals == 1 and best == tape.floor[user]):
            for k in range(first, last):
                j = tape.members[k]
                if work.upper[j] > best and (rivals > 1 or work.lower[j] < best):
                    work.open[j] = 1


@jit
def _refine(tape: Any, work: Any, node: int) -> None:
    """Tighten the open entries of a node by a backward pass for each end."""
    _mark_open(tape, work, node, tape.refine[node])
    for i in range(tape.start[node], tape.start[node] + tape.size[node]):
        if work.open[i] == 0:
            continue
        for sign in (1.0, -1.0):
            work.row[i] = sign
            constant, slack = pull_row(tape, work, node)
            bound = row_minimum(tape, work, constant, slack)
            work.row[: tape.inputs] = 0.0
            if sign > 0 and bound > work.lower[i]:
                work.lower[i] = bound
                if bound >= 0.0 and tape.floor[tape.refine[node]] == 0.0:
                    break
            if sign < 0 and -bound < work.upper[i]:
                work.upper[i] = -bound
        work.magnitude[i] = max(abs(work.lower[i]), abs(work.upper[i]))


@jit
def bound_box(tape: Any, work: Any, last: int) -> bool:
    """Bound every entry of the nodes before `last` over the box in the first entries of `work.lower`, `work.upper`.

    Parameters
    ----------
    tape : Tape
    work : Work
        The bounds of later entries are taken as known (infinite for none) and tightened.
    last : int
        The node to stop before.

    Returns
    -------
    bool
        False if bounds crossed, which sound bounds of a box that holds a point never do.
    """
    for i in range(tape.inputs):
        work.magnitude[i] = max(abs(work.lower[i]), abs(work.upper[i]))
    for j in range(last):
        if tape.kind[j] == AFFINE:
            _affine_interval(tape, work, j)
            if tape.refine[j] >= 0:
                _refine(tape, work, j)
        elif tape.kind[j] == MAXIMUM:
            _relax_maximum(tape, work, j)
        for i in range(tape.start[j], tape.start[j] + tape.size[j]):
            if work.lower[i] > work.upper[i]:
                return False
    return True


@jit
def evaluate_point(tape: Any, values: FloatArray) -> None:
    """Evaluate the network in floats at the inputs in the first entries of `values`; fills the rest."""
    for j in range(len(tape.kind)):
        start = tape.start[j]
        if tape.kind[j] == AFFINE:
            for t in range(tape.size[j]):
                total = tape.bias[start + t]
                for m in range(tape.first_map[j], tape.first_map[j + 1]):
                    source = tape.map_source[m]
                    if tape.map_kind[m] == DENSE:
                        width = tape.map_width[m]
                        at = tape.map_weights[m] + t * width
                        for c in range(width):
                            total += tape.weights[at + c] * values[source + c]
                    else:
                        at = tape.map_offsets[m] + t
                        for k in range(
                            tape.map_weights[m] + tape.offsets[at], tape.map_weights[m] + tape.offsets[at + 1]
                        ):
                            total += tape.weights[k] * values[source + tape.columns[k]]
                values[start + t] = total
        elif tape.kind[j] == MAXIMUM:
            for t in range(tape.size[j]):
                best = tape.floor[j]
                for k in range(tape.offsets[tape.group[j] + t], tape.offsets[tape.group[j] + t + 1]):
                    best = max(best, values[tape.members[k]])
                values[start + t] = best
