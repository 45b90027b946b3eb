"""The smt engine: Z3 on the semantic form of a query, in exact rational arithmetic."""

from collections.abc import Mapping
from fractions import Fraction

from verinet.encode import QueryProgramme, encode_domain, encode_query, fix_pattern
from verinet.errors import SolverUnavailableError
from verinet.model import Conjunction, Domain, Network, Region
from verinet.numeric import FloatArray
from verinet.program import Programme, ProgrammeBuilder, SolveOptions, Status
from verinet.solve import Z3Backend
from verinet.verify.finding import Finding, Outlook
from verinet.verify.options import Deadline
from verinet.verify.witness import confirm

__all__ = ["counterexample_on_piece", "is_occupied", "search_with_smt"]

Intervals = Mapping[str, tuple[FloatArray, FloatArray]]


def _z3() -> Z3Backend:
    if not Z3Backend().is_installed():
        raise SolverUnavailableError("the smt engine needs Z3: install z3-solver, or choose --engine milp")
    return Z3Backend()


def search_with_smt(
    network: Network, region: Region, deadline: Deadline, intervals: Intervals | None = None
) -> Finding:
    """Decide a region exactly, one conjunction after another.

    Parameters
    ----------
    network : Network
    region : Region
    deadline : Deadline
    intervals : Mapping or None
        Bounds to trust for stable neurons; None lets the programme's own interval enclosure decide.

    Returns
    -------
    Finding
        REFUTED means that Z3 found every conjunction unsatisfiable over a domain that contains the exact one.
    """
    query = encode_query(network, region.domain, intervals)
    for conjunction in region.unsafe:
        found = _decide(network, region, query, query.satisfaction(conjunction), deadline)
        if found.outlook is not Outlook.REFUTED:
            return found
    return Finding(Outlook.REFUTED, evidence=(f"Z3 refuted {len(region.unsafe)} case(s) in rational arithmetic",))


def _decide(
    network: Network, region: Region, query: QueryProgramme, programme: Programme, deadline: Deadline
) -> Finding:
    outcome = _z3().solve_exact(programme, SolveOptions(time_limit=deadline.left))
    if outcome.status is Status.INFEASIBLE:
        return Finding(Outlook.REFUTED)
    if outcome.values is None:
        reason = f"Z3 did not decide: {outcome.reason}"
        return Finding(Outlook.OPEN, reason=reason, timed_out=deadline.passed)
    point = confirm(network, region, [outcome.values[i] for i in query.inputs])
    if point is not None:
        return Finding(Outlook.FOUND, point, ("Z3 found the counterexample",))
    return Finding(
        Outlook.OPEN,
        reason="Z3's solution violates the property only up to the rounding of the property's decimals",
    )


def counterexample_on_piece(
    network: Network,
    region: Region,
    query: QueryProgramme,
    conjunction: Conjunction,
    values: FloatArray,
    deadline: Deadline,
) -> tuple[Fraction, ...] | None:
    """Look for an exact counterexample on the linear piece that a solver's point lies in.

    A solver's point may miss the violation, or the domain, by its tolerances; on the point's activation pattern the
    question is linear, and rational arithmetic settles it.

    Parameters
    ----------
    network : Network
    region : Region
    query : QueryProgramme
        Of the region, with the variables that `values` belong to.
    conjunction : Conjunction
    values : ndarray
        A claimed point of the query's programme.
    deadline : Deadline

    Returns
    -------
    tuple of Fraction or None
        Confirmed by exact evaluation; None says nothing about other pieces.
    """
    if not Z3Backend().is_installed():
        return None
    piece = fix_pattern(query.satisfaction(conjunction), values)
    outcome = _z3().solve_exact(piece, SolveOptions(time_limit=deadline.left))
    if outcome.values is None:
        return None
    return confirm(network, region, [outcome.values[i] for i in query.inputs])


def is_occupied(domain: Domain, deadline: Deadline) -> bool | None:
    """Return whether a domain holds a point; None if Z3 does not say.

    Soundness: True rests on a point that lies exactly in the domain; False on a superset without points, in rational
    arithmetic.
    """
    if not Z3Backend.is_installed():
        return None
    builder = ProgrammeBuilder()
    index = encode_domain(builder, domain).expressions.matrix.indices
    outcome = _z3().solve_exact(builder.build(), SolveOptions(time_limit=deadline.left))
    if outcome.status is Status.INFEASIBLE:
        return False
    if outcome.values is not None and domain.contains([outcome.values[i] for i in index]):
        return True
    return None
