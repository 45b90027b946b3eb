"""Columns of units in the order of slacks, and the best sets of them: compiled loops.

A column is a unit with the weights that read it. Its slack is by how much a bound of all networks rises if it is
chosen; a set of columns whose slacks lead from the bound to the best objective so far cannot be better.

Soundness: slacks and bounds are the caller's, who lowers them by more than their rounding; losses are float64 sums.
"""

import numpy as np

from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray

__all__ = ["combine", "effects_of", "list_columns"]

TILE = 16
"""Beginnings of networks that are completed together, so that each column is read once for all of them."""

CHUNK = 32
"""Samples between two looks at whether a network is already worse than the best."""


@jit
def list_columns(
    slacks: FloatArray,
    options: FloatArray,
    zero: int,
    cut: float,
    most: int,
    units: IntArray,
    reads: np.ndarray[tuple[int, ...], np.dtype[np.int8]],
    totals: FloatArray,
) -> int:  # pragma: no cover - compiled
    """List every unit that is read with a slack below a cut, as far as there is room; return how many there are.

    Counting ends behind `most`.
    """
    _, cells, values = options.shape
    choice = np.zeros(cells, dtype=np.int64)
    used = np.zeros(cells + 1)
    count = 0
    for unit in range(len(slacks)):
        if slacks[unit] >= cut:
            continue
        used[0] = slacks[unit]
        level = 0
        choice[0] = -1
        while level >= 0:
            choice[level] += 1
            if choice[level] == values:
                level -= 1
                continue
            total = used[level] + options[unit, level, choice[level]]
            if total >= cut:
                continue
            if level + 1 < cells:
                level += 1
                used[level] = total
                choice[level] = -1
                continue
            read = False
            for cell in range(cells):
                read |= choice[cell] != zero
            if read and count < len(totals):
                units[count] = unit
                totals[count] = total
                for cell in range(cells):
                    reads[count, cell] = choice[cell]
            count += read
            if count > most:
                return count
    return count


@jit
def effects_of(features: FloatArray, units: IntArray, reads: FloatArray) -> FloatArray:  # pragma: no cover - compiled
    """Return what each column adds to the output, shape (columns, samples); nothing for unit -1."""
    effects = np.zeros((len(units), features.shape[2]))
    for j in range(len(units)):
        for cell in range(features.shape[1]):
            weight = reads[j, cell]
            if units[j] >= 0 and weight != 0.0:
                for n in range(features.shape[2]):
                    effects[j, n] += weight * features[units[j], cell, n]
    return effects


@jit
def _loss(bases: FloatArray, slopes: FloatArray, effect: FloatArray, limit: float) -> float:  # pragma: no cover
    """Return the loss where an effect is added, or some number above the limit if the loss is."""
    total = 0.0
    lines, count = bases.shape
    for start in range(0, count, CHUNK):
        end = min(start + CHUNK, count)
        if lines == 1:
            for n in range(start, end):
                total += max(0.0, bases[0, n] + slopes[0, n] * effect[n])
        else:
            for n in range(start, end):
                e = effect[n]
                total += max(0.0, max(bases[0, n] + slopes[0, n] * e, bases[1, n] + slopes[1, n] * e))
        if total >= limit:
            break
    return total


@jit
def _complete(
    effects: FloatArray,
    costs: FloatArray,
    slacks: FloatArray,
    slopes: FloatArray,
    bases: FloatArray,
    begun: IntArray,
    used: FloatArray,
    totals: FloatArray,
    tiles: int,
    first: int,
    last: int,
    best: float,
    chosen: IntArray,
) -> float:  # pragma: no cover - compiled
    """Look at every last column, not before those it completes; `used` holds the bound and the slacks so far."""
    most = begun.shape[1]
    least = used[0]
    for t in range(1, tiles):
        least = min(least, used[t])
    if most:
        first = begun[0, most - 1]
        for t in range(1, tiles):
            first = min(first, begun[t, most - 1])
    for j in range(first, last):
        if least + slacks[j] >= best:
            break
        for t in range(tiles):
            limit = best - totals[t] - costs[j]
            if limit <= 0.0 or used[t] + slacks[j] >= best or (most and j < begun[t, most - 1]):
                continue
            value = _loss(bases[t], slopes, effects[j], limit)
            if value < limit:
                best = totals[t] + costs[j] + value
                chosen[most] = j
                for k in range(most):
                    chosen[k] = begun[t, k]
    return best


@jit
def _begin(base: FloatArray, levels: FloatArray) -> None:  # pragma: no cover - compiled
    for line in range(levels.shape[0]):
        for n in range(levels.shape[1]):
            base[line, n] = levels[line, n]


@jit
def combine(
    effects: FloatArray,
    costs: FloatArray,
    slacks: FloatArray,
    slopes: FloatArray,
    levels: FloatArray,
    places: int,
    bound: float,
    best: float,
    first: int,
    last: int,
    chosen: IntArray,
) -> float:  # pragma: no cover - compiled
    """Look at all sets of columns whose first is among ``first:last``; columns are in the order of slacks.

    Slopes and levels, shape (1 or 2, samples), hold the samples' weights.
    """
    columns, count = effects.shape
    bases = np.zeros((TILE, len(levels), count))
    begun = np.zeros((TILE, places - 1), dtype=np.int64)
    used = np.zeros(TILE)
    totals = np.zeros(TILE)
    if places == 1:
        _begin(bases[0], levels)
        used[0] = bound
        return float(_complete(
            effects, costs, slacks, slopes, bases, begun, used, totals, 1, first, last, best, chosen
        ))  # fmt: skip
    place = np.zeros(places - 1, dtype=np.int64)
    sums = np.zeros(places)
    level = 0
    place[0] = first
    tiles = 0
    while level >= 0:
        j = place[level]
        end = last if level == 0 else columns
        if j >= end or bound + sums[level] + (places - level) * slacks[j] >= best:
            level -= 1
            if level >= 0:
                place[level] += 1
            continue
        sums[level + 1] = sums[level] + slacks[j]
        if level + 2 < places:
            level += 1
            place[level] = j
            continue
        _begin(bases[tiles], levels)
        totals[tiles] = 0.0
        used[tiles] = bound + sums[level + 1]
        for k in range(places - 1):
            begun[tiles, k] = place[k]
            totals[tiles] += costs[place[k]]
            for line in range(len(slopes)):
                for n in range(count):
                    bases[tiles, line, n] += slopes[line, n] * effects[place[k], n]
        tiles += 1
        if tiles == TILE:
            best = _complete(
                effects, costs, slacks, slopes, bases, begun, used, totals, tiles, 0, columns, best, chosen
            )  # fmt: skip
            tiles = 0
        place[level] += 1
    if tiles:
        best = _complete(
            effects, costs, slacks, slopes, bases, begun, used, totals, tiles, 0, columns, best, chosen
        )  # fmt: skip
    return best
