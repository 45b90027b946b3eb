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
        if not self.domain.contains(exact):
            return False
        outputs = evaluate_exact(self.network, exact)
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
        self._values = {basis: np.full(len(safe), -np.inf) for basis in Basis}
        self._values[Basis.ROUNDING_SAFE][:] = safe

    def add(self, number: int, bound: float, basis: Basis, tolerance: float = 0.0) -> None:
        """Add a bound of one case; `tolerance` is what it may still be off by."""
        self._values[basis][number] = max(self._values[basis][number], bound)
        self.tolerance = max(self.tolerance, tolerance)

    def withdraw(self, basis: Basis) -> None:
        """Forget every bound of a kind."""
        self._values[basis][:] = -np.inf
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
        return float(best.min(initial=math.inf))

    def _best(self, *bases: Basis) -> FloatArray:
        return np.asarray(np.max([self._values[basis] for basis in bases], axis=0))

    def _least(self, *bases: Basis) -> float:
        return float(self._best(*bases).min(initial=math.inf))


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
        least: dict[Objective, float] = {}
        found = []
        for case in self.cases:
            if not self.problem.refuted(case.conjunction):
                if case.objective not in least:
                    least[case.objective] = self.problem.least(case.objective)
                found.append(OpenCase(case, least[case.objective]))
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
        wanted = max(self.options.absolute_gap, self.options.relative_gap * abs(float(value)))
        return bound >= value or gap_of(value, bound) <= wanted + self.floors.tolerance

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
            if np.isfinite(best[k]) and self.incumbent.offer(x[k]):
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
