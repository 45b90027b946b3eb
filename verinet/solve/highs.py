"""HiGHS: the embedded default, for linear programmes of any size and without a licence."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from verinet.errors import RejectedRowError, SolverError
from verinet.numeric import FloatArray
from verinet.program import Programme, SolveOptions, Status
from verinet.solve.backend import ABSOLUTE_GAP, Backend, Capability, Claim, resolve_unbounded
from verinet.solve.linear_form import LinearForm, linear_form
from verinet.solve.quiet import new_highs
from verinet.solve.screening import check_kept, check_numerics
from verinet.solve.supervision import Control

__all__ = ["HighsBackend"]

DROPPED_UP_TO = 1e-12
"""The least value of HiGHS's option small_matrix_value: it drops coefficients up to that, with a warning."""

REFUSED_FROM = 1e15
"""HiGHS's option large_matrix_value: it refuses the model, and solving goes on without."""

TIGHTEST_TOLERANCE = 1e-10
"""The least feasibility tolerance that HiGHS accepts."""

LARGEST_SEED = 2**31 - 1

_REASONS = {
    "kObjectiveBound": "an objective bound was reached",
    "kObjectiveTarget": "stop_at was reached",
    "kTimeLimit": "the time limit was reached",
    "kIterationLimit": "the iteration limit was reached",
    "kSolutionLimit": "the solution limit was reached",
    "kMemoryLimit": "the memory limit was reached",
    "kInterrupt": "interrupted",
    "kHighsInterrupt": "interrupted",
    "kUnknown": "numerical difficulties",
}
"""By HiGHS's model statuses: every status that is no claim."""


OBJECTIVE_DIFFERENCE = 1e-6
"""Relative to the terms' sizes: an objective that is farther off than by tolerances is not that of its point."""


class HighsBackend(Backend):
    """The LP and MILP solver HiGHS.

    Each solve runs in a new thread, and HiGHS keeps its pool of workers by thread, so every solve has the number of
    threads it asks for.
    """

    name: ClassVar[str] = "highs"
    module: ClassVar[str] = "highspy"
    distribution: ClassVar[str] = "highspy"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.LINEAR, Capability.INTEGER, Capability.CONTINUOUS, Capability.START, Capability.CALLBACK}
    )

    def check(self, programme: Programme) -> None:
        super().check(programme)
        check_kept(programme, self.name, DROPPED_UP_TO, REFUSED_FROM)
        check_numerics(programme)

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        form = linear_form(programme)
        claim = _solve(programme, _with_cutoff(form, options.cutoff), options, control)
        if options.start is not None and _contradicts_itself(claim, form):
            # Seen of HiGHS 1.16 with a start that is optimal already; without the start it finds the same point.
            claim = _solve(programme, _with_cutoff(form, options.cutoff), replace(options, start=None), control)
        if _contradicts_itself(claim, form):
            return Claim(Status.UNKNOWN, reason=f"HiGHS reports the objective {claim.objective} for a point of another")
        if claim.status is not Status.UNBOUNDED:
            return claim
        feasibility = replace(form, cost=np.zeros_like(form.cost), offset=0.0)
        plain = replace(options, stop_at=-np.inf, on_progress=None)
        return resolve_unbounded(_solve(programme, feasibility, plain, control))


def _contradicts_itself(claim: Claim, form: LinearForm) -> bool:
    """Return whether the objective of a claim is not that of its point."""
    if claim.values is None or claim.objective is None:
        return False
    value = float(form.cost @ claim.values + form.offset)
    return abs(value - claim.objective) > OBJECTIVE_DIFFERENCE * max(
        1.0, float(np.abs(form.cost) @ np.abs(claim.values))
    )


def _with_cutoff(form: LinearForm, cutoff: float) -> LinearForm:
    """Add the cutoff as a row: HiGHS has no cutoff for integer programmes."""
    if np.isinf(cutoff) or not form.cost.any():
        return form
    return replace(
        form,
        matrix=sp.vstack([form.matrix, sp.csr_array(form.cost[np.newaxis])], format="csr"),
        lower=np.append(form.lower, -np.inf),
        upper=np.append(form.upper, np.nextafter(cutoff - form.offset, np.inf)),
    )


def _solve(programme: Programme, form: LinearForm, options: SolveOptions, control: Control) -> Claim:
    """Build a model, run it and clear it."""
    import highspy

    solver = new_highs()
    try:
        _set_options(solver, programme, options, control)
        _pass_model(solver, programme, form)
        if programme.binaries and options.start is not None:
            _set_start(solver, programme, options.start)
        _watch(solver, options, control)
        with control.interruptible(lambda: None):
            status = solver.run()
        if status == highspy.HighsStatus.kError:
            return Claim(Status.UNKNOWN, reason=f"highs failed with model status {solver.getModelStatus().name}")
        if solver.getNumRow() != len(form.lower):
            raise RejectedRowError(f"HiGHS solved {solver.getNumRow()} of {len(form.lower)} rows; report this model")
        return _read(solver, programme)
    finally:
        solver.setCallback(None, None)
        solver.clear()


def _set_options(solver: Any, programme: Programme, options: SolveOptions, control: Control) -> None:
    import highspy

    tolerance = max(options.feasibility_tolerance, TIGHTEST_TOLERANCE)
    values: dict[str, bool | int | float | str] = {
        "output_flag": False,
        "log_to_console": False,
        "small_matrix_value": DROPPED_UP_TO,
        "primal_feasibility_tolerance": tolerance,
        "dual_feasibility_tolerance": tolerance,
        "mip_feasibility_tolerance": tolerance,
        "mip_rel_gap": float(options.gap_tolerance),
        "mip_abs_gap": ABSOLUTE_GAP,
        "time_limit": control.remaining,
        "threads": int(options.threads),
        "parallel": "off" if options.threads == 1 else "choose",
        "random_seed": int(options.seed) % LARGEST_SEED,
    }
    if programme.binaries:
        values["objective_target"] = float(options.stop_at)
    for name, value in values.items():
        if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS needs a valid value for its option {name}, found {value!r}")


def _pass_model(solver: Any, programme: Programme, form: LinearForm) -> None:
    """Hand the model over and make sure that HiGHS holds all of it.

    Raises
    ------
    RejectedRowError
        If HiGHS refuses the model, warns about it, or holds fewer rows or coefficients than it was given.
    """
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = programme.size, len(form.lower)
    model.col_cost_, model.offset_ = form.cost, form.offset
    model.col_lower_, model.col_upper_ = programme.lower, programme.upper
    model.row_lower_, model.row_upper_ = form.lower, form.upper
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = programme.size, len(form.lower)
    matrix.start_, matrix.index_, matrix.value_ = form.matrix.indptr, form.matrix.indices, form.matrix.data
    if programme.binaries:
        types = highspy.HighsVarType
        model.integrality_ = [types.kInteger if integer else types.kContinuous for integer in programme.integer]
    status = solver.passModel(model)
    # Crossed sides are no defect: they say that the model is infeasible, and HiGHS warns about them.
    crossed = bool((form.lower > form.upper).any())
    accepted = status == highspy.HighsStatus.kOk or (status == highspy.HighsStatus.kWarning and crossed)
    held = (solver.getNumCol(), solver.getNumRow(), solver.getNumNz())
    given = (programme.size, len(form.lower), form.matrix.nnz)
    if not accepted or held != given:
        raise RejectedRowError(
            f"HiGHS was given {given[0]} variables, {given[1]} rows and {given[2]} coefficients and answered "
            f"{status.name}, holding {held[0]}, {held[1]} and {held[2]}; rescale the model or use the solver z3"
        )


def _set_start(solver: Any, programme: Programme, start: FloatArray) -> None:
    """Offer the known entries; HiGHS completes them, or drops them if it refuses."""
    known = np.flatnonzero(np.isfinite(start)).astype(np.int32)
    values = np.where(programme.integer, np.round(start), start)[known]
    if len(known):
        solver.setSolution(len(known), known, values)


def _watch(solver: Any, options: SolveOptions, control: Control) -> None:
    """Let HiGHS ask whether to stop, and tell how far it is."""
    import highspy

    kinds = highspy.cb.HighsCallbackType
    solver.setCallback(_callback(options, control), None)
    chosen = [kinds.kCallbackSimplexInterrupt, kinds.kCallbackIpmInterrupt, kinds.kCallbackMipInterrupt]
    if options.on_progress is not None:
        chosen.append(kinds.kCallbackMipImprovingSolution)
    for kind in chosen:
        if solver.startCallback(kind) != highspy.HighsStatus.kOk:
            raise SolverError(
                f"HiGHS {solver.version()} does not offer the callback {kind.name}; install another version"
            )


def _callback(options: SolveOptions, control: Control) -> Callable[[int, str, Any, Any, Any], None]:
    """Return the function that HiGHS calls while it runs; it must not raise."""
    import highspy

    kinds = highspy.cb.HighsCallbackType
    improving, searching = int(kinds.kCallbackMipImprovingSolution), int(kinds.kCallbackMipInterrupt)

    def callback(event: int, message: str, given: Any, answer: Any, data: Any) -> None:
        del message, data
        if int(event) == improving:
            control.report(given.objective_function_value, given.mip_dual_bound, np.array(given.mip_solution))
            return
        if int(event) == searching and options.on_progress is not None:
            incumbent = given.mip_primal_bound
            control.report(incumbent if np.isfinite(incumbent) else None, given.mip_dual_bound)
        answer.user_interrupt = control.requested

    return callback


def _read(solver: Any, programme: Programme) -> Claim:
    """Turn HiGHS's status into a claim: the one place that decides what a status means."""
    import highspy

    status, codes = solver.getModelStatus(), highspy.HighsModelStatus
    if status == codes.kInfeasible:
        return Claim(Status.INFEASIBLE)
    if status in (codes.kUnbounded, codes.kUnboundedOrInfeasible):
        return Claim(Status.UNBOUNDED)
    info = solver.getInfo()
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(solver.getSolution().col_value) if feasible else None
    objective = float(info.objective_function_value) if feasible else None
    bound = float(info.mip_dual_bound) if programme.binaries else -np.inf
    if status == codes.kOptimal and objective is not None:
        return Claim(Status.OPTIMAL, values, objective, bound if programme.binaries else objective)
    reason = _REASONS.get(status.name, f"model status {status.name}")
    if status == codes.kOptimal:
        reason = "HiGHS calls a point optimal that violates its own tolerances"
    return Claim(Status.UNKNOWN, values, objective, bound, reason)
