"""The branch engine of the optimiser: branch and bound on the input box, with rounding-safe bounds.

All open cases are searched together. A box is refuted at the cut-off of the time, and cut-offs only fall, so the least
of the last cut-off and of what is known about open boxes bounds everything from below.
"""

import math
from fractions import Fraction

import numpy as np

from verinet.model import Region
from verinet.numeric import FloatArray, float_down, float_up
from verinet.verify.box_search import BoxSearch, Stop
from verinet.verify.descent import descend
from verinet.verify.falsify import SAMPLES, Falsifier
from verinet.verify.objective_tape import ObjectiveTape, prepare_objective
from verinet.verify.optimum import Basis
from verinet.verify.search import Report, Search
from verinet.verify.watch import Watch

__all__ = ["optimise_with_branching"]


def optimise_with_branching(search: Search) -> Report:
    """Optimise the open cases by splitting the input box.

    Parameters
    ----------
    search : Search
        Its incumbent improves, and so do its floors, by rounding-safe bounds.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If an objective counts changes.
    """
    prepared = prepare_objective(search.problem.network, search.problem.domain, [i.case for i in search.open_cases])
    if descend(search) and search.beaten:
        return Report()
    return _Minimisation(search, prepared).run()


class _Minimisation(BoxSearch[Report]):
    """A search for the least value."""

    def __init__(self, search: Search, prepared: ObjectiveTape) -> None:
        options = search.options
        super().__init__(
            search.problem.domain, prepared.tape, prepared.cases, search.deadline, options.threads, options.memory
        )
        self.search, self.prepared = search, prepared
        self.cutoff: Fraction | None = None
        self.watch = Watch(self._falsifier(), len(prepared.tape.weights), True)
        if search.incumbent.value is not None:
            # With a point to begin with, boxes get their share first: an easy question needs no other.
            self.watch.due = float(self.watch.falsifier.evaluations * self.watch.evaluation)
        self._tighten()

    def _falsifier(self) -> Falsifier:
        """Look for points of the cases, with values below the cut-off where there is one."""
        cases = self.prepared.conjunctions if self.cutoff is None else self.prepared.below(self.cutoff)
        return Falsifier(self.prepared.network, Region(self.domain, cases), self.search.options.seed + 1)

    def _tighten(self) -> None:
        """Move the cut-off to where the best point has it."""
        cutoff = self.search.target
        if cutoff is None:
            # Above every value, or where none is known above all that may be of interest: nothing is cut off.
            highest = self.prepared.ceiling
            beyond = Fraction(highest) + 1 if math.isfinite(highest) else Fraction(np.finfo(np.float64).max) / 4
            self.prepared.cut_at(beyond)
            return
        if self.cutoff is not None and cutoff >= self.cutoff:
            return
        self.cutoff = cutoff
        self.prepared.cut_at(cutoff)
        rng = self.watch.falsifier.rng
        self.watch.falsifier = self._falsifier()
        self.watch.falsifier.rng = rng
        reach = self.prepared.reach
        for pile in self.piles:
            pile.prune(float_up(cutoff))
            if reach is not None:
                pile.clip(*reach.box(cutoff))

    @property
    def floor(self) -> float:
        """What no value is below."""
        line = math.inf
        if self.cutoff is not None:
            line = float_down(self.cutoff)
        elif not math.isfinite(self.prepared.ceiling):
            line = np.finfo(np.float64).max / 4
        worst = self.worst
        return line if worst is None else min(line, worst.bound)

    def _note_floor(self) -> None:
        for number in range(len(self.search.open_cases)):
            self.search.floors.add(number, self.floor, Basis.ROUNDING_SAFE)

    def offered(self, point: FloatArray | tuple[Fraction, ...]) -> Report | None:
        if not self.search.incumbent.offer(point):
            return None
        if self.search.beaten:
            return self._report()
        descend(self.search)
        self._tighten()
        return self._report() if self.search.beaten else None

    def between_rounds(self) -> Report | None:
        size = SAMPLES * self.tape.total * np.dtype(np.float64).itemsize
        if self.watch.turns or self.memory.allows(size):
            point = self.watch.look(self.products, self.deadline, self.open_boxes)
            ended = None if point is None else self.offered(point)
            if ended is not None:
                return ended
        self._note_floor()
        self.search.report()
        return self._report() if self.search.is_finished else None

    def emptied(self) -> Report:
        if self.aside and not self._finished:
            return self._report(f"{len(self.aside)} box(es) are too small for floats to split and still open")
        return self._report()

    def stopped(self, stop: Stop) -> Report:
        return self._report(stop.value)

    @property
    def _finished(self) -> bool:
        self._note_floor()
        return self.search.is_finished

    def _report(self, reason: str = "") -> Report:
        self._note_floor()
        return Report(reason, (f"rounding-safe bounds on {self.boxes} boxes of the input domain",))
