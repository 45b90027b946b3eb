"""The milp engine of the optimiser: one mixed-integer programme for each open case, cut off at the best point so far.

Points that a solver claims are off by its tolerances, so each is moved to an exact one: as it stands, pushed into the
domain, or as the optimum of its linear piece, in floats with a margin and in rational arithmetic.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.encode import Lowered, fix_pattern, linear_row, lower_programme
from verinet.errors import SolverError
from verinet.numeric import CLAIM_TOLERANCE, FloatArray, IntArray, float_up
from verinet.program import Outcome, Programme, Progress, SolveOptions, Status
from verinet.solve import HighsBackend, Z3Backend, choose
from verinet.verify.objectives import Case
from verinet.verify.optimum import Basis
from verinet.verify.prepared import MARGINS
from verinet.verify.search import OpenCase, Report, Search

__all__ = ["optimise_with_milp"]

LARGEST_POLISHED = 120
"""Variables of domain and network up to which Z3 moves the point to the exact optimum of its piece."""

REPAIR_SECONDS = 2.0
"""How long Z3 may take for one point."""

RESERVED_SHARE = 0.1
"""Part of the time limit that a solver leaves for making its last point exact; at most `REPAIR_SECONDS`."""


OUT_OF_TIME = "the time limit was reached"


@dataclass(frozen=True, eq=False)
class _Encoded:
    """One case as a programme."""

    search: Search
    case: Case

    @cached_property
    def programme(self) -> Programme:
        """The semantic programme with its objective."""
        return self.search.problem.programme(self.case)

    @cached_property
    def lowered(self) -> Lowered:
        """The linear programme with binaries; its constraints are shared by all linear objectives of a problem."""
        expression = self.case.objective.expression
        if expression is None:
            return lower_programme(self.programme)
        shared = self.search.problem.lowered(self.case.conjunction)
        programme = shared.programme
        objective = linear_row(expression, self.search.problem.encoding.places, programme.lower, programme.upper)
        return replace(shared, programme=programme.with_objective(objective))

    @property
    def inputs(self) -> IntArray:
        """The variable of each input."""
        return self.search.problem.encoding.inputs

    @property
    def tolerance(self) -> float:
        """What a solver's bound may be off by."""
        return CLAIM_TOLERANCE * max(1.0, float_up(self.case.objective.steepest))


def optimise_with_milp(search: Search) -> Report:
    """Optimise the open cases one after another, the most promising first.

    Parameters
    ----------
    search : Search
        Its incumbent and its floors improve; what a solver claims counts less its tolerance.

    Returns
    -------
    Report
    """
    solvers: dict[str, None] = {}
    reasons: list[str] = []
    for number, item in enumerate(search.open_cases):
        if search.is_finished or "interrupted" in reasons:
            break
        if search.deadline.passed:
            reasons.append(OUT_OF_TIME)
            break
        ceiling = search.ceiling
        if ceiling is None or item.bound < ceiling:
            reasons += _solve_case(search, number, item, solvers)
            search.report()
    return _report(search, ", ".join(solvers), reasons)


def _report(search: Search, solvers: str, reasons: Sequence[str]) -> Report:
    floors, value = search.floors, search.incumbent.value
    if floors.basis is Basis.SOLVER_CLAIM and value is not None and floors.bound - floors.tolerance > value:
        # An exact point below the claim, by more than its tolerance, refutes the claim.
        reason = f"{solvers} claims that no point is below {floors.bound:.9g}, but one is"
        floors.withdraw(Basis.SOLVER_CLAIM)
        return Report(reason)
    claim = f"{solvers} claims bounds, taken {floors.tolerance:.1g} lower than claimed"
    return Report(reasons[0] if reasons else "", (claim,) if solvers else ())


def _solve_case(search: Search, number: int, item: OpenCase, solvers: dict[str, None]) -> list[str]:
    """Let a solver improve the point and the floor of one case; return why it stopped short, if it did."""
    encoded = _Encoded(search, item.case)
    tolerance = encoded.tolerance
    cancel = threading.Event()
    ceiling = search.ceiling
    cutoff = math.inf if ceiling is None else float_up(ceiling) + tolerance

    def watch(progress: Progress) -> None:
        if progress.values is not None:
            # HiGHS reports no bound worth the name together with a new point.
            _offer(search, progress.values[encoded.inputs])
        else:
            search.report(search.floors.supposing(number, progress.bound - tolerance))
        if search.beaten:
            cancel.set()

    try:
        programme = encoded.lowered.programme
        choice = choose(programme, search.options.solver)
        left = search.deadline.left
        options = SolveOptions(
            time_limit=left - min(REPAIR_SECONDS, RESERVED_SHARE * left) if math.isfinite(left) else left,
            threads=search.options.threads,
            gap_tolerance=search.options.relative_gap,
            seed=search.options.seed,
            start=_start(search, encoded, programme.size),
            cutoff=cutoff,
            on_progress=watch,
            cancel=cancel,
        )
        outcome = choice.backend.solve(programme, options)
    except SolverError as error:
        return [str(error)]
    if outcome.values is not None and not search.beaten:
        _make_exact(encoded, outcome)
    solvers[f"{outcome.solver} ({choice.reason})"] = None
    # A cut-off that nothing beats is itself a claimed bound, and was set one tolerance above what matters.
    search.floors.add(number, outcome.bound - tolerance, Basis.SOLVER_CLAIM, tolerance)
    if outcome.status is not Status.UNKNOWN or cancel.is_set():
        return []
    return [OUT_OF_TIME if search.deadline.passed or "time limit" in outcome.reason else outcome.reason]


def _start(search: Search, encoded: _Encoded, size: int) -> FloatArray | None:
    """Return the best point as a start of which only the inputs are known."""
    if search.incumbent.point is None:
        return None
    start = np.full(size, np.nan)
    start[encoded.inputs] = [float(v) for v in search.incumbent.point]
    return start


def _offer(search: Search, x: Sequence[float] | FloatArray) -> bool:
    """Offer a float point as it stands, and pushed into the domain."""
    if search.incumbent.offer(x):
        return True
    pushed = search.problem.space.project(np.array([x], dtype=np.float64))[0]
    return search.incumbent.offer(pushed)


def _make_exact(encoded: _Encoded, outcome: Outcome) -> None:
    """Turn a solver's best point into an exact one that is about as good."""
    search, values, claimed = encoded.search, outcome.values, outcome.objective
    assert values is not None
    assert claimed is not None

    def good() -> bool:
        value = search.incumbent.value
        return value is not None and float(value) <= claimed + encoded.tolerance

    _offer(search, values[encoded.inputs])
    for margin in MARGINS:
        if good():
            break
        _offer_piece(encoded, values, margin)
    small = search.problem.encoding.programme.size <= LARGEST_POLISHED
    if (search.options.polish and small) or not good():
        _polish(encoded, values)


def _piece(encoded: _Encoded, values: FloatArray, margin: Fraction) -> Programme:
    """Return the linear piece of a point, integers fixed, in which atoms hold by a margin."""
    programme = encoded.search.problem.programme(encoded.case, margin)
    own = values[: programme.size]
    piece = fix_pattern(programme, own)
    integer = np.flatnonzero(programme.integer)
    lower, upper = piece.lower.copy(), piece.upper.copy()
    lower[integer] = upper[integer] = np.clip(np.round(own[integer]), lower[integer], upper[integer])
    return replace(piece, lower=lower, upper=upper)


def _offer_piece(encoded: _Encoded, values: FloatArray, margin: Fraction) -> None:
    """Offer the float optimum of the point's piece, away from the piece's conditions by a margin."""
    if encoded.search.deadline.passed:
        return
    options = SolveOptions(time_limit=encoded.search.deadline.left)
    try:
        outcome = HighsBackend().solve(_piece(encoded, values, margin), options)
    except SolverError:
        return
    if outcome.values is not None:
        _offer(encoded.search, outcome.values[encoded.inputs])


def _polish(encoded: _Encoded, values: FloatArray) -> None:
    """Offer the exact optimum of the point's piece."""
    if not Z3Backend.is_installed():
        return
    options = SolveOptions(time_limit=min(REPAIR_SECONDS, encoded.search.deadline.left))
    outcome = Z3Backend().solve_exact(_piece(encoded, values, Fraction(0)), options)
    if outcome.values is not None:
        encoded.search.incumbent.offer([outcome.values[i] for i in encoded.inputs])
