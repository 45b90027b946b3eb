"""Compiled depth-first branch and bound on the input box.

Soundness: a box leaves the stack only when, for every conjunction, rounding-safe linear lower bounds of its atoms (or a
non-negative combination of them) exceed zero over the box, or when both its halves have been pushed. Boxes that floats
cannot split, contradictions and points that look like counterexamples are handed back to exact code.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from verinet.bounds.compiling import jit
from verinet.bounds.kernels import BLOCK, TINY, bound_box, evaluate_point, pull_block
from verinet.numeric import FloatArray, IntArray

__all__ = ["Cases", "Event", "Stack", "explore"]

LARGEST_INTEGER = 2.0**53
"""Below it every integer is a float64 number."""

COMBINATIONS = 24
"""Steps that multipliers of a conjunction's rows are improved by."""

DONE, QUOTA, CANDIDATE, STUCK, FULL, CONTRADICTION = 0, 1, 2, 3, 4, 5


class Event(IntEnum):
    """Why the kernel returned."""

    DONE = DONE
    QUOTA = QUOTA
    CANDIDATE = CANDIDATE
    STUCK = STUCK
    FULL = FULL
    CONTRADICTION = CONTRADICTION


class Cases(NamedTuple):
    """What has to be refuted: conjunctions of atoms, each an entry of the tape's last node.

    Attributes
    ----------
    first : ndarray of int, shape (cases + 1,)
        Case k is made of the rows ``rows[first[k]:first[k + 1]]``.
    rows : ndarray of int
        Entries of the last node; conditions of the domain take part in every case.
    strict : ndarray of int
        Whether each entry of the last node is a strict atom.
    integral : ndarray of int, shape (inputs,)
    scale : ndarray of float, shape (inputs,)
        One over the width of the whole box, zero where it has none.
    stop : ndarray of int, shape (1,)
        Set to one from outside while kernels run, it makes them return before their next box.
    """

    first: IntArray
    rows: IntArray
    strict: IntArray
    integral: IntArray
    scale: FloatArray
    stop: IntArray


class Stack(NamedTuple):
    """Boxes still to be looked at; the top is the last one.

    Attributes
    ----------
    lower, upper : ndarray of float, shape (capacity, total)
        The box, and the bounds that its parent left it.
    refuted : ndarray of int, shape (capacity, cases)
        Which cases its parent already refuted.
    depth : ndarray of int, shape (capacity,)
    value : ndarray of float, shape (capacity,)
        The parent's lower bound of the violation: the smaller, the more promising for a counterexample.
    state : ndarray of float, shape (4,)
        Number of boxes on the stack, boxes looked at, share of the volume done, deepest box so far.
    point : ndarray of float, shape (total,)
        Where a point or a box's centre is handed back.
    """

    lower: FloatArray
    upper: FloatArray
    refuted: IntArray
    depth: IntArray
    value: FloatArray
    state: FloatArray
    point: FloatArray


@jit
def _lowest(tape: Any, work: Any, row: FloatArray, constant: float, point: FloatArray) -> float:
    """Minimise ``row . x + constant`` over the box, safely; the minimiser goes to `point`."""
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
    return float(value + constant - tape.gamma * reach - TINY)


@jit
def _combine(
    tape: Any,
    work: Any,
    rows: FloatArray,
    constants: FloatArray,
    weights: FloatArray,
    slopes: FloatArray,
    sum_row: FloatArray,
    point: FloatArray,
) -> float:
    """Look for multipliers whose combination of the rows is positive over the box; return the best bound found.

    Exponentiated subgradients on the simplex: the rows that the minimiser violates gain weight.
    """
    count = len(constants)
    weights[:count] = 1.0 / count
    best = -np.inf
    for step in range(COMBINATIONS):
        sum_row[:] = 0.0
        constant = 0.0
        for k in range(count):
            constant += weights[k] * constants[k]
            for i in range(tape.inputs):
                sum_row[i] += weights[k] * rows[k, i]
        value = _lowest(tape, work, sum_row, constant, point)
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
            return float(best)
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
    return float(best)


@jit
def _violates(tape: Any, cases: Any, values: FloatArray, case: int) -> bool:
    """Return whether a point seems to satisfy a case, by float values."""
    atoms = tape.start[len(tape.kind) - 1]
    seems = True
    for k in range(cases.first[case], cases.first[case + 1]):
        seems = seems and values[atoms + cases.rows[k]] <= 0.0
    return seems


@jit
def _split_at(low: float, high: float, integral: int) -> float:
    """Return where a coordinate is cut, NaN if it cannot be: the lower half ends there."""
    middle = 0.5 * low + 0.5 * high
    if integral:
        middle = float(np.floor(middle))
        # Beyond 2^53 the next integer may be no float: such a box is left to exact code.
        inside = low <= middle < high and max(abs(low), abs(high)) < LARGEST_INTEGER
    else:
        inside = low < middle < high
    return float(middle) if inside else np.nan


@jit
def _push(
    stack: Any, work: Any, solved: IntArray, depth: int, value: float, coordinate: int, low: float, high: float
) -> None:
    top = int(stack.state[0])
    stack.lower[top] = work.lower
    stack.upper[top] = work.upper
    stack.lower[top, coordinate] = low
    stack.upper[top, coordinate] = high
    stack.refuted[top] = solved
    stack.depth[top] = depth
    stack.value[top] = value
    stack.state[0] = top + 1


@jit
def _pull_atoms(
    tape: Any, work: Any, cases: Any, solved: IntArray, wanted: IntArray, rows: FloatArray, constants: FloatArray
) -> None:
    """Write each atom of the open cases as a linear function of the inputs that is never above it over the box."""
    last = len(tape.kind) - 1
    start, size = tape.start[last], tape.size[last]
    wanted[:] = 0
    for case in range(len(cases.first) - 1):
        if not solved[case]:
            for k in range(cases.first[case], cases.first[case + 1]):
                wanted[cases.rows[k]] = 1
    row = 0
    while row < size:
        count, first = 0, row
        while row < size and count < BLOCK:
            if wanted[row]:
                work.block[start + row, count] = 1.0
                work.reach[start + row] = _atom_reach(tape, work, last, row)
                count += 1
            row += 1
        if count == 0:
            return
        pull_block(tape, work, last, count)
        column = 0
        for k in range(first, row):
            if wanted[k]:
                constants[k] = work.constants[column] - work.slacks[column]
                # The difference itself rounds.
                constants[k] -= tape.gamma * (abs(work.constants[column]) + work.slacks[column])
                for i in range(tape.inputs):
                    rows[k, i] = work.block[i, column]
                    work.block[i, column] = 0.0
                column += 1


@jit
def explore(tape: Any, work: Any, cases: Any, stack: Any, quota: int, exempt: bool, fresh: bool) -> int:
    """Work on the stack until it is empty, the quota is used up, exact code is needed, or `cases.stop` is set.

    Parameters
    ----------
    tape : Tape
        Its last node's entries are the atoms.
    work : Work
        Has seen the whole box: see `fresh`, here and in `bound_box`.
    cases : Cases
    stack : Stack
    quota : int
        Most boxes to look at.
    exempt : bool
        Hand back no point of the first box: one was, and turned out to be no counterexample.
    fresh : bool
        Only bound the whole box, which is in `work`. This is the one kernel that Python calls: each takes time to load.

    Returns
    -------
    int
        An `Event`. For CANDIDATE the point is in `stack.point`, and its box is on the stack again; for STUCK the box is
        on top of the stack, with a lower bound of its own violation as its value.
    """
    last = len(tape.kind) - 1
    if fresh:
        return DONE if bound_box(tape, work, last, fresh) else CONTRADICTION
    longest = 0
    count = len(cases.first) - 1
    for k in range(count):
        longest = max(longest, cases.first[k + 1] - cases.first[k])
    rows, constants = np.zeros((longest, tape.inputs)), np.zeros(longest)
    weights, slopes, sum_row = np.zeros(longest), np.zeros(longest), np.zeros(tape.inputs)
    wanted = np.zeros(tape.size[last], dtype=np.int64)
    atom_rows, atom_constants = np.zeros((tape.size[last], tape.inputs)), np.zeros(tape.size[last])
    score, toward, solved = np.zeros(tape.inputs), np.zeros(tape.inputs), np.zeros(count, dtype=np.int64)
    for looked in range(quota):
        if stack.state[0] == 0:
            return DONE
        if cases.stop[0] != 0:
            return QUOTA
        if stack.state[0] + 2 > len(stack.depth):
            return FULL
        top = int(stack.state[0]) - 1
        stack.state[0] = top
        stack.state[1] += 1
        work.lower[:] = stack.lower[top]
        work.upper[:] = stack.upper[top]
        solved[:] = stack.refuted[top]
        depth = stack.depth[top]
        stack.state[3] = max(stack.state[3], depth)
        # Here `fresh` is false; as a constant it would have a type of its own, and all below be compiled twice.
        if not bound_box(tape, work, last, fresh):
            stack.state[0] = top + 1
            return CONTRADICTION
        score[:] = 0.0
        left, lowest = 0, np.inf
        _pull_atoms(tape, work, cases, solved, wanted, atom_rows, atom_constants)
        for case in range(count):
            if solved[case]:
                continue
            refuted, value = False, -np.inf
            size = cases.first[case + 1] - cases.first[case]
            for k in range(size):
                row = cases.rows[cases.first[case] + k]
                rows[k], constants[k] = atom_rows[row], atom_constants[row]
                bound = _lowest(tape, work, rows[k], constants[k], stack.point)
                if bound > 0.0 or (bound >= 0.0 and cases.strict[row]):
                    refuted = True
                    break
                if bound > value:
                    value = bound
            if not refuted and size > 1:
                value = _combine(tape, work, rows[:size], constants[:size], weights, slopes, sum_row, stack.point)
                refuted = value > 0.0
            if refuted:
                solved[case] = 1
                continue
            left += 1
            if value < lowest:
                # The half where the most promising case is lowest is looked at first.
                lowest = value
                toward[:] = stack.point[: tape.inputs]
            for k in range(size):
                for i in range(tape.inputs):
                    score[i] += abs(rows[k, i])
            evaluate_point(tape, stack.point)
            if not (exempt and looked == 0) and _violates(tape, cases, stack.point, case):
                stack.state[0] = top + 1
                return CANDIDATE
        if left == 0:
            stack.state[2] += 0.5**depth
            continue
        best, chosen, cut = -1.0, -1, np.nan
        steepest, widest = 0.0, 0.0
        for i in range(tape.inputs):
            width = work.upper[i] - work.lower[i]
            steepest = max(steepest, score[i] * width)
            widest = max(widest, width * cases.scale[i])
        for i in range(tape.inputs):
            width = work.upper[i] - work.lower[i]
            if width <= 0.0:
                continue
            place = _split_at(work.lower[i], work.upper[i], cases.integral[i])
            if place != place:
                continue
            value = np.sqrt(width * cases.scale[i] / widest)
            if steepest > 0.0:
                value *= score[i] * width / steepest
            if value > best:
                best, chosen, cut = value, i, place
        if chosen < 0:
            for i in range(tape.inputs):
                stack.point[i] = 0.5 * work.lower[i] + 0.5 * work.upper[i]
            stack.value[top] = max(stack.value[top], lowest)
            stack.state[0] = top + 1
            return STUCK
        low, high = work.lower[chosen], work.upper[chosen]
        above = cut + 1.0 if cases.integral[chosen] else cut
        if toward[chosen] <= cut:
            _push(stack, work, solved, depth + 1, lowest, chosen, above, high)
            _push(stack, work, solved, depth + 1, lowest, chosen, low, cut)
        else:
            _push(stack, work, solved, depth + 1, lowest, chosen, low, cut)
            _push(stack, work, solved, depth + 1, lowest, chosen, above, high)
    return QUOTA


@jit
def _atom_reach(tape: Any, work: Any, node: int, row: int) -> float:
    """Return the sum of the magnitudes of an atom's terms."""
    i = tape.start[node] + row
    reach = abs(tape.bias[i])
    for m in range(tape.first_map[node], tape.first_map[node + 1]):
        source = tape.map_source[m]
        # Atoms are rows of dense maps.
        width = tape.map_width[m]
        at = tape.map_weights[m] + row * width
        for c in range(width):
            reach += abs(tape.weights[at + c]) * work.magnitude[source + c]
    return float(reach)
