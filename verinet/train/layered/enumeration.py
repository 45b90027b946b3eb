"""One hidden layer of quantised weights, by enumeration of its units instead of branching on their weights.

All units or filters are laid out and priced. A column is a unit with the weights that read it, and its slack is by how
much the bound of all networks rises if it is chosen: that of the unit and those of its reads in sum. Columns are listed
up to the gap, and networks enumerated in the order of slacks; a branch ends where the slacks of its columns exceed the
gap. What is left when time is up all has larger slacks, which is a bound as well.

Soundness: prices give bounds by weak duality, lowered by more than their rounding; see `pricing`. The objective of a
network is a float64 sum, and the bound of a finished enumeration lies below the best one by more than its rounding.

References
----------
Dantzig-Wolfe reformulation; reduced-cost fixing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numba
import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import LayerValues
from verinet.train.layered.losses import Sample
from verinet.train.layered.pricing import PIECES, ROUNDING, Pieces, Priced, Pricing
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.layered.units import Units, can_lay_out, lay_out, places

__all__ = ["Enumerated", "applies", "enumerate_units"]

MOST_PLACES = 4
"""Units of a network up to which their combinations are enumerated."""

MOST_ENTRIES = 60_000_000
"""Columns times samples up to which columns are listed: half a gigabyte."""

NARROWER = 0.8
"""Where there are too many columns, only those up to this share of the slack are listed, and so on."""

SLICE = 256
"""First columns between two looks at the clock."""

FIRST = 2000
"""Columns of the smallest slacks among which good networks are looked for first."""

TILE = 16
"""Beginnings of networks that are completed together, so that each column is read once for all of them."""

CHUNK = 32
"""Samples between two looks at whether a network is already worse than the best."""


@dataclass(frozen=True, eq=False)
class Enumerated:
    """What enumeration found.

    Parameters
    ----------
    values : Mapping or None
        The best network, None if none is better than what was known.
    objective : float
        Its objective in float64, or the one that was known.
    bound : float
        No network is better.
    complete : bool
        Whether every network was ruled out or looked at.
    """

    values: Mapping[int, LayerValues] | None
    objective: float
    bound: float
    complete: bool


def applies(specification: LayeredSpecification, samples: int) -> bool:
    """Tell whether the units of a specification can be enumerated."""
    budget = specification.budget
    if specification.goals != (Goal.OBJECTIVE,) or specification.objective.loss not in PIECES:
        return False
    if specification.counts_features or budget.nonzeros is not None or budget.units is not None:
        return False
    return can_lay_out(specification.architecture, samples) and places(specification.architecture) <= MOST_PLACES


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _list_columns(
    slacks: FloatArray, options: FloatArray, zero: int, cut: float, units: IntArray, reads: IntArray, totals: FloatArray
) -> int:  # pragma: no cover - compiled
    """List every unit that is read with a slack below a cut as far as there is room, and return how many there are."""
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
            if (choice == zero).all():
                continue
            if count < len(totals):
                units[count] = unit
                reads[count] = choice
                totals[count] = total
            count += 1
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _effects(features: FloatArray, units: IntArray, reads: FloatArray) -> FloatArray:  # pragma: no cover - compiled
    """Return what each column adds to the output, shape (columns, samples); nothing for unit -1."""
    effects = np.zeros((len(units), features.shape[2]))
    for j in range(len(units)):
        for cell in range(features.shape[1]):
            if units[j] >= 0 and reads[j, cell] != 0.0:
                effects[j] += reads[j, cell] * features[units[j], cell]
    return effects


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "nnan", "contract"})  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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
    least = used[:tiles].min()
    if most:
        first = begun[:tiles, most - 1].min()
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
                chosen[:most] = begun[t]
                chosen[most] = j
    return best


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _combine(
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
        bases[0] = levels
        used[0] = bound
        return _complete(
            effects, costs, slacks, slopes, bases, begun, used, totals, 1, first, last, best, chosen
        )  # fmt: skip
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
        bases[tiles] = levels
        begun[tiles] = place
        totals[tiles] = 0.0
        used[tiles] = bound + sums[level + 1]
        for k in range(places - 1):
            totals[tiles] += costs[place[k]]
            bases[tiles] += slopes * effects[place[k]]
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


def enumerate_units(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    known: float,
    running: Callable[[], bool],
    on_progress: Callable[[float, float], None] = lambda objective, bound: None,
) -> Enumerated:
    """Find the best network of a specification to which `applies` applies.

    Parameters
    ----------
    specification : LayeredSpecification
    samples : Sample
    x : ndarray, shape (samples, inputs)
    known : float
        An objective that is known to be reached; only better networks are looked for.
    running : callable
        Tells whether to go on.
    on_progress : callable
        Called with the best objective and the bound.
    """
    units = lay_out(specification, x)
    pieces = PIECES[specification.objective.loss](specification, samples.targets)
    number = places(specification.architecture)
    pricing = Pricing(units, number, pieces, samples.weights)
    cases = [_Case(units, pieces, samples.weights, float(c), number, pricing.price(float(c), running))
             for c in units.constants]  # fmt: skip
    cases.sort(key=lambda case: case.priced.bound)
    best, values = known, None
    bounds = [case.priced.bound for case in cases]
    for most in (FIRST, None):
        for k, case in enumerate(cases):
            found = case.search(best, most, running)
            if found.columns is not None:
                best = found.objective
                values = units.values(specification.architecture, *found.columns, case.constant)
            bounds[k] = max(bounds[k], found.bound)
            on_progress(best, min(best, *bounds))
    bound = min(best, *bounds)
    return Enumerated(values, best, bound - ROUNDING * (1 + abs(best)), bound >= best)


@dataclass(frozen=True, eq=False)
class _Found:
    """The units and reads of the best network, if any; its objective; and the bound of what was not looked at."""

    columns: tuple[IntArray, FloatArray] | None
    objective: float
    bound: float


@dataclass(frozen=True, eq=False)
class _Case:
    """The networks of one constant."""

    units: Units
    pieces: Pieces
    weights: FloatArray
    constant: float
    places: int
    priced: Priced

    def search(self, best: float, most: int | None, running: Callable[[], bool]) -> _Found:
        """Look for networks below `best`, among some columns of the smallest slacks or among all."""
        units, reads, slacks, cut = self._columns(best)
        bound = self.priced.bound
        if most is not None and most < len(slacks):
            cut = float(slacks[most])
            units, reads, slacks = units[:most], reads[:most], slacks[:most]
        effects = _effects(self.units.features, units, reads)
        read_costs = self.units.read_costs[np.searchsorted(self.units.reads, reads)].sum(axis=1)
        costs = np.where(units >= 0, self.units.costs[units] + read_costs, 0.0)
        slopes, levels = self._lines()
        chosen, found = np.full(self.places, -1), None
        for first in range(0, len(units), SLICE):
            if bound + self.places * slacks[first] >= best:
                break
            if not running():
                return _Found(found, best, min(bound + cut, bound + self.places * float(slacks[first])))
            value = _combine(
                effects, costs, slacks, slopes, levels, self.places, bound, best, first,
                min(first + SLICE, len(units)), chosen,
            )  # fmt: skip
            if value < best:
                best, found = float(value), (units[chosen], reads[chosen])
        return _Found(found, best, min(best, bound + cut))

    def _lines(self) -> tuple[FloatArray, FloatArray]:
        """Return slopes and levels of the lines of the loss, shape (lines, samples), times the samples' weights."""
        slopes = np.ascontiguousarray(self.weights * self.pieces.slopes.T)
        return slopes, np.ascontiguousarray(self.weights * self.pieces.levels.T + slopes * self.constant)

    def _columns(self, best: float) -> tuple[IntArray, FloatArray, FloatArray, float]:
        """Return units, reads and slacks of the columns up to a cut, in the order of slacks; unit -1 is none."""
        cut = best - self.priced.bound
        most = MOST_ENTRIES // len(self.weights)
        slacks, options = self.priced.slacks, self.priced.options
        zero = int(np.flatnonzero(self.units.reads == 0)[0])
        empty = np.zeros(0, np.int64), np.zeros((0, options.shape[1]), np.int64), np.zeros(0)
        while (count := _list_columns(slacks, options, zero, cut, *empty)) > most:
            cut *= NARROWER
        units = np.full(count + 1, -1)
        reads = np.zeros((count + 1, options.shape[1]), dtype=np.int64)
        totals = np.full(count + 1, self.priced.idle)
        _list_columns(slacks, options, zero, cut, units[:count], reads[:count], totals[:count])
        weights = self.units.reads[reads]
        weights[count] = 0.0
        order = np.argsort(totals, kind="stable")
        return units[order], weights[order], totals[order], cut
