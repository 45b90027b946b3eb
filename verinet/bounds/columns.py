"""Compiled backward passes with a relaxation for each functional: slopes, split neurons, and their multipliers.

Up to `BLOCK` functionals, the columns, are pulled back together, so that a layer costs one matrix product. Each column
has bounds of its own for every open ReLU (what splits made of them), a lower slope for each, a multiplier for each one
that is split, and weights that combine the entries of the last node. They are improved along the gradient of the
column's bound, which one forward pass through the relaxation yields at the minimiser of the pulled-back functional.

Soundness: any slopes in [0, 1] and any non-negative multipliers and weights give a valid bound, so the improvement may
be careless; the bound itself accounts for rounding exactly as `verinet.bounds.kernels` does, with one more product for
each multiplier.

Source: Xu et al., Fast and complete (ICLR 2021); Wang et al., Beta-CROWN (NeurIPS 2021).
"""

from typing import Any, NamedTuple

import numpy as np

from verinet.bounds.kernels import (
    AFFINE,
    BLOCK,
    DENSE,
    FEW,
    INPUT,
    PATCH,
    ROUNDOFF,
    TINY,
    Work,
    pull_map,
    row_of,
)
from verinet.bounds.tape import NodeKind, Tape
from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray

__all__ = ["Columns", "improve_columns", "make_columns", "prepare_columns", "set_columns"]

FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.999
"""Decay of the averages that steps are taken along (Kingma & Ba, Adam, ICLR 2015)."""


class Columns(NamedTuple):
    """Functionals that are pulled back together, each over a domain of its own.

    Attributes
    ----------
    place : ndarray of int, shape (total,)
        Of a maximum's entry among the open ReLUs, -1 for all others.
    entry, source : ndarray of int, shape (open,)
        Entry of each open ReLU, and of its pre-activation.
    lower, upper : ndarray of float, shape (open, BLOCK)
        Bounds of the pre-activations in each column's domain.
    phase : ndarray of float, shape (open, BLOCK)
        1 where the domain was split so that the pre-activation is not negative, -1 where not positive, 0 elsewhere.
    slope, multiplier : ndarray of float, shape (open, BLOCK)
        Lower slopes, and multipliers of the splits.
    steep, intercept : ndarray of float, shape (open, BLOCK)
        The upper lines.
    weight : ndarray of float, shape (rows, BLOCK)
        Multipliers of the last node's entries, which are pulled back together.
    free : ndarray of float, shape (rows, BLOCK)
        1 where the weight may be changed.
    shift : ndarray of float, shape (rows, BLOCK)
        Added to the node's entries.
    bound : ndarray of float, shape (BLOCK,)
        The best lower bound found.
    owner : ndarray of int, shape (BLOCK,)
        Which functional stands in each column: columns that are done are replaced by the last one.
    coefficient, value : ndarray of float, shape (total, BLOCK)
        Coefficients of the maxima's entries in the last pass; values of all entries at the minimiser.
    moments : ndarray of float, shape (4, open, BLOCK)
    alive, found : ndarray of int, shape (total,) and (nodes,)
        Entries of each node that the last pass read.
    wanted : ndarray of int, shape (total,)
        Whether an entry's value is needed although no functional may read it; all zero between passes.
    gathered : ndarray of float
    """

    place: IntArray
    entry: IntArray
    source: IntArray
    lower: FloatArray
    upper: FloatArray
    phase: FloatArray
    slope: FloatArray
    multiplier: FloatArray
    steep: FloatArray
    intercept: FloatArray
    weight: FloatArray
    free: FloatArray
    shift: FloatArray
    bound: FloatArray
    owner: IntArray
    coefficient: FloatArray
    value: FloatArray
    moments: FloatArray
    alive: IntArray
    wanted: IntArray
    found: IntArray
    gathered: FloatArray


def open_relus(tape: Tape, work: Work) -> tuple[IntArray, IntArray]:
    """Return the entries of ReLUs that the bounds leave open, and their pre-activations'."""
    entries, sources = [], []
    for j in np.flatnonzero((tape.kind == NodeKind.MAXIMUM) & (tape.floor == 0.0)):
        start, size, group = int(tape.start[j]), int(tape.size[j]), int(tape.group[j])
        members = tape.members[tape.offsets[group : group + size]]
        is_open = (work.lower[members] < 0.0) & (work.upper[members] > 0.0)
        entries.append(start + np.flatnonzero(is_open))
        sources.append(members[is_open])
    none = np.zeros(0, dtype=np.int64)
    return np.concatenate([none, *entries]), np.concatenate([none, *sources])


def make_columns(tape: Tape, work: Work, width: int = BLOCK) -> Columns:
    """Allocate the columns for a tape, over the open ReLUs under the bounds in `work`.

    Parameters
    ----------
    tape : Tape
    work : Work
    width : int
        How many columns, at most `BLOCK`.
    """
    entry, source = open_relus(tape, work)
    place = np.full(tape.total, -1, dtype=np.int64)
    place[entry] = np.arange(len(entry))
    rows = int(tape.size.max())
    widest = int(max(tape.map_width.max(initial=1), tape.size.max()))

    def zeros(*sizes: int) -> FloatArray:
        return np.zeros((*sizes, width))

    count = len(entry)
    return Columns(
        place=place,
        entry=entry,
        source=source,
        lower=zeros(count),
        upper=zeros(count),
        phase=zeros(count),
        slope=zeros(count),
        multiplier=zeros(count),
        steep=zeros(count),
        intercept=zeros(count),
        weight=zeros(rows),
        free=zeros(rows),
        shift=zeros(rows),
        bound=zeros(),
        owner=np.zeros(width, dtype=np.int64),
        coefficient=zeros(tape.total),
        value=zeros(tape.total),
        moments=zeros(4, count),
        alive=np.zeros(tape.total, dtype=np.int64),
        wanted=np.zeros(tape.total, dtype=np.int64),
        found=np.zeros(len(tape.kind), dtype=np.int64),
        gathered=np.zeros(widest * width),
    )


def set_columns(columns: Columns, work: Work, count: int) -> None:
    """Give columns the bounds in `work`, without splits."""
    columns.lower[:, :count] = work.lower[columns.source][:, None]
    columns.upper[:, :count] = work.upper[columns.source][:, None]
    columns.phase[:, :count] = 0.0
    columns.multiplier[:, :count] = 0.0
    columns.free[:, :count] = 0.0
    columns.shift[:, :count] = 0.0


@jit
def prepare_columns(columns: Any, count: int, adaptive: bool) -> None:
    """Set the upper lines from the bounds; if adaptive also the slopes, to the smaller triangle's.

    Parameters
    ----------
    columns : Columns
        Bounds, phases, multipliers and weights of the first columns are set, and their slopes if they are to be kept.
    count : int
    adaptive : bool
    """
    for p in range(len(columns.entry)):
        for r in range(count):
            low, high = columns.lower[p, r], columns.upper[p, r]
            columns.moments[0, p, r] = 0.0
            columns.moments[1, p, r] = 0.0
            columns.moments[2, p, r] = 0.0
            columns.moments[3, p, r] = 0.0
            if low >= 0.0:
                columns.slope[p, r], columns.steep[p, r], columns.intercept[p, r] = 1.0, 1.0, 0.0
            elif high <= 0.0:
                columns.slope[p, r], columns.steep[p, r], columns.intercept[p, r] = 0.0, 0.0, 0.0
            else:
                slope = min(1.0, high / (high - low))
                columns.steep[p, r] = slope
                columns.intercept[p, r] = max(-slope * low, (1.0 - slope) * high) + 8.0 * ROUNDOFF * (high - low) + TINY
                if adaptive:
                    columns.slope[p, r] = 1.0 if high > -low else 0.0


@jit
def _gather_wanted(block: FloatArray, wanted: IntArray, start: int, size: int, count: int, alive: IntArray) -> int:
    """List the entries of a slice that some functional reads, or whose values are wanted; return how many."""
    found = 0
    for t in range(size):
        is_read = wanted[start + t] != 0
        wanted[start + t] = 0
        for r in range(count):
            if is_read:
                break
            is_read = block[start + t, r] != 0.0
        if is_read:
            alive[found] = t
            found += 1
    return found


@jit
def _pull(tape: Any, work: Any, columns: Any, node: int, count: int) -> None:
    """Pull the functionals in `work.block` back from a node to the inputs, each through its own lines."""
    block, lines, constants, slacks = work.block, work.lines, work.constants, work.slacks
    constants[:count] = 0.0
    slacks[:count] = 0.0
    for j in range(node, -1, -1):
        columns.found[j] = 0
        if tape.kind[j] == INPUT:
            continue
        start, size = tape.start[j], tape.size[j]
        found = _gather_wanted(block, columns.wanted, start, size, count, work.alive)
        columns.found[j] = found
        columns.alive[start : start + found] = work.alive[:found]
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
                p = columns.place[i]
                columns.coefficient[i, :count] = block[i, :count]
                if p < 0:
                    low, low_slope = lines.low_index[i], lines.low_slope[i]
                    high, high_slope, intercept = lines.high_index[i], lines.high_slope[i], lines.high_intercept[i]
                    low_intercept = lines.low_intercept[i]
                    for r in range(count):
                        v = block[i, r]
                        block[low, r] += max(v, 0.0) * low_slope
                        block[high, r] += min(v, 0.0) * high_slope
                        constants[r] += min(v, 0.0) * intercept + max(v, 0.0) * low_intercept
                else:
                    s = columns.source[p]
                    # Where all slopes are zero nothing reads it, but whether they should be depends on its value.
                    columns.wanted[s] = 1
                    magnitude = work.magnitude[s]
                    for r in range(count):
                        v, multiplier = block[i, r], columns.multiplier[p, r]
                        above, below = max(v, 0.0), min(v, 0.0)
                        block[s, r] += above * columns.slope[p, r] + below * columns.steep[p, r]
                        block[s, r] -= multiplier * columns.phase[p, r]
                        constants[r] += below * columns.intercept[p, r]
                        slacks[r] += multiplier * magnitude
        for k in range(found):
            block[start + work.alive[k], :count] = 0.0
    lost = tape.underflow * work.largest[0] + TINY
    for r in range(count):
        slacks[r] = tape.gamma * slacks[r] + lost


@jit
def _minimise(tape: Any, work: Any, columns: Any, count: int) -> None:
    """Set `work.minima` to safe minima over the box, note the minimisers, and clear the block."""
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
            columns.value[i, r] = low if v > 0.0 else high
            work.block[i, r] = 0.0
    for r in range(count):
        minima[r] -= slacks[r]


@jit
def _push_dense(tape: Any, work: Any, columns: Any, m: int, start: int, count: int, found: int) -> None:
    """Add ``W[alive] @ value`` of the slice that a dense map reads."""
    width, source, at = tape.map_width[m], tape.map_source[m], tape.map_weights[m]
    work.cost[0] += float(found * width * count)
    if count <= FEW:
        # A call for a matrix product would take longer than the product.
        for r in range(count):
            gathered = columns.gathered[:width]
            for c in range(width):
                gathered[c] = columns.value[source + c, r]
            for k in range(found):
                t = columns.alive[start + k]
                row = tape.weights[at + t * width : at + (t + 1) * width]
                total = 0.0
                for c in range(width):
                    total += row[c] * gathered[c]
                columns.value[start + t, r] += total
        return
    weights = work.alive_weights[: found * width].reshape((found, width))
    for k in range(found):
        t = columns.alive[start + k]
        weights[k] = tape.weights[at + t * width : at + (t + 1) * width]
    block = columns.gathered[: width * count].reshape((width, count))
    for c in range(width):
        block[c] = columns.value[source + c, :count]
    product = work.gathered[: found * count].reshape((found, count))
    np.dot(weights, block, product)
    for k in range(found):
        i = start + columns.alive[start + k]
        for r in range(count):
            columns.value[i, r] += product[k, r]


@jit
def _push_rows(tape: Any, columns: Any, m: int, start: int, count: int, found: int) -> None:
    """Add the same for a sparse map, weight by weight."""
    source, value = tape.map_source[m], columns.value
    for n in range(found):
        t = columns.alive[start + n]
        first, column, length = row_of(tape, m, t)
        for k in range(length):
            w, c = tape.weights[first + k], source + tape.columns[column + k]
            for r in range(count):
                value[start + t, r] += w * value[c, r]


@jit
def _push_patches(tape: Any, work: Any, columns: Any, m: int, start: int, count: int, found: int) -> None:
    """Add the same for a convolution, position by position."""
    source, positions, window = tape.map_source[m], tape.map_positions[m], tape.map_window[m]
    value = columns.value
    work.is_alive[: tape.map_filters[m] * positions] = 0
    for n in range(found):
        work.is_alive[columns.alive[start + n]] = 1
    for p in range(positions):
        here = 0
        for f in range(tape.map_filters[m]):
            if work.is_alive[f * positions + p]:
                first = tape.map_weights[m] + f * window
                work.alive_weights[here * window : (here + 1) * window] = tape.weights[first : first + window]
                work.alive[here] = f
                here += 1
        if here == 0:
            continue
        patch = columns.gathered[: window * count].reshape((window, count))
        for k in range(window):
            column = tape.columns[tape.map_columns[m] + p * window + k]
            if column >= 0:
                patch[k] = value[source + column, :count]
            else:
                patch[k] = 0.0
        product = work.gathered[: here * count].reshape((here, count))
        work.cost[0] += float(here * window * count)
        np.dot(work.alive_weights[: here * window].reshape((here, window)), patch, product)
        for n in range(here):
            i = start + work.alive[n] * positions + p
            for r in range(count):
                value[i, r] += product[n, r]


@jit
def _push(tape: Any, work: Any, columns: Any, node: int, count: int) -> None:
    """Evaluate the relaxation at the minimisers, forwards: the lines that the last pass took."""
    value, lines = columns.value, work.lines
    for j in range(node + 1):
        if tape.kind[j] == INPUT:
            continue
        start, size, found = tape.start[j], tape.size[j], columns.found[j]
        if tape.kind[j] == AFFINE:
            for k in range(found):
                i = start + columns.alive[start + k]
                value[i, :count] = tape.bias[i]
            for m in range(tape.first_map[j], tape.first_map[j + 1]):
                if tape.map_kind[m] == DENSE:
                    _push_dense(tape, work, columns, m, start, count, found)
                elif tape.map_kind[m] == PATCH:
                    _push_patches(tape, work, columns, m, start, count, found)
                else:
                    _push_rows(tape, columns, m, start, count, found)
        else:
            # Entries that nothing reads may still be multiplied, by coefficients that cancel.
            value[start : start + size, :count] = 0.0
            for k in range(found):
                i = start + columns.alive[start + k]
                p = columns.place[i]
                for r in range(count):
                    above = columns.coefficient[i, r] > 0.0
                    if p >= 0:
                        z = value[columns.source[p], r]
                        if above:
                            value[i, r] = columns.slope[p, r] * z
                        else:
                            value[i, r] = columns.steep[p, r] * z + columns.intercept[p, r]
                    elif above:
                        value[i, r] = lines.low_slope[i] * value[lines.low_index[i], r] + lines.low_intercept[i]
                    else:
                        value[i, r] = lines.high_slope[i] * value[lines.high_index[i], r] + lines.high_intercept[i]


@jit
def _step(tape: Any, columns: Any, node: int, count: int, number: int, rate: float) -> None:
    """Move slopes, multipliers and weights along the gradient of each column's bound."""
    moments, value = columns.moments, columns.value
    first = 1.0 - FIRST_MOMENT**number
    second = 1.0 - SECOND_MOMENT**number
    scale = np.zeros(count)
    for j in range(node, -1, -1):
        start, found = tape.start[j], columns.found[j]
        if tape.kind[j] == INPUT or tape.kind[j] == AFFINE or found == 0:
            continue
        # Multipliers are coefficients: their steps are measured by the coefficients beside them.
        scale[:] = 0.0
        for k in range(found):
            i = start + columns.alive[start + k]
            for r in range(count):
                scale[r] += abs(columns.coefficient[i, r])
        for r in range(count):
            scale[r] /= found
        for k in range(found):
            i = start + columns.alive[start + k]
            p = columns.place[i]
            if p < 0:
                continue
            for r in range(count):
                z, v, phase = value[columns.source[p], r], columns.coefficient[i, r], columns.phase[p, r]
                if phase != 0.0:
                    gradient = -phase * z
                    moments[2, p, r] = FIRST_MOMENT * moments[2, p, r] + (1.0 - FIRST_MOMENT) * gradient
                    moments[3, p, r] = SECOND_MOMENT * moments[3, p, r] + (1.0 - SECOND_MOMENT) * gradient * gradient
                    move = rate * scale[r] * (moments[2, p, r] / first)
                    move /= np.sqrt(moments[3, p, r] / second) + 1e-30
                    columns.multiplier[p, r] = max(0.0, columns.multiplier[p, r] + move)
                elif columns.lower[p, r] < 0.0 and columns.upper[p, r] > 0.0:
                    gradient = max(v, 0.0) * z
                    moments[0, p, r] = FIRST_MOMENT * moments[0, p, r] + (1.0 - FIRST_MOMENT) * gradient
                    moments[1, p, r] = SECOND_MOMENT * moments[1, p, r] + (1.0 - SECOND_MOMENT) * gradient * gradient
                    move = rate * (moments[0, p, r] / first) / (np.sqrt(moments[1, p, r] / second) + 1e-30)
                    columns.slope[p, r] = min(1.0, max(0.0, columns.slope[p, r] + move))


@jit
def _reweigh(tape: Any, columns: Any, node: int, count: int, rate: float) -> None:
    """Move weights on the simplex towards rows that the minimiser violates least: exponentiated gradients."""
    start, size = tape.start[node], tape.size[node]
    for r in range(count):
        largest, rows = 0.0, 0
        for k in range(size):
            if columns.free[k, r] != 0.0:
                rows += 1
                largest = max(largest, abs(columns.value[start + k, r] + columns.shift[k, r]))
        if rows < 2 or largest == 0.0:
            continue
        total = 0.0
        for k in range(size):
            if columns.free[k, r] != 0.0:
                # A weight of zero would never return, and its row's value would no longer be computed.
                value = columns.value[start + k, r] + columns.shift[k, r]
                grown = columns.weight[k, r] * np.exp(rate * value / largest)
                columns.weight[k, r] = max(grown, 1e-9)
                total += columns.weight[k, r]
        for k in range(size):
            columns.weight[k, r] /= total


@jit
def _move_column(columns: Any, source: int, target: int) -> None:
    """Copy one column over another."""
    for p in range(len(columns.entry)):
        columns.lower[p, target] = columns.lower[p, source]
        columns.upper[p, target] = columns.upper[p, source]
        columns.phase[p, target] = columns.phase[p, source]
        columns.slope[p, target] = columns.slope[p, source]
        columns.multiplier[p, target] = columns.multiplier[p, source]
        columns.steep[p, target] = columns.steep[p, source]
        columns.intercept[p, target] = columns.intercept[p, source]
        for k in range(4):
            columns.moments[k, p, target] = columns.moments[k, p, source]
    columns.weight[:, target] = columns.weight[:, source]
    columns.free[:, target] = columns.free[:, source]
    columns.shift[:, target] = columns.shift[:, source]
    columns.owner[target] = columns.owner[source]


@jit
def _fill_places(columns: Any, count: int, target: float) -> int:
    """Replace columns whose bound is above the target by the last ones; return how many are left."""
    r = 0
    while r < count:
        if columns.bound[columns.owner[r]] > target:
            count -= 1
            if r < count:
                _move_column(columns, count, r)
        else:
            r += 1
    return count


@jit
def improve_columns(
    tape: Any,
    work: Any,
    columns: Any,
    node: int,
    count: int,
    steps: int,
    rate: float,
    target: float,
    evaluate: bool,
    hasty: bool,
) -> int:
    """Bound the columns from below, and improve what bounds those that stay at or below a target.

    Parameters
    ----------
    tape : Tape
    work : Work
        Bounds, lines and reach of the box that holds all the columns' domains.
    columns : Columns
        Prepared; `weight` says which combinations of the node's entries are bounded.
    node, count : int
    steps : int
        Backward passes, at least one; no more are begun once `work.stop` is set.
    rate : float
        Length of the first steps, as a share of a slope's range.
    target : float
    evaluate : bool
        Whether coefficients and values of the last pass are wanted.
    hasty : bool
        Give up once the first column's last gain, repeated in all steps that are left, would not reach the target.

    Returns
    -------
    int
        How many columns took part in the last pass. They stand first; `owner` says which they were. Bounds stand where
        their functionals first stood.
    """
    start, size = tape.start[node], tape.size[node]
    for r in range(count):
        columns.bound[r] = -np.inf
        columns.owner[r] = r
    before = -np.inf
    for number in range(1, steps + 1):
        for k in range(size):
            for r in range(count):
                work.block[start + k, r] = columns.weight[k, r]
        _pull(tape, work, columns, node, count)
        _minimise(tape, work, columns, count)
        for k in range(size):
            for r in range(count):
                if columns.shift[k, r] != 0.0:
                    moved = columns.weight[k, r] * columns.shift[k, r]
                    # The product and both sums may be rounded.
                    work.minima[r] += moved - tape.gamma * (abs(moved) + abs(work.minima[r])) - TINY
        left = 0
        for r in range(count):
            columns.bound[columns.owner[r]] = max(columns.bound[columns.owner[r]], work.minima[r])
            left += columns.bound[columns.owner[r]] <= target
        if work.stop[0] != 0:
            break
        if hasty and number > 2 and columns.bound[0] + (columns.bound[0] - before) * (steps - number) <= target:
            break
        before = columns.bound[0]
        if number < steps and left > 0:
            _push(tape, work, columns, node, count)
            _step(tape, columns, node, count, number, rate)
            _reweigh(tape, columns, node, count, 4.0 * rate)
            if left < count:
                count = _fill_places(columns, count, target)
            rate *= 0.98
        else:
            if evaluate and left > 0:
                _push(tape, work, columns, node, count)
            break
    return count
