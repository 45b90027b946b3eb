"""Compiled bounds over a box: interval and backward linear relaxation, rounding-safe.

The same mathematics as `verinet.bounds.backward`, over flat arrays: only entries that are still open under the bounds
they start from are recomputed. Functionals are pulled back in blocks, one column each; entries that no functional of
the block reads (inactive neurons) are left out of the matrix products.

Soundness: coefficients are floats and taken as the exact coefficients of the next functional. Each row gathers
``|coefficient| * reach`` for every entry it passes, where reach bounds the sum of the magnitudes that the entry's
products can have; `Tape.gamma` times this total bounds everything that rounding changed, in any order of summation, so
the compiler may reorder and contract sums.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  # np.dot's library: limits on threads only reach those that are loaded

from verinet.bounds.tape import Tape
from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray

__all__ = [
    "AFFINE",
    "BLOCK",
    "DENSE",
    "DIFFERENCE",
    "FEW",
    "INPUT",
    "MAXIMUM",
    "PATCH",
    "ROUNDOFF",
    "TINY",
    "Lines",
    "Work",
    "block_minimum",
    "bound_box",
    "bound_node",
    "evaluate_point",
    "gather",
    "make_work",
    "pull_block",
    "pull_map",
    "row_of",
]

BLOCK = 64
"""Functionals that are pulled back together."""

FEW = 4
"""Up to so many functionals a matrix product is done by hand."""

INPUT, AFFINE, MAXIMUM, DIFFERENCE = 0, 1, 2, 3
DENSE, SPARSE, PATCH = 0, 1, 2
TINY = float(np.finfo(np.float64).tiny)
ROUNDOFF = 2.0**-53


class Lines(NamedTuple):
    """For each entry of a maximum or difference: a line below and one above it, ``slope * value[index] + intercept``.

    The line below a maximum goes through the origin.
    """

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
    block : ndarray of float, shape (total, BLOCK)
        Coefficients of the functionals that are being pulled back, one a column; all zero between passes.
    constants, slacks, minima : ndarray of float, shape (BLOCK,)
        What a pass finds for each functional.
    gathered, alive_weights, product : ndarray of float
        Room for the matrix products of a pass.
    alive, is_alive, open : ndarray of int, shape (total,)
        Entries that some functional reads, listed and marked; entries of a maximum's argument that are worth a
        backward pass.
    largest : ndarray of float, shape (1,)
        Largest magnitude of any entry so far, of all boxes.
    cost : ndarray of float, shape (1,)
        Products that backward passes have taken so far: a measure of work that every machine agrees on.
    stop : ndarray of int, shape (1,)
        Set to one from outside while kernels run, it makes them return before their next box or pass; what they found
        by then holds. Threads of one search share it.
    lines : Lines
    """

    lower: FloatArray
    upper: FloatArray
    magnitude: FloatArray
    reach: FloatArray
    block: FloatArray
    constants: FloatArray
    slacks: FloatArray
    minima: FloatArray
    gathered: FloatArray
    alive_weights: FloatArray
    product: FloatArray
    alive: IntArray
    is_alive: IntArray
    open: IntArray
    largest: FloatArray
    cost: FloatArray
    stop: IntArray
    lines: Lines


def make_work(tape: Tape, stop: IntArray | None = None) -> Work:
    """Allocate the buffers for a tape; bounds start infinite.

    Parameters
    ----------
    tape : Tape
    stop : ndarray of int or None
        That of the other threads' buffers, if they are to stop together.
    """
    total = tape.total
    # Each map is a matrix to the passes: all of a dense one, all filters of a convolution.
    widths = np.where(tape.map_kind == DENSE, tape.map_width, tape.map_window)
    widest = int(widths.max(initial=1))
    tallest = int(tape.map_filters.max(initial=1))
    largest = int((widths * tape.map_filters).max(initial=1))
    lines = Lines(
        np.zeros(total, dtype=np.int64),
        np.zeros(total),
        np.zeros(total),
        np.zeros(total, dtype=np.int64),
        np.zeros(total),
        np.zeros(total),
    )
    return Work(
        np.full(total, -np.inf),
        np.full(total, np.inf),
        np.zeros(total),
        np.zeros(total),
        np.zeros((total, BLOCK)),
        np.zeros(BLOCK),
        np.zeros(BLOCK),
        np.zeros(BLOCK),
        np.zeros(tallest * BLOCK),
        np.zeros(largest),
        np.zeros(widest * BLOCK),
        np.zeros(total, dtype=np.int64),
        np.zeros(total, dtype=np.int64),
        np.zeros(total, dtype=np.int64),
        np.zeros(1),
        np.zeros(1),
        np.zeros(1, dtype=np.int64) if stop is None else stop,
        lines,
    )


@jit
def row_of(tape: Any, m: int, t: int) -> tuple[int, int, int]:
    """Return where the weights and the columns of a row begin, and how many there are; for maps that are not dense."""
    if tape.map_kind[m] == PATCH:
        window, positions = tape.map_window[m], tape.map_positions[m]
        return (
            tape.map_weights[m] + t // positions * window,
            tape.map_columns[m] + t % positions * window,
            window,
        )
    first = tape.offsets[tape.map_offsets[m] + t]
    length = tape.offsets[tape.map_offsets[m] + t + 1] - first
    return tape.map_weights[m] + first, tape.map_columns[m] + first, length


@jit
def _affine_interval(tape: Any, work: Any, node: int, fresh: bool) -> None:
    """Intersect the bounds of an affine node with its interval image; if fresh, note its reach.

    Entries that a ReLU alone reads and that switch it off are left as they are: tighter bounds would change nothing.
    """
    start, size = tape.start[node], tape.size[node]
    skips = not fresh and tape.sole_user[node] >= 0 and tape.floor[tape.sole_user[node]] == 0.0
    for t in range(size):
        if skips and work.upper[start + t] <= 0.0:
            continue
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
                first, column, length = row_of(tape, m, t)
                for k in range(length):
                    if tape.columns[column + k] >= 0:
                        w, c = tape.weights[first + k], source + tape.columns[column + k]
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
        if fresh:
            work.reach[i] = reach


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
        if low_index >= 0:
            lines.low_index[i], lines.low_slope[i] = low_index, 1.0
        else:
            # The floor has the largest lower bound: a ReLU that may be off; keep the smaller triangle.
            lines.low_index[i] = high_index
            steep = high > -low
            lines.low_slope[i] = 1.0 if steep else 0.0
        work.lower[i] = max(work.lower[i], best_low)
        work.upper[i] = min(work.upper[i], max(best_high, tape.floor[node]))
        work.reach[i] = max(work.magnitude[lines.low_index[i]], work.magnitude[high_index] + abs(intercept))


@jit
def _chord(low: float, high: float) -> tuple[float, float]:
    """Return slope and intercept of a line above ``max(0, x)`` over low <= x <= high; see `bounds.relaxation`."""
    if low >= 0.0:
        return 1.0, 0.0
    if high <= 0.0:
        return 0.0, 0.0
    slope = min(1.0, high / (high - low))
    intercept = max(-slope * low, (1.0 - slope) * high) + 8.0 * ROUNDOFF * (abs(low) + abs(high)) + TINY
    return slope, intercept


@jit
def _relax_difference(tape: Any, work: Any, node: int) -> None:
    """Set bounds, lines and reach of ``max(0, b) - max(0, a)`` from the bounds of b - a, a and b.

    It lies between 0 and b - a, so below the chord of ``max(0, b - a)`` and above that of ``-max(0, a - b)``. Where a
    is not negative it is at least b - a, and where b is not, at most; where a is not positive it is at least 0, and
    where b is not, at most.
    """
    start, lines = tape.start[node], work.lines
    for t in range(tape.size[node]):
        i, at = start + t, tape.offsets[tape.group[node] + t]
        d, a, b = tape.members[at], tape.members[at + 1], tape.members[at + 2]
        low, high = work.lower[d], work.upper[d]
        a_low, a_high = max(work.lower[a], 0.0), max(work.upper[a], 0.0)
        b_low, b_high = max(work.lower[b], 0.0), max(work.upper[b], 0.0)
        lines.low_index[i], lines.high_index[i] = d, d
        high_slope, high_intercept = _chord(low, high)
        mirrored_slope, mirrored_intercept = _chord(-high, -low)
        low_slope, low_intercept = mirrored_slope, -mirrored_intercept
        least, most = min(low, 0.0), max(high, 0.0)
        if work.lower[a] >= 0.0:
            low_slope, low_intercept, least = 1.0, 0.0, low
        elif work.upper[a] <= 0.0:
            low_slope, low_intercept, least = 0.0, 0.0, 0.0
        if work.lower[b] >= 0.0:
            high_slope, high_intercept, most = 1.0, 0.0, high
        elif work.upper[b] <= 0.0:
            high_slope, high_intercept, most = 0.0, 0.0, 0.0
        lines.low_slope[i], lines.low_intercept[i] = low_slope, low_intercept
        lines.high_slope[i], lines.high_intercept[i] = high_slope, high_intercept
        # The difference of the enclosures is rounded.
        least = max(least, b_low - a_high - 2.0 * ROUNDOFF * (b_low + a_high) - TINY)
        most = min(most, b_high - a_low + 2.0 * ROUNDOFF * (b_high + a_low) + TINY)
        work.lower[i] = max(work.lower[i], least)
        work.upper[i] = min(work.upper[i], most)
        work.reach[i] = work.magnitude[d] + max(abs(low_intercept), abs(high_intercept))


@jit
def gather(block: FloatArray, start: int, size: int, count: int, alive: IntArray) -> int:
    """List the entries of a slice that some functional reads; return how many."""
    found = 0
    for t in range(size):
        for r in range(count):
            if block[start + t, r] != 0.0:
                alive[found] = t
                found += 1
                break
    return found


@jit
def _pull_dense(tape: Any, work: Any, m: int, start: int, count: int, found: int) -> None:
    """Add ``W.T @ block[alive]`` to the slice that a dense map reads."""
    width, source, at = tape.map_width[m], tape.map_source[m], tape.map_weights[m]
    work.cost[0] += float(found * width * count)
    if count <= FEW:
        _pull_few(tape, work, m, start, count, found)
        return
    gathered = work.gathered[: found * count].reshape((found, count))
    weights = work.alive_weights[: found * width].reshape((found, width))
    for k in range(found):
        t = work.alive[k]
        weights[k] = tape.weights[at + t * width : at + (t + 1) * width]
        gathered[k] = work.block[start + t, :count]
    product = work.product[: width * count].reshape((width, count))
    np.dot(weights.T, gathered, product)
    for c in range(width):
        for r in range(count):
            work.block[source + c, r] += product[c, r]


@jit
def _pull_few(tape: Any, work: Any, m: int, start: int, count: int, found: int) -> None:
    """Do the same row by row, where a call for a matrix product would take longer than the product."""
    width, source, at = tape.map_width[m], tape.map_source[m], tape.map_weights[m]
    for r in range(count):
        product = work.product[:width]
        product[:] = 0.0
        for k in range(found):
            t = work.alive[k]
            v = work.block[start + t, r]
            if v != 0.0:
                weights = tape.weights[at + t * width : at + (t + 1) * width]
                for c in range(width):
                    product[c] += v * weights[c]
        for c in range(width):
            work.block[source + c, r] += product[c]


@jit
def _pull_rows(tape: Any, work: Any, m: int, start: int, count: int, found: int) -> None:
    """Add the same for a map that is not dense, weight by weight."""
    source, block = tape.map_source[m], work.block
    for n in range(found):
        t = work.alive[n]
        first, column, length = row_of(tape, m, t)
        for k in range(length):
            if tape.columns[column + k] >= 0:
                w, c = tape.weights[first + k], source + tape.columns[column + k]
                for r in range(count):
                    block[c, r] += w * block[start + t, r]
        work.cost[0] += float(length * count)


@jit
def _pull_patches(tape: Any, work: Any, m: int, start: int, count: int, found: int) -> None:
    """Add the same for a convolution, position by position: all filters that are alive there at once."""
    source, positions, window = tape.map_source[m], tape.map_positions[m], tape.map_window[m]
    filters = tape.map_filters[m]
    work.is_alive[: filters * positions] = 0
    for n in range(found):
        work.is_alive[work.alive[n]] = 1
    for p in range(positions):
        here = 0
        for f in range(filters):
            t = f * positions + p
            if work.is_alive[t]:
                first = tape.map_weights[m] + f * window
                work.alive_weights[here * window : (here + 1) * window] = tape.weights[first : first + window]
                work.gathered[here * count : (here + 1) * count] = work.block[start + t, :count]
                here += 1
        if here == 0:
            continue
        work.cost[0] += float(here * window * count)
        product = work.product[: window * count].reshape((window, count))
        weights = work.alive_weights[: here * window].reshape((here, window))
        np.dot(weights.T, work.gathered[: here * count].reshape((here, count)), product)
        for k in range(window):
            column = tape.columns[tape.map_columns[m] + p * window + k]
            if column >= 0:
                for r in range(count):
                    work.block[source + column, r] += product[k, r]


@jit
def pull_map(tape: Any, work: Any, m: int, start: int, count: int, found: int) -> None:
    """Add what functionals of a node's entries mean for the slice that one of its maps reads.

    Parameters
    ----------
    tape : Tape
    work : Work
        `alive` lists the entries that some functional reads.
    m, start, count, found : int
        The map; the node's first entry; how many functionals; how many entries are alive.
    """
    if tape.map_kind[m] == DENSE:
        _pull_dense(tape, work, m, start, count, found)
    elif tape.map_kind[m] == PATCH and count > FEW:
        _pull_patches(tape, work, m, start, count, found)
    else:
        _pull_rows(tape, work, m, start, count, found)


@jit
def pull_block(tape: Any, work: Any, node: int, count: int) -> None:
    """Pull the functionals in the first columns of `work.block` back from a node to the inputs.

    Parameters
    ----------
    tape : Tape
    work : Work
        Its lines are set for every maximum before the node; `block` holds functionals of the node's entries.
    node : int
    count : int
        Number of functionals.

    Notes
    -----
    On return functional r is at least ``block[:inputs, r] . x + constants[r] - slacks[r]`` over the box. The rest of
    the block is zero again; the caller clears the inputs' part.
    """
    block, lines, constants, slacks = work.block, work.lines, work.constants, work.slacks
    constants[:count] = 0.0
    slacks[:count] = 0.0
    for j in range(node, -1, -1):
        if tape.kind[j] == INPUT:
            continue
        start, size = tape.start[j], tape.size[j]
        found = gather(block, start, size, count, work.alive)
        if found == 0:
            continue
        for k in range(found):
            i = start + work.alive[k]
            reach = work.reach[i]
            for r in range(count):
                slacks[r] += abs(block[i, r]) * reach
        if tape.kind[j] == AFFINE:
            for k in range(found):
                i = start + work.alive[k]
                for r in range(count):
                    constants[r] += block[i, r] * tape.bias[i]
            for m in range(tape.first_map[j], tape.first_map[j + 1]):
                pull_map(tape, work, m, start, count, found)
        else:
            for k in range(found):
                i = start + work.alive[k]
                low, low_slope = lines.low_index[i], lines.low_slope[i]
                high, high_slope, intercept = lines.high_index[i], lines.high_slope[i], lines.high_intercept[i]
                low_intercept = lines.low_intercept[i]
                for r in range(count):
                    v = block[i, r]
                    block[low, r] += max(v, 0.0) * low_slope
                    block[high, r] += min(v, 0.0) * high_slope
                    constants[r] += min(v, 0.0) * intercept + max(v, 0.0) * low_intercept
        for k in range(found):
            block[start + work.alive[k], :count] = 0.0
    lost = tape.underflow * work.largest[0] + TINY
    for r in range(count):
        slacks[r] = tape.gamma * slacks[r] + lost


@jit
def block_minimum(tape: Any, work: Any, count: int) -> None:
    """Set `work.minima` to safe minima of the pulled-back functionals over the box, and clear the block.

    Parameters
    ----------
    tape : Tape
    work : Work
    count : int
    """
    minima, slacks = work.minima, work.slacks
    for r in range(count):
        minima[r] = work.constants[r]
        slacks[r] += tape.gamma * abs(work.constants[r]) + TINY
    for i in range(tape.inputs):
        low, high, magnitude = work.lower[i], work.upper[i], work.magnitude[i]
        for r in range(count):
            v = work.block[i, r]
            minima[r] += min(v * low, v * high)
            slacks[r] += tape.gamma * abs(v) * magnitude
            work.block[i, r] = 0.0
    for r in range(count):
        minima[r] -= slacks[r]


@jit
def _mark_open(tape: Any, work: Any, node: int, user: int) -> None:
    """Mark the entries of a node that its maximum leaves open, or that its difference has lines in."""
    start = tape.start[node]
    work.open[start : start + tape.size[node]] = 0
    if tape.kind[user] == DIFFERENCE:
        for t in range(tape.size[user]):
            at = tape.offsets[tape.group[user] + t]
            a, b = tape.members[at + 1], tape.members[at + 2]
            both = work.lower[a] >= 0.0 and work.lower[b] >= 0.0
            none = work.upper[a] <= 0.0 and work.upper[b] <= 0.0
            if not (both or none):
                work.open[tape.members[at]] = 1
        return
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
    """Tighten the open entries of a node: first all lower ends, then the upper ends of those still open."""
    _mark_open(tape, work, node, tape.refine[node])
    floor = tape.floor[tape.refine[node]]
    end = tape.start[node] + tape.size[node]
    for sign in (1.0, -1.0):
        i = tape.start[node]
        while i < end:
            count, first = 0, i
            while i < end and count < BLOCK:
                if work.open[i]:
                    work.block[i, count] = sign
                    count += 1
                i += 1
            if count == 0:
                break
            pull_block(tape, work, node, count)
            block_minimum(tape, work, count)
            column = 0
            for k in range(first, i):
                if not work.open[k]:
                    continue
                bound = work.minima[column]
                column += 1
                if sign > 0 and bound > work.lower[k]:
                    work.lower[k] = bound
                    # A ReLU that is active for sure needs no upper end.
                    if floor == 0.0 and bound >= 0.0:
                        work.open[k] = 0
                if sign < 0 and -bound < work.upper[k]:
                    work.upper[k] = -bound
                work.magnitude[k] = max(abs(work.lower[k]), abs(work.upper[k]))


@jit
def bound_node(tape: Any, work: Any, node: int, fresh: bool) -> None:
    """Bound the entries of one node from those before it, without a backward pass; see `bound_box`."""
    if tape.kind[node] == AFFINE:
        _affine_interval(tape, work, node, fresh)
    elif tape.kind[node] == MAXIMUM:
        _relax_maximum(tape, work, node)
    elif tape.kind[node] == DIFFERENCE:
        _relax_difference(tape, work, node)
    for i in range(tape.start[node], tape.start[node] + tape.size[node]):
        work.magnitude[i] = max(abs(work.lower[i]), abs(work.upper[i]))
        work.largest[0] = max(work.largest[0], work.magnitude[i])


@jit
def bound_box(tape: Any, work: Any, last: int, fresh: bool) -> bool:
    """Bound every entry of the nodes before `last` over the box in the first entries of `work.lower`, `work.upper`.

    The first box must contain all later ones and be `fresh`: the reach that is noted then serves them too.

    Parameters
    ----------
    tape : Tape
    work : Work
        The bounds of later entries are taken as known (infinite for none) and tightened.
    last : int
        The node to stop before.
    fresh : bool

    Returns
    -------
    bool
        False if bounds crossed, which sound bounds of a box that holds a point never do.
    """
    for j in range(last):
        bound_node(tape, work, j, fresh)
        start, end = tape.start[j], tape.start[j] + tape.size[j]
        if tape.refine[j] >= 0:
            _refine(tape, work, j)
        for i in range(start, end):
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
                        first, column, length = row_of(tape, m, t)
                        for k in range(length):
                            if tape.columns[column + k] >= 0:
                                total += tape.weights[first + k] * values[source + tape.columns[column + k]]
                values[start + t] = total
        elif tape.kind[j] == MAXIMUM:
            for t in range(tape.size[j]):
                best = tape.floor[j]
                for k in range(tape.offsets[tape.group[j] + t], tape.offsets[tape.group[j] + t + 1]):
                    best = max(best, values[tape.members[k]])
                values[start + t] = best
        elif tape.kind[j] == DIFFERENCE:
            for t in range(tape.size[j]):
                at = tape.offsets[tape.group[j] + t]
                values[start + t] = max(values[tape.members[at + 2]], 0.0) - max(values[tape.members[at + 1]], 0.0)
