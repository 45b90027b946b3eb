"""A search for an optimum: the best confirmed point, the floors of what is open, and when to stop."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.model import Atom, Domain, Network, Side, evaluate_exact
from verinet.numeric import FloatArray, float_down
from verinet.verify.objectives import Case, Objective
from verinet.verify.optimum import Basis, OptimiseOptions, OptimumProgress, gap_of
from verinet.verify.options import Deadline
from verinet.verify.prepared import Problem

__all__ = ["Floors", "Incumbent", "OpenCase", "Report", "Search"]

OFFERED_SAMPLES = 4
"""How many of the sampled points an exact evaluation is spent on."""

GAP_SHARE = Fraction(99, 100)
"""How much of the wanted gap separates the target from the best value: the rest is for rounding."""

Point = tuple[Fraction, ...]


@dataclass(eq=False)
class Incumbent:
    """The best point so far; nothing enters it unconfirmed.

    Parameters
    ----------
    network : Network
    domain : Domain
    cases : sequence of Case
    """

    network: Network
    domain: Domain
    cases: Sequence[Case]
    point: Point | None = None
    value: Fraction | None = None

    def offer(self, point: Iterable[float | Fraction] | FloatArray) -> bool:
        """Take a point if the nearest point of the typed box is in the domain, meets a case and is better.

        Soundness: membership, the network's outputs and the value are computed in rational arithmetic.
        """
        numbers = [v if isinstance(v, Fraction) else float(v) for v in point]
        if not all(map(math.isfinite, numbers)):
            return False
        exact = self.domain.nearest(numbers)
        return self.domain.contains(exact) and self.take(exact, evaluate_exact(self.network, exact))

    def take(self, exact: Point, outputs: Point) -> bool:
        """Take a point of the domain, with the network's exact outputs there, if it meets a case and is better."""
        values = [v for case in self.cases if (v := case.value(exact, outputs)) is not None]
        if not values or (self.value is not None and min(values) >= self.value):
            return False
        self.point, self.value = exact, min(values)
        return True


@dataclass(frozen=True)
class OpenCase:
    """A case that rounding-safe bounds do not exclude.

    Parameters
    ----------
    case : Case
    bound : float
        Its objective is at least this, safely.
    """

    case: Case
    bound: float


class Floors:
    """Lower bounds of the open cases, kept apart by what stands behind them.

    Parameters
    ----------
    safe : sequence of float
        Rounding-safe bounds of the cases.
    """

    def __init__(self, safe: Sequence[float]) -> None:
        self.tolerance = 0.0
        # A few numbers: lists are quicker than arrays.
        self._values = {basis: [-math.inf] * len(safe) for basis in Basis}
        self._values[Basis.ROUNDING_SAFE] = list(safe)

    def add(self, number: int, bound: float, basis: Basis, tolerance: float = 0.0) -> None:
        """Add a bound of one case; `tolerance` is what it may still be off by."""
        self._values[basis][number] = max(self._values[basis][number], bound)
        self.tolerance = max(self.tolerance, tolerance)

    def withdraw(self, basis: Basis) -> None:
        """Forget every bound of a kind."""
        self._values[basis] = [-math.inf] * len(self._values[basis])
        self.tolerance = 0.0

    @property
    def bound(self) -> float:
        """The least over the cases of the best bound of each; infinite without cases."""
        return self._least(*Basis)

    @property
    def basis(self) -> Basis:
        """The strongest that reaches the bound: rounding-safe alone, with exact arithmetic, or only by a claim."""
        if self._least(Basis.ROUNDING_SAFE) >= self.bound:
            return Basis.ROUNDING_SAFE
        return Basis.EXACT if self._least(Basis.ROUNDING_SAFE, Basis.EXACT) >= self.bound else Basis.SOLVER_CLAIM

    def supposing(self, number: int, bound: float) -> float:
        """Return the bound, were one case's at least this."""
        best = self._best(*Basis)
        best[number] = max(best[number], bound)
        return min(best, default=math.inf)

    def _best(self, *bases: Basis) -> list[float]:
        return [max(bounds) for bounds in zip(*(self._values[basis] for basis in bases), strict=True)]

    def _least(self, *bases: Basis) -> float:
        return min(self._best(*bases), default=math.inf)


@dataclass(frozen=True)
class Report:
    """What an engine says beside the points and bounds that it found.

    Parameters
    ----------
    reason : str
        Why it stopped short; empty if it did not.
    evidence : tuple of str
    """

    reason: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(eq=False)
class Search:
    """One search: the cases, the best point, and when it is good enough.

    Parameters
    ----------
    problem : Problem
    cases : sequence of Case
    options : OptimiseOptions
    cutoff : Fraction or None
        Only points below it are of interest.
    stops_at_cutoff : bool
        Stop at the first point below the cut-off.
    deadline : Deadline
    started : float
        On the clock of `time.monotonic`.
    incumbent : Incumbent
        Of the same cases.
    """

    problem: Problem
    cases: Sequence[Case]
    options: OptimiseOptions
    cutoff: Fraction | None
    stops_at_cutoff: bool
    deadline: Deadline
    started: float
    incumbent: Incumbent

    @cached_property
    def open_cases(self) -> tuple[OpenCase, ...]:
        """The cases that bounds leave open, the most promising first."""
        found: list[OpenCase] = []
        for case in self.cases:
            if self.problem.refuted(case.conjunction):
                continue
            # Cases of one region share their objective; comparing its numbers would take longer than this question.
            known = found and found[-1].case.objective is case.objective
            found.append(OpenCase(case, found[-1].bound if known else self.problem.least(case.objective)))
        return tuple(sorted(found, key=lambda item: item.bound))

    @property
    def beaten(self) -> bool:
        """Whether the best point beats the cut-off and that is enough."""
        value = self.incumbent.value
        return self.stops_at_cutoff and self.cutoff is not None and value is not None and value < self.cutoff

    @property
    def ceiling(self) -> Fraction | None:
        """Only points below this are of interest: the lesser of the cut-off and the best value."""
        known = [v for v in (self.cutoff, self.incumbent.value) if v is not None]
        return min(known) if known else None

    @property
    def wanted_gap(self) -> float:
        """The gap at which the search ends; infinite without a value."""
        value = self.incumbent.value
        if value is None:
            return math.inf
        return max(self.options.absolute_gap, self.options.relative_gap * abs(float(value)))

    @property
    def target(self) -> Fraction | None:
        """Only points below this would change the result: better than the best by nearly the wanted gap."""
        value = self.incumbent.value
        near = None if value is None else value - GAP_SHARE * Fraction(self.wanted_gap)
        known = [v for v in (self.cutoff, near) if v is not None]
        return min(known) if known else None

    @cached_property
    def floors(self) -> Floors:
        """Bounds of the open cases, in their order."""
        return Floors([item.bound for item in self.open_cases])

    @property
    def is_optimal(self) -> bool:
        """Whether the bound is within the wanted gap of the best value, give or take a claim's tolerance."""
        value, bound = self.incumbent.value, self.floors.bound
        if value is None:
            return False
        return bound >= value or gap_of(value, bound) <= self.wanted_gap + self.floors.tolerance

    @property
    def is_hopeless(self) -> bool:
        """Whether no point can beat the cut-off, or none exists."""
        bound = self.floors.bound
        return bound == math.inf or (self.cutoff is not None and bound >= self.cutoff)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to find out."""
        return self.beaten or self.is_hopeless or self.is_optimal

    def report(self, bound: float | None = None) -> None:
        """Tell the caller how far the search is."""
        value, bound = self.incumbent.value, self.floors.bound if bound is None else bound
        reached = bound if value is None else min(bound, float_down(value))
        self.options.on_progress(OptimumProgress(time.monotonic() - self.started, value, reached))

    def try_samples(self) -> None:
        """Offer the best of some sampled points, by their float values."""
        x, y = self.problem.samples
        best = np.full(len(x), np.inf)
        for item in self.open_cases:
            value = _float_value(item.case.objective, x, y)
            for atom in item.case.conjunction:
                value = np.where(_float_rows(atom, x, y) <= 0, value, np.inf)
            best = np.minimum(best, value)
        for k in np.argsort(best, kind="stable")[:OFFERED_SAMPLES]:
            known = self.problem.exact_sample(int(k)) if np.isfinite(best[k]) else None
            # The incumbent's domain has the conditions as they were given: they say the same.
            if known is not None and self.incumbent.take(*known):
                return


def _float_rows(atom: Atom, x: FloatArray, y: FloatArray) -> FloatArray:
    total = np.full(len(x), float(atom.expression.constant))
    for side, points in ((Side.INPUT, x), (Side.OUTPUT, y)):
        chosen = [(symbol.index, float(c)) for symbol, c in atom.expression.terms if symbol.side is side]
        if chosen:
            index, weights = zip(*chosen, strict=True)
            row = np.zeros(points.shape[1])
            row[list(index)] = weights
            total += points @ row
    return total


def _float_value(objective: Objective, x: FloatArray, y: FloatArray) -> FloatArray:
    total = np.zeros(len(x))
    for part in objective.parts:
        total = total + np.max([_float_rows(Atom(e), x, y) for e in part], axis=0)
    for change in objective.changes:
        centre = np.array([float(c) for c in change.centre])
        total = total + float(change.price) * (x[:, list(change.coordinates)] != centre).any(axis=1)
    return total


Engine = Callable[[Search], Report]
"""Improves the incumbent of a search and the floors of its open cases."""
