"""Pricing: the hidden units that would improve the network most, and a bound on how much any could.

For prices g of the outputs a unit is worth ``|sum_n g_n h_n(w)|``, the value of a one-hidden-layer network whose
inputs are the weights. `verinet.verify` bounds it: by a search over cones of weights where units use few features, by
a mixed-integer programme where they may use many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from verinet.numeric import BoolArray, FloatArray
from verinet.train.any_width.family import Family
from verinet.train.any_width.pricing_programme import bound_by_programme
from verinet.verify import ConeOptions, ConeSearch, Deadline

__all__ = ["Priced", "Pricer", "Unit"]

MOST_COORDINATES = 8
"""Weights of a unit, the bias among them, up to which cones are searched to the end."""

FEW_NODES = 20_000
"""Where a programme follows, cones are only searched for good units."""


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
    """

    family: Family
    monotone: Mapping[int, int] = field(default_factory=dict)
    solver: str = "auto"
    threads: int = 0

    @cached_property
    def _search(self) -> ConeSearch:
        return ConeSearch(self.family.rows, self.family.supports, self.family.ends)

    def allowed(self, sign: int) -> BoolArray:
        """Return which weights may be positive, and negative, in units whose output weight has a sign."""
        sides = np.ones((self.family.width, 2), dtype=np.bool_)
        for feature, direction in self.monotone.items():
            sides[feature, 1 if direction * sign > 0 else 0] = False
        return sides

    def price(self, prices: FloatArray, cutoff: float, relative_gap: float, deadline: Deadline) -> Priced:
        """Look for units worth more than the cut-off, and bound what any is worth.

        Parameters
        ----------
        prices : ndarray, shape (points,)
        cutoff : float
        relative_gap : float
            How far bounds may exceed the best unit found, where that is worth more than the cut-off.
        deadline : Deadline

        Returns
        -------
        Priced
        """
        parts = [
            self._part(sign, cell, prices, cutoff, relative_gap, deadline)
            for cell in range(len(self.family.mixes))
            for sign in (1, -1)
        ]
        units = sorted((unit for part in parts for unit in part.units), key=lambda unit: -unit.worth)
        return Priced(
            max(part.bound for part in parts),
            tuple(units),
            any(part.claimed for part in parts),
            sum(part.nodes for part in parts),
        )

    def _part(
        self, sign: int, cell: int, prices: FloatArray, cutoff: float, relative_gap: float, deadline: Deadline
    ) -> Priced:
        weights = sign * self.family.pull_back(prices, cell)
        allowed = self.allowed(sign)
        large = self.family.supports.shape[1] > MOST_COORDINATES
        options = ConeOptions(cutoff, relative_gap, threads=self.threads)
        if large:
            options = replace(options, most_nodes=FEW_NODES)
        found = self._search.maximise(weights, options, allowed=allowed, deadline=deadline)
        units = []
        for k in np.flatnonzero(found.values > cutoff):
            full, support = np.zeros(self.family.width), self.family.supports[k]
            full[support[support >= 0]] = found.points[k][support >= 0]
            units.append(Unit(sign, cell, full, float(found.values[k])))
        bound, claimed = float(found.bounds.max(initial=0.0)), False
        if large and not units and bound > cutoff and len(found.bounds) == 1:
            proven = bound_by_programme(self._search, weights, allowed, cutoff, self.solver, self.threads, deadline)
            if proven.bound < bound:
                bound, claimed = proven.bound, True
            units += [Unit(sign, cell, w, worth) for w, worth in proven.points if worth > cutoff]
            units.sort(key=lambda unit: -unit.worth)
        return Priced(bound, tuple(units), claimed, int(found.nodes.sum()))
