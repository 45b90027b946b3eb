"""Pricing: the hidden units that would improve the network most, and a bound on how much any could.

For prices g of the outputs a unit is worth ``|sum_n g_n h_n(w)|``, the value of a one-hidden-layer network whose
inputs are the weights. `verinet.verify` bounds it: by a search over cones of weights where units use few features, by
a mixed-integer programme or level by level where they may use many.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from verinet.numeric import BoolArray, FloatArray
from verinet.train.any_width.family import Family
from verinet.train.any_width.local_pricing import MANY_STARTS, STARTS, LocalSearch, bound_by_levels, spread
from verinet.train.any_width.pricing_programme import bound_by_programme
from verinet.verify import ConeOptions, ConeSearch, Deadline

__all__ = ["Priced", "Pricer", "Unit"]

MOST_COORDINATES = 8
"""Weights of a unit, the bias among them, up to which cones are searched to the end."""

FEWEST_CLIMBED = 5
"""Weights from which units are first looked for by ascents: a search of so many takes seconds, ascents do not."""

FEW_NODES = 20_000
"""Where a programme follows, cones are only searched for good units."""

SHARE_OF_ASCENTS = 0.1
"""Of the time left, for ascents from many starts before bounds have their turn."""

GLANCE = 32
"""Nodes of the first look at a support."""

MOST_BINARIES = 1000
"""Of a pricing programme; with more of them the search by levels is tighter in the same time."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A hidden unit that pricing found.

    Parameters
    ----------
    sign : int
        Of its output weight.
    cell : int
    weights : ndarray, shape (width,)
        Of L1 norm 1.
    worth : float
        Its priced value.
    """

    sign: int
    cell: int
    weights: FloatArray
    worth: float


@dataclass(frozen=True, eq=False)
class Priced:
    """What pricing found out.

    Parameters
    ----------
    bound : float
        No unit of L1 norm 1 is worth more.
    units : tuple of Unit
        Worth more than the cut-off, the best first.
    claimed : bool
        Whether a solver's claim stands behind the bound, rather than rounding-safe bounds alone.
    nodes : int
    """

    bound: float
    units: tuple[Unit, ...]
    claimed: bool
    nodes: int


_Bounding = Callable[[int, int, FloatArray, float, float, Deadline], Priced]
"""Bounds one part: from a sign, a cell, prices, the cut-off, the relative gap and a deadline."""


def _in_turn(
    bound: _Bounding,
    parts: Sequence[tuple[int, int]],
    prices: FloatArray,
    cutoff: float,
    relative_gap: float,
    deadline: Deadline,
) -> list[Priced]:
    """Bound one part after another, each with its share of the time that is left: the bound is that of the worst."""
    found = []
    for left, part in zip(range(len(parts), 0, -1), parts, strict=True):
        found.append(bound(*part, prices, cutoff, relative_gap, deadline.within(deadline.left / left)))
    return found


@dataclass(frozen=True, eq=False)
class Pricer:
    """A family of units, ready to be priced.

    Parameters
    ----------
    family : Family
    monotone : Mapping
        Feature -> +1 or -1: units may only push the output in that direction.
    solver : str
        Of mixed-integer programmes.
    threads : int
        Zero means all cores.
    seed : int
        Of local search.
    by_levels : bool
        Whether a look at the costs of a search comes before it, also where units have few weights: for families
        whose units are sums over many rows.
    """

    family: Family
    monotone: Mapping[int, int] = field(default_factory=dict)
    solver: str = "auto"
    threads: int = 0
    seed: int = 0
    by_levels: bool = False

    @cached_property
    def _search(self) -> ConeSearch:
        return ConeSearch(self.family.rows, self.family.supports, self.family.ends)

    def allowed(self, sign: int) -> BoolArray:
        """Return which weights may be positive, and negative, in units whose output weight has a sign."""
        sides = np.ones((self.family.width, 2), dtype=np.bool_)
        for feature, direction in self.monotone.items():
            sides[feature, 1 if direction * sign > 0 else 0] = False
        return sides

    @cached_property
    def _local(self) -> LocalSearch:
        return LocalSearch(self.family, self._search, self.seed)

    @property
    def _is_large(self) -> bool:
        return bool(self.family.supports.shape[1] > MOST_COORDINATES)

    @property
    def _climbs(self) -> bool:
        """Whether ascents come before bounds: one support of more weights than a search settles in no time."""
        one = len(self.family.supports) == 1
        return one and (self._is_large or (self.family.supports.shape[1] >= FEWEST_CLIMBED and not self.by_levels))

    def price(
        self,
        prices: FloatArray,
        cutoff: float,
        relative_gap: float,
        deadline: Deadline,
        known: Sequence[Unit] = (),
        thoroughly: bool = True,
    ) -> Priced:
        """Look for units worth more than the cut-off, and bound what any is worth.

        Parameters
        ----------
        prices : ndarray, shape (points,)
        cutoff : float
        relative_gap : float
            How far bounds may exceed the best unit found, where that is worth more than the cut-off.
        deadline : Deadline
        known : sequence of Unit
            Units that may lie near to better ones.
        thoroughly : bool
            Whether pricing by levels goes on after a glance that found nothing.

        Returns
        -------
        Priced
            Where units have more than a few weights, the bound is loose as long as local search finds units.
        """
        parts = [(sign, cell) for cell in range(len(self.family.mixes)) for sign in (1, -1)]
        if self._climbs:
            for starts, share in ((STARTS, 1.0), (MANY_STARTS, SHARE_OF_ASCENTS)):
                until = deadline.within(share * deadline.left)
                found = [self._climbed(*part, prices, cutoff, until, known, starts) for part in parts]
                if any(part.units for part in found):
                    break
            if not any(part.units for part in found) and not deadline.passed:
                if self._is_large:
                    found = self._proven(parts, prices, cutoff, relative_gap, deadline)
                else:
                    found = _in_turn(self._levelled, parts, prices, cutoff, relative_gap, deadline)
        elif self.by_levels:
            found = self._looked_over(parts, prices, cutoff, relative_gap, deadline, thoroughly)
        else:
            found = [self._searched(sign, cell, prices, cutoff, relative_gap, deadline) for sign, cell in parts]
        units = sorted((unit for part in found for unit in part.units), key=lambda unit: -unit.worth)
        return Priced(
            max(part.bound for part in found),
            tuple(units),
            any(part.claimed for part in found),
            sum(part.nodes for part in found),
        )

    def _searched(
        self,
        sign: int,
        cell: int,
        prices: FloatArray,
        cutoff: float,
        relative_gap: float,
        deadline: Deadline,
        most_nodes: int | None = None,
    ) -> Priced:
        """Search the cones of every support, to the end where units have few weights."""
        options = ConeOptions(cutoff, relative_gap, threads=self.threads)
        if self._is_large or most_nodes is not None:
            options = replace(options, most_nodes=most_nodes or FEW_NODES)
        weights = sign * self.family.pull_back(prices, cell)
        found = self._search.maximise(weights, options, allowed=self.allowed(sign), deadline=deadline)
        units = []
        for k in np.flatnonzero(found.values > cutoff):
            full = spread(found.points[k], self.family.supports[k], self.family.width)
            units.append(Unit(sign, cell, full, float(found.values[k])))
        bound = float(found.bounds.max(initial=0.0)) + self.family.rounding(prices, self._search.reach, cell)
        return Priced(bound, tuple(units), False, int(found.nodes.sum()))

    def _looked_over(
        self,
        parts: Sequence[tuple[int, int]],
        prices: FloatArray,
        cutoff: float,
        relative_gap: float,
        deadline: Deadline,
        thoroughly: bool,
    ) -> list[Priced]:
        """Take what a glance at every support finds; where that is nothing, bound by levels."""
        found = [self._searched(*part, prices, cutoff, relative_gap, deadline, GLANCE) for part in parts]
        if any(part.units for part in found) or not thoroughly or deadline.passed:
            return found
        return _in_turn(self._levelled, parts, prices, cutoff, relative_gap, deadline)

    def _climbed(
        self,
        sign: int,
        cell: int,
        prices: FloatArray,
        cutoff: float,
        deadline: Deadline,
        known: Sequence[Unit],
        starts: int,
    ) -> Priced:
        """Look for units by ascents only; the bound is that of the whole ball."""
        near = [unit.weights for unit in known if (unit.sign, unit.cell) == (sign, cell)]
        found = self._local.find(sign * prices, cell, self.allowed(sign), cutoff, near, self.threads, deadline, starts)
        weights, options = sign * self.family.pull_back(prices, cell), ConeOptions(cutoff, most_nodes=1)
        bound = float(self._search.maximise(weights, options, allowed=self.allowed(sign)).bounds[0])
        bound += self.family.rounding(prices, self._search.reach, cell)
        return Priced(bound, tuple(Unit(sign, cell, w, worth) for w, worth in found), False, 1)

    def _proven(
        self,
        parts: Sequence[tuple[int, int]],
        prices: FloatArray,
        cutoff: float,
        relative_gap: float,
        deadline: Deadline,
    ) -> list[Priced]:
        """Bound what local search left: by a programme where it is small enough, by levels where it is not."""
        binaries = [
            int(self._search.sizes[sign * self.family.pull_back(prices, cell) > 0].sum()) for sign, cell in parts
        ]
        if max(binaries) <= MOST_BINARIES:
            return _in_turn(self._programmed, parts, prices, cutoff, relative_gap, deadline)
        shared = _Stoppable(deadline.end, threading.Event())
        with ThreadPoolExecutor(self.threads or os.cpu_count() or 1) as pool:
            try:
                waiting = [pool.submit(self._levelled, s, c, prices, cutoff, relative_gap, shared, 1) for s, c in parts]
                return [future.result() for future in waiting]
            except BaseException:
                shared.stop.set()
                raise

    def _programmed(
        self, sign: int, cell: int, prices: FloatArray, cutoff: float, relative_gap: float, deadline: Deadline
    ) -> Priced:
        """Search some cones, and ask a solver where that leaves the question open."""
        priced = self._searched(sign, cell, prices, cutoff, relative_gap, deadline)
        if priced.units or priced.bound <= cutoff:
            return priced
        weights, allowed = sign * self.family.pull_back(prices, cell), self.allowed(sign)
        proven = bound_by_programme(self._search, weights, allowed, cutoff, self.solver, self.threads, deadline)
        units = [Unit(sign, cell, w, worth) for w, worth in proven.points if worth > cutoff]
        bound = proven.bound + self.family.rounding(prices, self._search.reach, cell)
        if bound < priced.bound:
            return Priced(bound, tuple(units), True, priced.nodes)
        return Priced(priced.bound, tuple(units), False, priced.nodes)

    def _levelled(
        self,
        sign: int,
        cell: int,
        prices: FloatArray,
        cutoff: float,
        relative_gap: float,
        deadline: Deadline,
        threads: int | None = None,
    ) -> Priced:
        """Bound by levels for as long as there is time, by default on the pricer's threads."""
        weights, allowed = sign * self.family.pull_back(prices, cell), self.allowed(sign)
        options = ConeOptions(cutoff, relative_gap, threads=self.threads if threads is None else threads)
        found = bound_by_levels(self._search, weights, allowed, options, deadline)
        units = tuple(Unit(sign, cell, w, worth) for w, worth in found.points)
        return Priced(found.bound + self.family.rounding(prices, self._search.reach, cell), units, False, found.nodes)


@dataclass(frozen=True)
class _Stoppable(Deadline):
    """A deadline that comes at once when somebody says so.

    Parameters
    ----------
    stop : threading.Event
    """

    stop: threading.Event

    @property
    def passed(self) -> bool:
        """Whether it has passed, or was told to."""
        return self.stop.is_set() or Deadline(self.end).passed
