"""The milp engine: rounding-safe bounds, then a mixed-integer programme for what they leave open."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.encode import QueryProgramme, encode_query, lower_programme
from verinet.errors import SolverError
from verinet.model import Conjunction, Network, Region
from verinet.numeric import CLAIM_TOLERANCE, FloatArray, IntArray
from verinet.program import Outcome, Progress, SolveOptions, Status
from verinet.solve import choose
from verinet.verify.atoms import atom_bounds, refuted_by
from verinet.verify.finding import Finding, Outlook
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.smt import counterexample_on_piece
from verinet.verify.witness import confirm

__all__ = ["close_with_milp", "search_with_milp"]

Intervals = Mapping[str, tuple[FloatArray, FloatArray]]
"""Lower and upper ends of each node's values."""


@dataclass(frozen=True, eq=False)
class _Search:
    """One region under search; bounds and programme are made when first needed and shared by all conjunctions."""

    network: Network
    region: Region
    options: VerifyOptions
    deadline: Deadline
    intervals: Intervals | None = None
    """Known bounds of the whole region; None means that they are still to be computed."""
    phases: Mapping[str, IntArray] | None = None
    """The part that is asked about, as sides of zero."""

    @cached_property
    def bounds(self) -> NetworkBounds:
        return bound_network(self.network, InputSet.of(self.region.domain))

    @cached_property
    def query(self) -> QueryProgramme:
        known = self.intervals
        if known is None:
            known = {name: (v.lower, v.upper) for name, v in self.bounds.intervals.items()}
        return encode_query(self.network, self.region.domain, known, self.phases)

    def finding(self, outlook: Outlook, **details: object) -> Finding:
        unstable = None if self.phases is not None else self.bounds.unstable
        return replace(Finding(outlook, unstable=unstable), **details)  # type: ignore[arg-type]


def search_with_milp(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    """Decide a region, one conjunction after another.

    Parameters
    ----------
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        REFUTED means that each conjunction is excluded by rounding-safe bounds, or that the solver claims its
        smallest violation to exceed `CLAIM_TOLERANCE`. FOUND is confirmed exactly.
    """
    search = _Search(network, region, options, deadline)
    by_bounds, by_solver = 0, 0
    solvers: dict[str, None] = {}
    for number, conjunction in enumerate(region.unsafe, start=1):
        if deadline.passed:
            return search.finding(Outlook.OPEN, reason="the time limit was reached", timed_out=True)
        lower = atom_bounds(search.bounds, conjunction) if conjunction else np.zeros(0)
        if refuted_by(conjunction, lower):
            by_bounds += 1
            continue
        options.on_progress(
            f"case {number} of {len(region.unsafe)}: {search.bounds.unstable} unstable neurons, solving the MILP"
        )
        found, solver = _solve_case(search, conjunction, float(lower.max(initial=-np.inf)))
        if found.outlook is not Outlook.REFUTED:
            return found
        by_solver += 1
        solvers[solver] = None
    evidence = []
    if by_bounds:
        evidence.append(f"rounding-safe bounds refuted {by_bounds} case(s)")
    if by_solver:
        evidence.append(f"{', '.join(solvers)} claims that no violation exists in {by_solver} case(s)")
    return search.finding(Outlook.REFUTED, evidence=tuple(evidence))


def close_with_milp(
    network: Network,
    region: Region,
    conjunction: Conjunction,
    intervals: Intervals,
    phases: Mapping[str, IntArray],
    options: VerifyOptions,
    deadline: Deadline,
) -> Finding:
    """Decide one conjunction on a part of a region: where some pre-activations are on a given side of zero.

    Parameters
    ----------
    network : Network
    region : Region
    conjunction : Conjunction
    intervals : Mapping
        Of every node, over the whole region.
    phases : Mapping
        See `encode_network`; these ReLUs need no binary.
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        As of `search_with_milp`, for that part alone; FOUND is confirmed in the whole region.
    """
    return _solve_case(_Search(network, region, options, deadline, intervals, phases), conjunction, -np.inf)[0]


def _solve_case(search: _Search, conjunction: Conjunction, known: float) -> tuple[Finding, str]:
    """Minimise the violation of one conjunction; also return the solver's name and why it was chosen."""
    programme = search.query.violation(conjunction)
    lowered = lower_programme(programme)
    tolerance = CLAIM_TOLERANCE * search.query.steepness(conjunction)
    confirmed: list[tuple[Fraction, ...]] = []
    cancel = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.values is not None and progress.objective is not None and progress.objective <= tolerance:
            point = confirm(search.network, search.region, progress.values[search.query.inputs])
            if point is not None:
                confirmed.append(point)
                cancel.set()

    try:
        choice = choose(lowered.programme, search.options.solver)
        outcome = choice.backend.solve(
            lowered.programme,
            SolveOptions(
                time_limit=search.deadline.left,
                threads=search.options.threads,
                seed=search.options.seed,
                cutoff=tolerance,
                on_progress=watch,
                cancel=cancel,
            ),
        )
    except SolverError as error:
        return search.finding(Outlook.OPEN, reason=str(error), bound=known), ""
    if not confirmed and outcome.values is not None:
        point = _confirm_values(search, conjunction, outcome.values)
        confirmed += [] if point is None else [point]
    if confirmed:
        return search.finding(Outlook.FOUND, point=confirmed[0], evidence=(f"{outcome.solver} found it",)), ""
    return _judge(search, outcome, tolerance, known), f"{outcome.solver} ({choice.reason})"


def _confirm_values(search: _Search, conjunction: Conjunction, values: FloatArray) -> tuple[Fraction, ...] | None:
    point = confirm(search.network, search.region, values[search.query.inputs])
    if point is not None:
        return point
    within = search.deadline.within(search.options.cross_check_seconds)
    own = values[: search.query.programme.size]
    return counterexample_on_piece(search.network, search.region, search.query, conjunction, own, within)


def _judge(search: _Search, outcome: Outcome, tolerance: float, known: float) -> Finding:
    """Say what a solver's outcome means for the case. Only INFEASIBLE below the cut-off, or a bound above, refutes."""
    refuted = outcome.status is Status.INFEASIBLE or (outcome.status is Status.OPTIMAL and outcome.bound > tolerance)
    if refuted:
        return search.finding(Outlook.REFUTED)
    bound = max(known, outcome.bound)
    if outcome.status is Status.OPTIMAL:
        reason = (
            f"the smallest violation is within {tolerance:.1g} of the threshold, nearer than {outcome.solver} can tell"
        )
        return search.finding(Outlook.OPEN, reason=reason, bound=bound)
    timed_out = search.deadline.passed or "time limit" in outcome.reason
    reason = (
        "the time limit was reached" if timed_out else f"{outcome.solver}: {outcome.reason or outcome.status.value}"
    )
    return search.finding(Outlook.OPEN, reason=reason, timed_out=timed_out, bound=bound)
