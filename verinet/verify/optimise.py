"""The optimiser: the least or greatest value of a linear expression over a region, enclosed from both sides.

One notion carries every question: minimise over the cases of a region. Engines stand in a table; whatever they find is
confirmed in rational arithmetic before it leaves this room.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from verinet.errors import InputError
from verinet.model import Atom, Domain, LinearExpression, Network, Query, Region, Side
from verinet.numeric import float_down
from verinet.solve import get
from verinet.verify.objectives import Case, Objective, region_cases, whole
from verinet.verify.optimisers import OPTIMISERS, examine
from verinet.verify.optimum import Basis, OptimiseOptions, Optimum, OptimumStatus, Sense
from verinet.verify.options import Deadline
from verinet.verify.prepared import Problem
from verinet.verify.search import Incumbent, Report, Search

__all__ = ["OPTIMISERS", "Optimiser", "maximise", "minimise"]


Number = float | Fraction
Start = Sequence[Number]


@dataclass(frozen=True, eq=False)
class Optimiser:
    """A network over a region, prepared for many questions: bounds and encodings are made once.

    Parameters
    ----------
    network : Network
    region : Region
        Only points of its domain that meet one of its conjunctions count; the empty conjunction is met everywhere.
    options : OptimiseOptions

    Raises
    ------
    PropertyError
        If the region does not fit the network.
    InputError
        If an engine, a solver or a gap is unknown.
    """

    network: Network
    region: Region
    options: OptimiseOptions = field(default_factory=OptimiseOptions)

    def __post_init__(self) -> None:
        Query(self.network, (self.region,))
        if self.options.engine != "auto" and self.options.engine not in OPTIMISERS:
            raise InputError(f"the engine must be one of auto, {', '.join(OPTIMISERS)}, found {self.options.engine!r}")
        if self.options.solver != "auto":
            get(self.options.solver)
        for name in ("absolute_gap", "relative_gap", "timeout"):
            value = getattr(self.options, name)
            if not value >= 0:
                raise InputError(f"the option {name} needs to be at least 0, found {value}")

    @classmethod
    def prepare(cls, network: Network, region: Region | Domain, options: OptimiseOptions | None = None) -> "Optimiser":
        """Prepare questions about a region, or about a whole domain."""
        region = Region(region, ((),)) if isinstance(region, Domain) else region
        return cls(network, region, options or OptimiseOptions())

    @cached_property
    def problem(self) -> Problem:
        """What all questions share."""
        domain = self.region.domain
        conditions = tuple(whole(atom, domain.integral) for atom in domain.conditions)
        return Problem(self.network, replace(domain, conditions=conditions), self.options.seed)

    def with_options(self, options: OptimiseOptions) -> "Optimiser":
        """Return an optimiser with other options that shares everything prepared."""
        other = replace(self, options=options)
        other.__dict__["problem"] = self.problem
        return other

    def minimise(
        self,
        expression: LinearExpression,
        *,
        cutoff: Number | None = None,
        stops_at_cutoff: bool = True,
        starts: Iterable[Start] = (),
    ) -> Optimum:
        """Find the least value of a linear expression over inputs and outputs.

        Parameters
        ----------
        expression : LinearExpression
        cutoff : float, Fraction or None
            Only smaller values are of interest: stop as soon as the bound shows that there is none (CUT_OFF), and as
            soon as a confirmed point has one (BEATEN).
        stops_at_cutoff : bool
            Whether a point that beats the cut-off is enough; otherwise the search goes on to the least value.
        starts : iterable of sequence of numbers
            Points to begin with; those outside of the region are dropped.

        Returns
        -------
        Optimum

        Raises
        ------
        PropertyError
            If the expression does not fit the network.
        """
        cases = self._cases(expression)
        return self._search(cases, cutoff, stops_at_cutoff, starts, self.options)

    def maximise(
        self,
        expression: LinearExpression,
        *,
        cutoff: Number | None = None,
        stops_at_cutoff: bool = True,
        starts: Iterable[Start] = (),
    ) -> Optimum:
        """Find the greatest value of a linear expression; only values above the cut-off are of interest."""
        opposite = None if cutoff is None else -cutoff
        options = self.options.negated()
        return self._search(self._cases(-expression), opposite, stops_at_cutoff, starts, options).negated()

    def least(
        self,
        cases: Sequence[Case],
        *,
        cutoff: Number | None = None,
        stops_at_cutoff: bool = True,
        starts: Iterable[Start] = (),
    ) -> Optimum:
        """Find the least value over some cases within the region's domain; the region's conjunctions play no part.

        Parameters
        ----------
        cases : sequence of Case
            Each with its own conjunction and objective.
        cutoff, stops_at_cutoff, starts
            See `minimise`.
        """
        return self._search(cases, cutoff, stops_at_cutoff, starts, self.options)

    def _cases(self, expression: LinearExpression) -> tuple[Case, ...]:
        sizes = {Side.INPUT: self.network.size_in, Side.OUTPUT: self.network.size_out}
        if not all(0 <= symbol.index < sizes[symbol.side] for symbol, _ in expression.terms):
            # It raises, for the expression speaks of what the network has not.
            Query(self.network, (Region(self.region.domain, ((Atom(expression),),)),))
        return region_cases(self.region, Objective.linear(expression))

    def _search(
        self,
        cases: Sequence[Case],
        cutoff: Number | None,
        stops_at_cutoff: bool,
        starts: Iterable[Start],
        options: OptimiseOptions,
    ) -> Optimum:
        started = time.monotonic() if options.started is None else options.started
        if not cases or self.region.domain.has_empty_box:
            reason = ("the input domain holds no point",) if cases else ("the region has no case",)
            return Optimum(OptimumStatus.INFEASIBLE, Sense.MINIMISE, None, None, math.inf, Basis.EXACT, evidence=reason)
        if cutoff is not None and not math.isfinite(cutoff):
            raise InputError(f"a cut-off needs to be a finite number, found {cutoff}")
        limit = None if cutoff is None else Fraction(cutoff)
        own = [Case(tuple(whole(a, self.region.domain.integral) for a in c.conjunction), c.objective) for c in cases]
        incumbent = Incumbent(self.network, self.region.domain, cases)
        deadline = Deadline(started + options.timeout)
        search = Search(self.problem, own, options, limit, stops_at_cutoff, deadline, started, incumbent)
        for start in starts:
            _check_start(start, self.network)
            search.incumbent.offer(start)
        return _concluded(search, *examine(search))


def _check_start(start: Start, network: Network) -> None:
    if len(start) != network.size_in:
        raise InputError(f"a starting point needs {network.size_in} numbers, one for each input, found {len(start)}")


def _concluded(search: Search, report: Report, engine: str) -> Optimum:
    """Say how a search ended; the one place that decides what counts as optimal."""
    value, point = search.incumbent.value, search.incumbent.point
    beaten = search.beaten
    if beaten and "floors" not in search.__dict__:
        # A point that was given beats the cut-off: nothing else was looked at.
        bound, basis = -math.inf, Basis.ROUNDING_SAFE
        status = OptimumStatus.BEATEN
    else:
        bound, basis = search.floors.bound, search.floors.basis
        status = _status(search, beaten)
    if value is not None:
        bound = min(bound, float_down(value))
    reason = report.reason or "the gap is smaller than the engine can tell" if status is OptimumStatus.LIMIT else ""
    seconds = time.monotonic() - search.started
    return Optimum(status, Sense.MINIMISE, value, point, bound, basis, reason, engine, report.evidence, seconds)


def _status(search: Search, beaten: bool) -> OptimumStatus:
    if search.is_optimal:
        return OptimumStatus.OPTIMAL
    if beaten:
        return OptimumStatus.BEATEN
    if search.incumbent.value is None and search.floors.bound == math.inf:
        return OptimumStatus.INFEASIBLE
    return OptimumStatus.CUT_OFF if search.is_hopeless else OptimumStatus.LIMIT


def minimise(
    network: Network, region: Region | Domain, expression: LinearExpression, options: OptimiseOptions | None = None
) -> Optimum:
    """Find the least value of a linear expression over inputs and outputs of a network.

    Parameters
    ----------
    network : Network
    region : Region or Domain
        With a region, only points that meet one of its conjunctions count.
    expression : LinearExpression
    options : OptimiseOptions or None

    Returns
    -------
    Optimum
        See `Optimiser.minimise`, which also takes a cut-off and starting points.

    Raises
    ------
    PropertyError
        If region or expression do not fit the network.
    """
    return Optimiser.prepare(network, region, options).minimise(expression)


def maximise(
    network: Network, region: Region | Domain, expression: LinearExpression, options: OptimiseOptions | None = None
) -> Optimum:
    """Find the greatest value of a linear expression over inputs and outputs of a network.

    Parameters
    ----------
    network : Network
    region : Region or Domain
    expression : LinearExpression
    options : OptimiseOptions or None

    Returns
    -------
    Optimum
        See `minimise`.
    """
    return Optimiser.prepare(network, region, options).maximise(expression)
