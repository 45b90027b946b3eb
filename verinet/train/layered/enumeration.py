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

import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import LayerValues
from verinet.train.layered.combining import combine, effects_of, list_columns
from verinet.train.layered.losses import Sample
from verinet.train.layered.pricing import PIECES, ROUNDING, Pieces, Priced, Pricing
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.layered.units import Units, can_lay_out, lay_out, places

__all__ = ["Enumerated", "Enumeration", "applies", "enumerate_units", "is_enumerable"]

MOST_PLACES = 4
"""Units of a network up to which their combinations are enumerated."""

MOST_ENTRIES = 60_000_000
"""Columns times samples up to which columns are listed: half a gigabyte."""

MOST_COLUMNS = 2_000_000
"""Columns that are listed at the most."""

NARROWER = 0.8
"""Where there are too many columns, only those up to this share of the slack are listed, and so on."""

SLICE = 256
"""First columns between two looks at the clock."""

FIRST = (2000, 6000)
"""Good networks are looked for among so few columns of the smallest slacks first, and among so many."""


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


@dataclass(frozen=True, eq=False)
class Enumeration:
    """Which networks are enumerated, and for how long.

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

    specification: LayeredSpecification
    samples: Sample
    x: FloatArray
    known: float
    running: Callable[[], bool]
    on_progress: Callable[[float, float], None] = lambda objective, bound: None


def is_enumerable(specification: LayeredSpecification) -> bool:
    """Tell whether goals and budgets are sums over units, as prices need them."""
    budget = specification.budget
    counts = specification.counts_features or budget.nonzeros is not None or budget.units is not None
    return specification.goals == (Goal.OBJECTIVE,) and specification.objective.loss in PIECES and not counts


def applies(specification: LayeredSpecification, samples: int) -> bool:
    """Tell whether the units of a specification can be enumerated."""
    is_small = can_lay_out(specification.architecture, samples) and places(specification.architecture) <= MOST_PLACES
    return is_small and is_enumerable(specification)


def enumerate_units(task: Enumeration) -> Enumerated:
    """Find the best network of a specification to which `applies` applies."""
    specification, samples, running = task.specification, task.samples, task.running
    units = lay_out(specification, task.x)
    pieces = PIECES[specification.objective.loss](specification, samples.targets)
    number = places(specification.architecture)
    pricing = Pricing(units, number, pieces, samples.weights)
    cases = [_Case(units, pieces, samples.weights, float(c), number, pricing.price(float(c), running))
             for c in units.constants]  # fmt: skip
    cases.sort(key=lambda case: case.priced.bound)
    best, values = task.known, None
    bounds = [case.priced.bound for case in cases]
    for most in (*FIRST, MOST_COLUMNS):
        for k, case in enumerate(cases):
            if bounds[k] >= best:
                continue
            found = case.search(best, most, running)
            if found.columns is not None:
                best = found.objective
                values = units.values(specification.architecture, *found.columns, case.constant)
            bounds[k] = max(bounds[k], found.bound)
            task.on_progress(best, min(best, *bounds))
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

    def search(self, best: float, most: int, running: Callable[[], bool]) -> _Found:
        """Look for networks below `best` among the columns of the smallest slacks, at most so many."""
        units, reads, slacks, cut = self._columns(best, most)
        bound = self.priced.bound
        effects = effects_of(self.units.features, units, reads)
        read_costs = self.units.read_costs[np.searchsorted(self.units.reads, reads)].sum(axis=1)
        costs = np.where(units >= 0, self.units.costs[units] + read_costs, 0.0)
        slopes, levels = self._lines()
        chosen, found = np.full(self.places, -1), None
        for first in range(0, len(units), SLICE):
            if bound + self.places * slacks[first] >= best:
                break
            if not running():
                return _Found(found, best, min(bound + cut, bound + self.places * float(slacks[first])))
            value = combine(
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

    def _columns(self, best: float, most: int) -> tuple[IntArray, FloatArray, FloatArray, float]:
        """Return units, reads and slacks of the columns up to a cut, in the order of slacks; unit -1 is none."""
        slacks, options = self.priced.slacks, self.priced.options
        largest = float((slacks + options.max(axis=2).sum(axis=1)).max(initial=0.0)) + 1.0
        cut = min(best - self.priced.bound, largest)
        most = min(most, MOST_ENTRIES // len(self.weights))
        zero = int(np.flatnonzero(self.units.reads == 0)[0])
        empty = np.zeros(0, np.int64), np.zeros((0, options.shape[1]), np.int8), np.zeros(0)
        while (count := list_columns(slacks, options, zero, cut, most, *empty)) > most:
            cut *= NARROWER
        units = np.full(count + 1, -1)
        reads = np.zeros((count + 1, options.shape[1]), dtype=np.int8)
        totals = np.full(count + 1, self.priced.idle)
        list_columns(slacks, options, zero, cut, most, units[:count], reads[:count], totals[:count])
        weights = self.units.reads[reads]
        weights[count] = 0.0
        order = np.argsort(totals, kind="stable")
        return units[order], weights[order], totals[order], cut
