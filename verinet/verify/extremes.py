"""What auditors ask after yes or no: the range of an output, the worst violation, the nearest counterexample."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from verinet.errors import InputError
from verinet.model import Domain, LinearExpression, Network, Query, Region
from verinet.verify.objectives import Distance, Metric, region_cases, violation_cases
from verinet.verify.optimise import Optimiser
from verinet.verify.optimum import Basis, OptimiseOptions, Optimum, OptimumStatus, Sense
from verinet.verify.options import Deadline

RegionSearch = Callable[[Region, Fraction | None, OptimiseOptions], Optimum]
"""Minimises over one region, given the best value so far and the options with the time that is left."""

__all__ = [
    "OutputRange",
    "extreme_value",
    "largest_violation",
    "nearest_counterexample",
    "output_range",
    "robust_radius",
]


@dataclass(frozen=True)
class OutputRange:
    """Both ends of an expression's values.

    Parameters
    ----------
    minimum, maximum : Optimum
    """

    minimum: Optimum
    maximum: Optimum


def extreme_value(
    query: Query, expression: LinearExpression, sense: Sense, options: OptimiseOptions | None = None
) -> Optimum:
    """Find the least or greatest value of a linear expression over all points that a query's regions describe.

    Parameters
    ----------
    query : Query
        A region with the empty conjunction describes its whole domain.
    expression : LinearExpression
    sense : Sense
    options : OptimiseOptions or None

    Returns
    -------
    Optimum

    Raises
    ------
    PropertyError
        If the expression does not fit the network.
    """
    minimised = expression if sense is Sense.MINIMISE else -expression

    def search(region: Region, best: Fraction | None, left: OptimiseOptions) -> Optimum:
        optimiser = Optimiser(query.network, region, left)
        return optimiser.minimise(minimised, cutoff=best, stops_at_cutoff=False)

    options = options or OptimiseOptions()
    if sense is Sense.MINIMISE:
        return _over_regions(query.regions, search, options)
    return _over_regions(query.regions, search, options.negated()).negated()


def output_range(
    network: Network, region: Region | Domain, expression: LinearExpression, options: OptimiseOptions | None = None
) -> OutputRange:
    """Enclose all values of a linear expression over inputs and outputs.

    Parameters
    ----------
    network : Network
    region : Region or Domain
    expression : LinearExpression
    options : OptimiseOptions or None
        The time limit holds for each end.

    Returns
    -------
    OutputRange
    """
    optimiser = Optimiser.prepare(network, region, options)
    return OutputRange(optimiser.minimise(expression), optimiser.maximise(expression))


def largest_violation(query: Query, options: OptimiseOptions | None = None) -> Optimum:
    """Find where a query is violated most.

    The violation at a point is the least slack ``-expression`` of a conjunction's atoms, the largest over all
    conjunctions; above zero the point is a counterexample, below it none, by that margin.

    Parameters
    ----------
    query : Query
    options : OptimiseOptions or None

    Returns
    -------
    Optimum
        A maximum. Its bound below zero refutes the query, at the strength of its basis.

    Raises
    ------
    InputError
        If a conjunction has no atoms.
    """

    def search(region: Region, best: Fraction | None, left: OptimiseOptions) -> Optimum:
        return Optimiser(query.network, region, left).least(violation_cases(region), cutoff=best, stops_at_cutoff=False)

    return _over_regions(query.regions, search, (options or OptimiseOptions()).negated()).negated()


def nearest_counterexample(
    query: Query,
    distance: Distance,
    options: OptimiseOptions | None = None,
    starts: Iterable[Sequence[float | Fraction]] = (),
) -> Optimum:
    """Find the counterexample of a query that is nearest to a point.

    Parameters
    ----------
    query : Query
    distance : Distance
        Its centre need not lie in the domain.
    options : OptimiseOptions or None
    starts : iterable of sequence of numbers
        Counterexamples to begin with; what is none is dropped.

    Returns
    -------
    Optimum
        A minimum, INFEASIBLE if there is no counterexample that the prices allow.

    Raises
    ------
    InputError
        If the distance does not fit the query's inputs.
    """
    known = (distance.centre, *starts)

    def search(region: Region, best: Fraction | None, left: OptimiseOptions) -> Optimum:
        allowed = distance.restrict(region.domain)
        if allowed is None:
            sentence = "an input that must not change is out of its range at the point"
            nothing = OptimumStatus.INFEASIBLE, Sense.MINIMISE, None, None, math.inf, Basis.EXACT
            return Optimum(*nothing, evidence=(sentence,))
        part = replace(region, domain=allowed)
        cases = region_cases(part, distance.objective)
        return Optimiser(query.network, part, left).least(cases, cutoff=best, stops_at_cutoff=False, starts=known)

    return _over_regions(query.regions, search, options or OptimiseOptions())


def robust_radius(query: Query, distance: Distance, options: OptimiseOptions | None = None) -> Optimum:
    """Find the largest radius around a point within which a query has no counterexample.

    Parameters
    ----------
    query : Query
    distance : Distance
        LINF or L1. Prices scale the radius: with a price p an input may move by r / p within radius r.
    options : OptimiseOptions or None

    Returns
    -------
    Optimum
        No counterexample lies nearer than `bound`, at the strength of its basis, and one lies at `value`. An infinite
        bound means that the domain holds none. Where the unsafe set is open, the radius itself may be free of
        counterexamples while every larger one is not.

    Raises
    ------
    InputError
        If the distance is a count, which has no radius.
    """
    if distance.metric is Metric.COUNT:
        raise InputError("a radius needs the norm linf or l1, found count; ask for the nearest counterexample instead")
    return nearest_counterexample(query, distance, options)


def _over_regions(regions: Sequence[Region], search: RegionSearch, options: OptimiseOptions) -> Optimum:
    """Search region by region, each only for what is better than before, and put the results together."""
    started = time.monotonic() if options.started is None else options.started
    deadline = Deadline(started + options.timeout)
    found: list[Optimum] = []
    best: Fraction | None = None
    for region in regions:
        result = search(region, best, replace(options, timeout=deadline.left, started=None))
        found.append(result)
        if result.value is not None and (best is None or result.value < best):
            best = result.value
    return replace(_together(found), seconds=time.monotonic() - started)


def _together(found: Sequence[Optimum]) -> Optimum:
    """Return the least of several minima: its bound is the least of theirs."""
    if len(found) == 1:
        return found[0]
    bound = min((f.bound for f in found), default=math.inf)
    with_value = [f for f in found if f.value is not None]
    best = min(with_value, key=lambda f: f.value, default=None)  # type: ignore[arg-type,return-value]
    stopped = [f for f in found if f.status is OptimumStatus.LIMIT]
    complete = OptimumStatus.INFEASIBLE if best is None else OptimumStatus.OPTIMAL
    status = OptimumStatus.LIMIT if stopped else complete
    weakest = max((f.basis for f in found), key=list(Basis).index, default=Basis.EXACT)
    return Optimum(
        status,
        Sense.MINIMISE,
        None if best is None else best.value,
        None if best is None else best.point,
        bound,
        weakest,
        stopped[0].reason if stopped else "",
        ", ".join(dict.fromkeys(f.engine for f in found if f.engine)),
        tuple(dict.fromkeys(sentence for f in found for sentence in f.evidence)),
    )
