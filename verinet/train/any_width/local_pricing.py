"""Pricing where units have too many weights to search them all: many tries, ascents, and bounds that time allows.

Good units are found by ascents from the units that are in use and from the best of many fixed points; that is cheap
and needs no bound. Once none is left, the greatest value is bounded level by level: a search that lets every hull go
whose bound lies below a level proves that level or runs out of time, and each level costs some times the one before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.train.any_width.family import Family
from verinet.verify import ConeOptions, ConeSearch, Deadline

__all__ = ["MANY_STARTS", "STARTS", "Levelled", "LocalSearch", "bound_by_levels", "spread"]

TRIED = 2000
"""Fixed points at which every weighting is evaluated."""

AT_ONCE = 200
"""Of them that are evaluated together."""

STARTS, MANY_STARTS = 12, 150
"""Ascents from the best of the fixed points, and as many at most from known units: at first, and where those fail."""

STEP = 0.8
"""From level to level: the next one is that share of the last."""

NEARER, NEAR = 0.25, 0.01
"""Close to the cut-off, where levels are dear: what is left of the distance to it, and the share that is skipped."""

DIGITS = 9
"""Points that agree in so many decimals are one."""


@dataclass(frozen=True, eq=False)
class LocalSearch:
    """Fixed points of the L1 sphere with their units' values, and ascents from the best of them.

    Parameters
    ----------
    family : Family
    search : ConeSearch
        Of the family's rows.
    seed : int
        Of the fixed points.
    """

    family: Family
    search: ConeSearch
    seed: int = 0

    @cached_property
    def points(self) -> FloatArray:
        """The fixed points, some sparse, shape (TRIED, width)."""
        random = np.random.default_rng(self.seed)
        points = random.standard_normal((TRIED, self.family.width))
        kept = random.random(points.shape) < random.choice([0.3, 0.6, 1.0], (TRIED, 1))
        kept[np.arange(TRIED), random.integers(self.family.width, size=TRIED)] = True
        points[~kept] = 0.0
        return np.asarray(points / np.abs(points).sum(axis=1, keepdims=True))

    @cached_property
    def _values(self) -> tuple[FloatArray, ...]:
        parts = np.split(self.points, TRIED // AT_ONCE)
        cells = range(len(self.family.mixes))
        return tuple(np.column_stack([self.family.values(part, cell) for part in parts]) for cell in cells)

    def find(
        self,
        prices: FloatArray,
        cell: int,
        allowed: BoolArray,
        cutoff: float,
        known: Sequence[FloatArray],
        threads: int,
        deadline: Deadline,
        starts: int = STARTS,
    ) -> list[tuple[FloatArray, float]]:
        """Find points worth more than the cut-off, the best first.

        Parameters
        ----------
        prices : ndarray, shape (points,)
            Times the sign of the output weight.
        cell : int
        allowed : ndarray of bool, shape (width, 2)
        cutoff : float
        known : sequence of ndarray, shape (width,)
            Weights to climb from as well.
        threads : int
        deadline : Deadline
        starts : int
            How many of the fixed points to climb from, and of the known ones at most.
        """
        worths = prices @ self._values[cell]
        ruled_out = ((self.points > 0) & ~allowed[:, 0] | (self.points < 0) & ~allowed[:, 1]).any(axis=1)
        worths[ruled_out] = -np.inf
        chosen = np.argsort(-worths, kind="stable")[:starts]
        begun = np.vstack([*known[:starts], self.points[chosen[np.isfinite(worths[chosen])]]])
        weights = self.family.pull_back(prices, cell)
        points, values = self.search.ascend(weights, begun, allowed=allowed, threads=threads, deadline=deadline)
        distinct: dict[bytes, tuple[FloatArray, float]] = {}
        for k in np.argsort(-values, kind="stable"):
            if values[k] > cutoff:
                # Adding zero makes the two zeros one.
                distinct.setdefault((np.round(points[k], DIGITS) + 0.0).tobytes(), (points[k], float(values[k])))
        return list(distinct.values())


@dataclass(frozen=True, eq=False)
class Levelled:
    """What a search by levels found.

    Parameters
    ----------
    bound : float
        No point has a greater value, rounding included.
    points : list of (ndarray, float)
        Worth more than the cut-off.
    nodes : int
    """

    bound: float
    points: list[tuple[FloatArray, float]] = field(default_factory=list)
    nodes: int = 0


def bound_by_levels(
    search: ConeSearch, weights: FloatArray, allowed: BoolArray, options: ConeOptions, deadline: Deadline
) -> Levelled:
    """Bound a weighting's greatest value over the ball, or its parts with few coordinates, as well as time allows.

    Parameters
    ----------
    search : ConeSearch
    weights : ndarray, shape (terms,)
    allowed : ndarray of bool, shape (width, 2)
    options : ConeOptions
        Levels end at its cut-off.
    deadline : Deadline

    Returns
    -------
    Levelled
        Its search ends with the first level at which points are worth more than the cut-off.
    """
    root = search.maximise(weights, replace(options, most_nodes=1), allowed=allowed, deadline=deadline)
    bounds, nodes, level = root.bounds.copy(), int(root.nodes.sum()), float(root.bounds.max(initial=0.0))
    points: list[tuple[FloatArray, float]] = []
    while bounds.max(initial=0.0) > options.cutoff < level and not points and not deadline.passed:
        level = _next_level(level, options.cutoff)
        open_ones = np.flatnonzero(bounds > level)
        at_level = replace(options, cutoff=level)
        found = search.maximise(weights, at_level, allowed=allowed, chosen=open_ones, deadline=deadline)
        bounds[open_ones] = np.minimum(bounds[open_ones], found.bounds)
        nodes += int(found.nodes.sum())
        points = [
            (spread(found.points[k], search.supports[open_ones[k]], search.rows.shape[1]), float(found.values[k]))
            for k in np.flatnonzero(found.values > options.cutoff)
        ]
    return Levelled(float(bounds.max(initial=0.0)), points, nodes)


def _next_level(level: float, cutoff: float) -> float:
    """Return the level that follows: the cut-off itself only from nearby, so that time that ends leaves a bound."""
    if level <= (1.0 + NEAR) * cutoff:
        return cutoff
    return max(STEP * level, cutoff + NEARER * (level - cutoff))


def spread(point: FloatArray, support: IntArray, width: int) -> FloatArray:
    """Return all weights of a unit from those of its support."""
    full = np.zeros(width)
    full[support[support >= 0]] = point[support >= 0]
    return full
