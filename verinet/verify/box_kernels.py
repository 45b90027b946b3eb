"""Compiled depth-first branch and bound on the input box.

An optimisation is the same search: the members of what is minimised, less a cut-off, are atoms of every conjunction, so
that a refuted box holds nothing below the cut-off.

Soundness: a box leaves the stack only when it lies outside of an L1 ball of the domain, when, for every conjunction,
rounding-safe linear lower bounds of its atoms (or a non-negative combination of them) exceed zero over the box, or when
both its halves have been pushed. Boxes that floats cannot split, contradictions and points that look like
counterexamples are handed back to exact code.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from verinet.bounds.columns import improve_columns, prepare_columns
from verinet.bounds.kernels import BLOCK, ROUNDOFF, bound_box, evaluate_point, pull_block
from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray
from verinet.verify.box_minimum import Balls, combine, is_apart, lowest

__all__ = ["Cases", "Event", "Stack", "explore"]

STEPS, RATE = 10, 0.3
"""Backward passes that improve the slopes of a case that is still open, and the first steps of the slopes."""

LARGEST_INTEGER = 2.0**53
"""Below it every integer is a float64 number."""

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
    """What has to be refuted: conjunctions of atoms, each an entry of the tape's last node plus an offset.

    Attributes
    ----------
    first : ndarray of int, shape (cases + 1,)
        Case k is made of the rows ``rows[first[k]:first[k + 1]]``.
    rows : ndarray of int
        Entries of the last node; conditions of the domain take part in every case. Priced ones stand last.
    strict : ndarray of int
        Whether each entry of the last node is a strict atom.
    priced : ndarray of int
        Whether each entry is a member of an objective; all cases have one or none has.
    offset : ndarray of float
        What is added to each entry: for a priced one at most minus the cut-off, zero for others. It may rise from
        outside while no kernel runs.
    bends : ndarray of int
        Whether each entry depends on the network, so that smaller boxes make it more nearly linear.
    integral : ndarray of int, shape (inputs,)
    scale : ndarray of float, shape (inputs,)
        One over the width of the whole box, zero where it has none.
    balls : Balls
    """

    first: IntArray
    rows: IntArray
    strict: IntArray
    priced: IntArray
    offset: FloatArray
    bends: IntArray
    integral: IntArray
    scale: FloatArray
    balls: Balls


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
        The parent's lower bound of the violation, or of the objective itself, whatever the cut-off: the smaller, the
        more promising.
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
def _violates(tape: Any, cases: Any, values: FloatArray, case: int) -> bool:
    """Return whether a point seems to satisfy a case, by float values."""
    atoms = tape.start[len(tape.kind) - 1]
    seems = True
    for k in range(cases.first[case], cases.first[case + 1]):
        row = cases.rows[k]
        value = values[atoms + row] + cases.offset[row]
        # What is only as good as the cut-off is of no use.
        seems = seems and (value < 0.0 or (value == 0.0 and not cases.priced[row]))
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
def _less(a: float, b: float) -> float:
    """Return ``a - b``, rounded down."""
    return float(a - b - 4.0 * ROUNDOFF * (abs(a) + abs(b)))


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
                if cases.offset[k] != 0.0:
                    constants[k] = _less(constants[k], -cases.offset[k])
                for i in range(tape.inputs):
                    rows[k, i] = work.block[i, column]
                    work.block[i, column] = 0.0
                column += 1


@jit
def _improved(tape: Any, work: Any, cases: Any, columns: Any, case: int, weights: FloatArray) -> float:
    """Bound a combination of a case's rows anew, improving slopes and weights together; see `improve_columns`."""
    columns.weight[:, 0] = 0.0
    columns.free[:, 0] = 0.0
    columns.shift[:, 0] = 0.0
    for k in range(cases.first[case + 1] - cases.first[case]):
        row = cases.rows[cases.first[case] + k]
        columns.weight[row, 0] = weights[k]
        columns.free[row, 0] = 1.0
        columns.shift[row, 0] = cases.offset[row]
    for p in range(len(columns.entry)):
        columns.lower[p, 0] = work.lower[columns.source[p]]
        columns.upper[p, 0] = work.upper[columns.source[p]]
    prepare_columns(columns, 1, True)
    improve_columns(tape, work, columns, len(tape.kind) - 1, 1, STEPS, RATE, 0.0, False, True)
    return float(columns.bound[0])


@jit
def explore(tape: Any, work: Any, cases: Any, stack: Any, quota: int, exempt: bool, fresh: bool, columns: Any) -> int:
    """Work on the stack until it is empty, the quota is used up, exact code is needed, or `work.stop` is set.

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
    columns : Columns
        Room for one column.

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
    priced = np.zeros(longest, dtype=np.int64)
    weights, slopes, sum_row = np.zeros(longest), np.zeros(longest), np.zeros(tape.inputs)
    wanted = np.zeros(tape.size[last], dtype=np.int64)
    atom_rows, atom_constants = np.zeros((tape.size[last], tape.inputs)), np.zeros(tape.size[last])
    score, toward, solved = np.zeros(tape.inputs), np.zeros(tape.inputs), np.zeros(count, dtype=np.int64)
    for looked in range(quota):
        if stack.state[0] == 0:
            return DONE
        if work.stop[0] != 0:
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
        if is_apart(tape, work, cases.balls):
            stack.state[2] += 0.5**depth
            continue
        # Here `fresh` is false; as a constant it would have a type of its own, and all below be compiled twice.
        if not bound_box(tape, work, last, fresh):
            stack.state[0] = top + 1
            return CONTRADICTION
        score[:] = 0.0
        left, least = 0, np.inf
        _pull_atoms(tape, work, cases, solved, wanted, atom_rows, atom_constants)
        for case in range(count):
            if solved[case]:
                continue
            refuted, value, objective, offset = False, -np.inf, -np.inf, 0.0
            size = cases.first[case + 1] - cases.first[case]
            for k in range(size):
                row = cases.rows[cases.first[case] + k]
                rows[k], constants[k], priced[k] = atom_rows[row], atom_constants[row], cases.priced[row]
                bound = lowest(tape, work, cases.balls, rows[k], constants[k], stack.point)
                if bound > 0.0 or (bound >= 0.0 and cases.strict[row]):
                    refuted = True
                    break
                value = max(value, bound)
                if priced[k]:
                    objective, offset = max(objective, bound), cases.offset[row]
            if not refuted and size > 1:
                value, by_rows = combine(
                    tape,
                    work,
                    cases.balls,
                    rows[:size],
                    constants[:size],
                    priced[:size],
                    weights,
                    slopes,
                    sum_row,
                    stack.point,
                )
                refuted = value > 0.0
                objective = max(objective, by_rows)
            if not refuted:
                if size == 1:
                    weights[0] = 1.0
                # Weights add up to one, so a combination of the rows is no larger than the largest of them.
                value = max(value, _improved(tape, work, cases, columns, case, weights))
                refuted = value > 0.0
            if refuted:
                solved[case] = 1
                continue
            left += 1
            if cases.priced[cases.rows[cases.first[case + 1] - 1]]:
                value = _less(objective, offset)
            if value < least:
                # The half where the most promising case is lowest is looked at first.
                least = value
                toward[:] = stack.point[: tape.inputs]
            for k in range(size):
                if cases.bends[cases.rows[cases.first[case] + k]]:
                    for i in range(tape.inputs):
                        score[i] += abs(rows[k, i])
            evaluate_point(tape, stack.point)
            if not (exempt and looked == 0) and _violates(tape, cases, stack.point, case):
                stack.state[0] = top + 1
                return CANDIDATE
        if left == 0:
            stack.state[2] += 0.5**depth
            continue
        # What held for the parent holds for its halves.
        least = max(least, stack.value[top])
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
            stack.value[top] = least
            stack.state[0] = top + 1
            return STUCK
        low, high = work.lower[chosen], work.upper[chosen]
        above = cut + 1.0 if cases.integral[chosen] else cut
        if toward[chosen] <= cut:
            _push(stack, work, solved, depth + 1, least, chosen, above, high)
            _push(stack, work, solved, depth + 1, least, chosen, low, cut)
        else:
            _push(stack, work, solved, depth + 1, least, chosen, low, cut)
            _push(stack, work, solved, depth + 1, least, chosen, above, high)
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
