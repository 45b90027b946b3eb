"""The smt engine of the optimiser: Z3 on the semantic form of each open case, in exact rational arithmetic."""

import math
from fractions import Fraction

from verinet.errors import SolverUnavailableError
from verinet.numeric import float_down
from verinet.program import SolveOptions, Status
from verinet.solve import ExactOutcome, Z3Backend
from verinet.verify.objectives import Case
from verinet.verify.optimum import Basis
from verinet.verify.search import Report, Search

__all__ = ["optimise_with_smt"]


def optimise_with_smt(search: Search) -> Report:
    """Optimise the open cases one after another.

    Parameters
    ----------
    search : Search
        Its incumbent and its floors improve. An infimum that is not attained, over an open set, is left
        to the other engines' tolerance.

    Returns
    -------
    Report

    Raises
    ------
    SolverUnavailableError
        If Z3 is not installed.
    """
    if not Z3Backend.is_installed():
        raise SolverUnavailableError("the smt engine needs Z3: install z3-solver, or choose --engine milp")
    reasons: list[str] = []
    decided = 0
    for number, item in enumerate(search.open_cases):
        if search.is_finished or search.deadline.passed:
            break
        outcome = _solve(search, item.case, None)
        if outcome.status is Status.UNKNOWN:
            # An open set has no nearest point, but some that are near enough.
            _solve(search, item.case, Fraction(0))
            reasons.append(outcome.reason)
            continue
        decided += 1
        bound = math.inf if outcome.objective is None else float_down(outcome.objective)
        search.floors.add(number, bound, Basis.EXACT)
        search.report()
    if search.deadline.passed:
        reasons.insert(0, "the time limit was reached")
    evidence = (f"Z3 decided {decided} case(s) in rational arithmetic",) if decided else ()
    return Report(reasons[0] if reasons else "", evidence)


def _solve(search: Search, case: Case, margin: Fraction | None) -> ExactOutcome:
    """Minimise one case and offer its point; no cut-off, so that a case without a better point gets its bound too."""
    options = SolveOptions(time_limit=search.deadline.left, seed=search.options.seed)
    outcome = Z3Backend().solve_exact(search.problem.programme(case, margin), options)
    if outcome.values is not None:
        search.incumbent.offer([outcome.values[i] for i in search.problem.encoding.inputs])
    return outcome
