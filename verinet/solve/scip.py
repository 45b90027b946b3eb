"""SCIP: mixed-integer programmes of any size without a licence, and products of continuous variables.

Products are searched by spatial branch and bound, which needs finite bounds of the factors to come to an end. The
package from pip has one thread and no exact mode.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from verinet.numeric import FloatArray
from verinet.program import Indicator, Programme, SolveOptions, Status
from verinet.solve.backend import ABSOLUTE_GAP, Backend, Capability, Claim, resolve_unbounded
from verinet.solve.factoring import Factored, factored
from verinet.solve.linear_form import LinearForm, canonical, integer_bounds, linear_form
from verinet.solve.screening import check_kept, check_numerics
from verinet.solve.supervision import Control

__all__ = ["ScipBackend"]

DROPPED_UP_TO = 1e-9
"""SCIP's numerics/epsilon: it reads smaller coefficients as zero."""

REFUSED_FROM = 1e15
"""SCIP's numerics/hugeval: larger values are handled apart, and 1e20 is infinite."""

INFINITE = 1e20
"""What SCIP reports where it has no incumbent or no bound, and the most that its time limit takes."""

TOLERANCE_RANGE = (1e-9, 1e-3)
"""What SCIP's feasibility tolerances are given: not less than its epsilon, not more than it accepts."""

LEAST_DUAL_TOLERANCE = 1e-7
"""SCIP's default. Where it tightens the tolerance a thousandfold, its linear solver complains about less on stderr."""

WALL_CLOCK = 2
"""SCIP's timing/clocktype."""

LARGEST_SEED = 2**31 - 1

_REASONS = {
    "timelimit": "the time limit was reached",
    "memlimit": "the memory limit was reached",
    "nodelimit": "the node limit was reached",
    "totalnodelimit": "the node limit was reached",
    "stallnodelimit": "the node limit was reached",
    "restartlimit": "the restart limit was reached",
    "sollimit": "the solution limit was reached",
    "bestsollimit": "the solution limit was reached",
    "primallimit": "stop_at was reached",
    "duallimit": "a bound limit was reached",
    "userinterrupt": "interrupted",
    "terminate": "interrupted",
    "unknown": "numerical difficulties",
}
"""By SCIP's statuses: every status that is no claim."""


class ScipBackend(Backend):
    """The MILP and nonlinear solver SCIP."""

    name: ClassVar[str] = "scip"
    module: ClassVar[str] = "pyscipopt"
    distribution: ClassVar[str] = "pyscipopt"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.LINEAR,
            Capability.INTEGER,
            Capability.CONTINUOUS,
            Capability.INDICATOR,
            Capability.BILINEAR,
            Capability.START,
            Capability.CALLBACK,
        }
    )

    def check(self, programme: Programme) -> None:
        super().check(programme)
        check_kept(programme, self.name, DROPPED_UP_TO, REFUSED_FROM)
        check_numerics(programme)

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        model = factored(programme)
        form = linear_form(model.programme)
        claim = _solve(model, form, options, control)
        if claim.status is not Status.UNBOUNDED:
            return claim
        feasibility = replace(form, cost=np.zeros_like(form.cost), offset=0.0)
        plain = replace(options, cutoff=np.inf, stop_at=-np.inf, on_progress=None)
        return resolve_unbounded(_solve(model, feasibility, plain, control))


def _solve(factors: Factored, form: LinearForm, options: SolveOptions, control: Control) -> Claim:
    """Build a model, optimise it and dispose of it."""
    lower, upper = integer_bounds(factors.programme)
    if (lower > upper).any() or form.is_contradictory:
        return Claim(Status.INFEASIBLE)
    with _model() as model:
        _set_parameters(model, options, control)
        variables = [
            model.addVar(lb=low, ub=high, obj=cost, vtype="I" if integer else "C")
            for low, high, cost, integer in zip(
                lower.tolist(), upper.tolist(), form.cost.tolist(), factors.programme.integer, strict=True
            )
        ]
        model.addObjoffset(form.offset)
        _add_rows(model, variables, form)
        _add_indicators(model, variables, factors.programme)
        for result, left, right in zip(factors.results, factors.left, factors.right, strict=True):
            model.addCons(variables[result] == variables[left] * variables[right])
        if np.isfinite(options.cutoff):
            model.setObjlimit(options.cutoff)
        if options.start is not None:
            _set_start(model, variables, factors.programme, factors.extend(options.start))
        _watch(model, variables, factors, options, control)
        with control.interruptible(model.interruptSolve):
            # Without Python's lock: the watching thread needs it.
            model.optimizeNogil()
        return _read(model, variables, factors)


@contextmanager
def _model() -> Iterator[Any]:
    """Create a silent model, and free it even if something else still refers to it."""
    import pyscipopt

    model = pyscipopt.Model()
    model.hideOutput()
    try:
        yield model
    finally:
        model.freeProb()


def _set_parameters(model: Any, options: SolveOptions, control: Control) -> None:
    tolerance = float(np.clip(options.feasibility_tolerance, *TOLERANCE_RANGE))
    model.setParams(
        {
            "misc/catchctrlc": False,  # The signal belongs to the caller's thread.
            "numerics/feastol": tolerance,
            "numerics/dualfeastol": max(tolerance, LEAST_DUAL_TOLERANCE),
            "limits/gap": float(options.gap_tolerance),
            "limits/absgap": ABSOLUTE_GAP,
            "limits/primal": float(np.clip(options.stop_at, -INFINITE, INFINITE)),
            "limits/time": min(control.remaining, INFINITE),
            "timing/clocktype": WALL_CLOCK,
            "randomization/randomseedshift": options.seed % LARGEST_SEED,
        }
    )


def _linear_rows(matrix: Any, variables: list[Any]) -> Iterator[Any]:
    """Yield each row as an expression, made of its terms at once: adding up terms takes SCIP's interface long."""
    from pyscipopt.scip import Expr, Term

    terms = [Term(variable) for variable in variables]
    starts, columns, data = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    for begin, end in pairwise(starts):
        yield Expr({terms[column]: value for column, value in zip(columns[begin:end], data[begin:end], strict=True)})


def _add_rows(model: Any, variables: list[Any], form: LinearForm) -> None:
    """Add the rows that have coefficients and a side; the others hold, or the form is contradictory."""
    from pyscipopt.scip import ExprCons

    limited = np.isfinite(form.lower) | np.isfinite(form.upper)
    useful = limited & (np.diff(form.matrix.indptr) > 0)
    rows = _linear_rows(form.matrix[useful], variables)
    for row, low, high in zip(rows, form.lower[useful].tolist(), form.upper[useful].tolist(), strict=True):
        model.addCons(ExprCons(row, low if np.isfinite(low) else None, high if np.isfinite(high) else None))


def _add_indicators(model: Any, variables: list[Any], programme: Programme) -> None:
    """Add indicators as SCIP's own constraints; one without coefficients fixes its condition or says nothing."""
    from pyscipopt.scip import ExprCons

    for constraint in programme.semantic:
        if not isinstance(constraint, Indicator):
            continue
        rows = _linear_rows(canonical(constraint.expressions.matrix), variables)
        for condition, row, constant in zip(
            constraint.conditions, rows, constraint.expressions.constant.tolist(), strict=True
        ):
            switch = variables[condition]
            if row.degree() > 0:
                model.addConsIndicator(
                    ExprCons(row, None, -constant), _as_binary(model, switch), activeone=constraint.active
                )
            elif constant > 0:
                model.addCons(switch == 1 - int(constraint.active))


def _as_binary(model: Any, variable: Any) -> Any:
    """Declare a variable between 0 and 1 binary, as an indicator needs it."""
    if variable.vtype() != "BINARY":
        model.chgVarType(variable, "B")
    return variable


def _set_start(model: Any, variables: list[Any], programme: Programme, start: FloatArray) -> None:
    """Offer the known entries; SCIP completes them, or drops them if it refuses."""
    known = np.isfinite(start)
    if not known.any():
        return
    solution = model.createSol() if known.all() else model.createPartialSol()
    values = np.clip(np.where(programme.integer, np.round(start), start), programme.lower, programme.upper)
    for j in np.flatnonzero(known):
        model.setSolVal(solution, variables[j], float(values[j]))
    model.addSol(solution)


def _watch(model: Any, variables: list[Any], factors: Factored, options: SolveOptions, control: Control) -> None:
    """Let SCIP tell how far it is; it is stopped from outside."""
    if options.on_progress is None:
        return
    from pyscipopt import SCIP_EVENTTYPE

    events = [SCIP_EVENTTYPE.BESTSOLFOUND, SCIP_EVENTTYPE.DUALBOUNDIMPROVED]
    model.attachEventHandlerCallback(_callback(variables, factors, control), events)


def _callback(variables: list[Any], factors: Factored, control: Control) -> Callable[[Any, Any], None]:
    """Return the function that SCIP calls while it runs; it must not raise."""
    best = np.inf

    def callback(model: Any, event: Any) -> None:
        nonlocal best
        bound = _bound(model)
        solution = model.getBestSol() if model.getNSols() > 0 else None
        objective = None if solution is None else float(model.getSolObjVal(solution))
        # Asked at every event: SCIP has none for a start that it accepts.
        if objective is None or objective >= best:
            control.report(objective, bound)
            return
        best = objective
        control.report(objective, bound, factors.restrict(_values(model, solution, variables)))

    return callback


def _values(model: Any, solution: Any, variables: list[Any]) -> FloatArray:
    return np.array([model.getSolVal(solution, variable) for variable in variables])


def _bound(model: Any) -> float:
    bound = float(model.getDualbound())
    return bound if abs(bound) < INFINITE else -np.inf


def _read(model: Any, variables: list[Any], factors: Factored) -> Claim:
    """Turn SCIP's status into a claim: the one place that decides what a status means."""
    status = model.getStatus()
    if status == "infeasible":
        return Claim(Status.INFEASIBLE)
    if status in ("unbounded", "inforunbd"):
        return Claim(Status.UNBOUNDED)
    values, objective = None, None
    if model.getNSols() > 0:
        solution = model.getBestSol()
        values, objective = factors.restrict(_values(model, solution, variables)), float(model.getSolObjVal(solution))
    bound = _bound(model)
    reason = _REASONS.get(status, f"status {status}")
    if status in ("optimal", "gaplimit") and objective is not None:
        if model.checkSol(solution, printreason=False, original=True):
            return Claim(Status.OPTIMAL, values, objective, bound)
        reason = "SCIP calls a point optimal that violates its own tolerances"
    return Claim(Status.UNKNOWN, values, objective, bound, reason)
