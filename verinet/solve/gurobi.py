"""Gurobi: the first choice where its licence reaches.

The licence that comes with pip holds 2000 variables, 2000 rows and 2000 indicators, and 200 variables as soon as two of
them are multiplied. Every solve takes an environment of its own and gives it back.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from verinet.errors import ModelTooLargeError, SolverUnavailableError
from verinet.program import Indicator, Programme, SolveOptions, Status
from verinet.solve.backend import ABSOLUTE_GAP, Availability, Backend, Capability, Claim, Limits, resolve_unbounded
from verinet.solve.factoring import Factored, factored, product_count
from verinet.solve.linear_form import LinearForm, canonical, linear_form
from verinet.solve.screening import check_kept, check_numerics
from verinet.solve.supervision import Control

__all__ = ["GurobiBackend"]

RESTRICTED = Limits(variables=2000, rows=2000, variables_with_products=200)
"""The size-limited licence of the pip package."""

DROPPED_UP_TO = 1e-13
"""Gurobi reads smaller coefficients as zero (reference manual, tolerances and user scaling)."""

REFUSED_FROM = 1e20
"""Gurobi reads this as infinite."""

INFINITE = 1e100
"""GRB.INFINITY: what Gurobi reports where it has no incumbent or no bound."""

FEASIBILITY_RANGE = (1e-9, 1e-2)
"""What FeasibilityTol, IntFeasTol and OptimalityTol accept."""

WIDE_RATIO = 1e6
"""Coefficients over a wider range get Gurobi's more careful arithmetic (NumericFocus)."""

LARGEST_SEED = 2_000_000_000

SIZE_LIMIT_EXCEEDED = 10010

_REASONS = {
    7: "the iteration limit was reached",
    8: "the node limit was reached",
    9: "the time limit was reached",
    10: "the solution limit was reached",
    11: "interrupted",
    12: "numerical difficulties",
    13: "the solution is suboptimal and cannot be improved",
    15: "stop_at was reached",
    16: "the work limit was reached",
    17: "the memory limit was reached",
}
"""By Gurobi's status codes: every status that is no claim."""


class GurobiBackend(Backend):
    """The MILP solver Gurobi, through its matrix interface."""

    name: ClassVar[str] = "gurobi"
    module: ClassVar[str] = "gurobipy"
    distribution: ClassVar[str] = "gurobipy"
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

    def probe(self) -> Availability:
        """Take the licence for a moment and see how large a model it allows; remembered once it succeeded."""
        installed = super().probe()
        if not installed.usable:
            return installed
        try:
            limits = _licence_limits()
        except SolverUnavailableError as error:
            return Availability(False, str(error))
        limited = (
            ""
            if limits == Limits()
            else f"the licence allows {limits.variables} variables, {limits.variables_with_products} where any are "
            f"multiplied, and {limits.rows} rows"
        )
        return Availability(True, limited, limits)

    def check(self, programme: Programme) -> None:
        super().check(programme)
        check_kept(programme, self.name, DROPPED_UP_TO, REFUSED_FROM)
        check_numerics(programme)
        self._check_size(programme)

    def _check_size(self, programme: Programme) -> None:
        """Compare with the licence's limits; every licence holds what the restricted one holds."""
        if not self.is_installed():
            return
        size = _Size.of(programme)
        if size.fits(RESTRICTED):
            return
        limits = self.probe().limits
        if not size.fits(limits):
            raise ModelTooLargeError(
                f"the model has {size.variables} variables{size.multiplied} and {size.rows} rows, Gurobi's licence "
                f"allows {size.allowed(limits)} and {limits.rows}; use the solver {size.other_solver} or install a "
                "larger Gurobi licence"
            )

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        import gurobipy

        model = factored(programme)
        form = linear_form(model.programme)
        try:
            with _environment() as environment:
                claim = _solve(environment, model, form, options, control)
                if claim.status is not Status.UNBOUNDED:
                    return claim
                feasibility = replace(form, cost=np.zeros_like(form.cost), offset=0.0)
                plain = replace(options, cutoff=np.inf, stop_at=-np.inf, on_progress=None)
                return resolve_unbounded(_solve(environment, model, feasibility, plain, control))
        except gurobipy.GurobiError as error:
            if error.errno != SIZE_LIMIT_EXCEEDED:
                raise
            size = _Size.of(programme)
            raise ModelTooLargeError(
                f"the model has {size.variables} variables{size.multiplied} and {size.rows} rows or indicators, more "
                f"than Gurobi's licence allows; use the solver {size.other_solver} or install a larger Gurobi licence"
            ) from error


@dataclass(frozen=True)
class _Size:
    """What the licence counts; products count as rows, and so do indicators, apart."""

    variables: int
    rows: int
    products: int

    @classmethod
    def of(cls, programme: Programme) -> "_Size":
        products = product_count(programme)
        if products:
            programme = factored(programme).programme
        return cls(programme.size, max(_row_count(programme) + products, _indicator_count(programme)), products)

    def allowed(self, limits: Limits) -> float:
        return min(limits.variables, limits.variables_with_products) if self.products else limits.variables

    def fits(self, limits: Limits) -> bool:
        return self.variables <= self.allowed(limits) and self.rows <= limits.rows

    @property
    def multiplied(self) -> str:
        return f" with {self.products} products" if self.products else ""

    @property
    def other_solver(self) -> str:
        return "scip" if self.products else "highs"


@contextmanager
def _environment() -> Iterator[Any]:
    """Take a licence, silently, and give it back."""
    import gurobipy

    try:
        environment = gurobipy.Env(params={"OutputFlag": 0})
    except gurobipy.GurobiError as error:
        raise SolverUnavailableError(
            f"solver gurobi needs a valid licence, found none: {str(error).rstrip('.')}; use the solver highs or mend "
            "the licence"
        ) from error
    with environment:
        yield environment


@functools.cache
def _licence_limits() -> Limits:
    """Find the licence's limits by trying a model just beyond those of the restricted one; failures are not kept."""
    import gurobipy

    with _environment() as environment, gurobipy.Model(env=environment) as model:
        model.addMVar(int(RESTRICTED.variables) + 1)
        try:
            model.optimize()
        except gurobipy.GurobiError as error:
            if error.errno == SIZE_LIMIT_EXCEEDED:
                return RESTRICTED
            raise SolverUnavailableError(f"Gurobi cannot solve a trivial model: {error}") from error
    return Limits()


def _solve(environment: Any, factors: Factored, form: LinearForm, options: SolveOptions, control: Control) -> Claim:
    """Build a model, optimise it and dispose of it."""
    import gurobipy

    programme = factors.programme
    with gurobipy.Model(env=environment) as model:
        variables: Any = model.addMVar(
            programme.size, lb=programme.lower, ub=programme.upper, obj=form.cost, vtype=_types(programme)
        )
        model.ObjCon = form.offset
        _add_rows(model, variables, form)
        _add_indicators(model, variables, programme)
        _add_products(model, variables, factors)
        model.update()
        _set_parameters(model, form, options, control)
        if model.IsMIP and options.start is not None:
            start = factors.extend(options.start)
            variables.Start = np.where(np.isfinite(start), start, gurobipy.GRB.UNDEFINED)
        with control.interruptible(model.terminate):
            model.optimize(_callback(variables, factors, options, control))
        return _read(model, variables, factors)


def _types(programme: Programme) -> Any:
    binary = programme.integer & (programme.lower >= 0) & (programme.upper <= 1)
    return np.where(binary, "B", np.where(programme.integer, "I", "C"))


def _add_rows(model: Any, variables: Any, form: LinearForm) -> None:
    """Add equations, upper sides and lower sides; a row with two sides is added twice."""
    parts = [(form.is_equation, "=", form.upper)]
    parts.append((~form.is_equation & np.isfinite(form.upper), "<", form.upper))
    parts.append((~form.is_equation & np.isfinite(form.lower), ">", form.lower))
    matrix = sp.vstack([form.matrix[chosen] for chosen, _, _ in parts], format="csr")
    if matrix.shape[0]:
        senses = np.concatenate([np.full(np.count_nonzero(chosen), sense) for chosen, sense, _ in parts])
        sides = np.concatenate([side[chosen] for chosen, _, side in parts])
        model.addMConstr(matrix, variables, senses, sides)


def _add_indicators(model: Any, variables: Any, programme: Programme) -> None:
    """Add indicators as Gurobi's general constraints."""
    import gurobipy

    single = variables.tolist() if programme.semantic else []
    for constraint in _indicators(programme):
        matrix = canonical(constraint.expressions.matrix)
        for j, condition in enumerate(constraint.conditions):
            entries = slice(matrix.indptr[j], matrix.indptr[j + 1])
            terms = [single[k] for k in matrix.indices[entries]]
            expression = gurobipy.LinExpr(matrix.data[entries].tolist(), terms)
            side = -float(constraint.expressions.constant[j])
            model.addGenConstrIndicator(single[condition], constraint.active, expression, "<", side)


def _add_products(model: Any, variables: Any, factors: Factored) -> None:
    single = variables.tolist() if len(factors.results) else []
    for result, left, right in zip(factors.results, factors.left, factors.right, strict=True):
        model.addConstr(single[result] == single[left] * single[right])


def _set_parameters(model: Any, form: LinearForm, options: SolveOptions, control: Control) -> None:
    tolerance = float(np.clip(options.feasibility_tolerance, *FEASIBILITY_RANGE))
    parameters = {
        "FeasibilityTol": tolerance,
        "IntFeasTol": tolerance,
        "OptimalityTol": tolerance,
        "MIPGap": options.gap_tolerance,
        "MIPGapAbs": ABSOLUTE_GAP,
        "TimeLimit": control.remaining,
        "Threads": options.threads,
        "Seed": options.seed % LARGEST_SEED,
        "Cutoff": options.cutoff,
        "BestObjStop": options.stop_at,
    }
    magnitude = abs(form.matrix.data)
    if len(magnitude) and magnitude.max() > WIDE_RATIO * magnitude.min():
        parameters["NumericFocus"] = 2
    for name, value in parameters.items():
        model.setParam(name, value)


def _callback(variables: Any, factors: Factored, options: SolveOptions, control: Control) -> Callable[[Any, int], None]:
    """Return the function that Gurobi calls while it runs."""
    import gurobipy

    where = gurobipy.GRB.Callback

    def callback(model: Any, event: int) -> None:
        if control.requested:
            model.terminate()
        elif options.on_progress is None:
            return
        elif event == where.MIPSOL:
            objective, bound = model.cbGet(where.MIPSOL_OBJ), model.cbGet(where.MIPSOL_OBJBND)
            values = factors.restrict(np.asarray(model.cbGetSolution(variables)))
            control.report(objective, _finite(bound, -np.inf), values)
        elif event == where.MIP:
            objective, bound = model.cbGet(where.MIP_OBJBST), model.cbGet(where.MIP_OBJBND)
            control.report(_finite(objective, None), _finite(bound, -np.inf))

    return callback


def _read(model: Any, variables: Any, factors: Factored) -> Claim:
    """Turn Gurobi's status into a claim: the one place that decides what a status means."""
    import gurobipy

    codes = gurobipy.GRB.Status
    if model.Status in (codes.INFEASIBLE, codes.CUTOFF):
        return Claim(Status.INFEASIBLE)
    if model.Status in (codes.UNBOUNDED, codes.INF_OR_UNBD):
        return Claim(Status.UNBOUNDED)
    values = factors.restrict(np.asarray(variables.X)) if model.SolCount else None
    objective = float(model.ObjVal) if model.SolCount else None
    bound = _finite(float(model.ObjBound), -np.inf) if model.IsMIP else -np.inf
    if model.Status == codes.OPTIMAL and objective is not None:
        return Claim(Status.OPTIMAL, values, objective, bound if model.IsMIP else objective)
    return Claim(Status.UNKNOWN, values, objective, bound, _REASONS.get(model.Status, f"status {model.Status}"))


def _finite(value: float, otherwise: Any) -> Any:
    """Replace what Gurobi reports where it has nothing to report."""
    return value if abs(value) < INFINITE else otherwise


def _indicators(programme: Programme) -> tuple[Indicator, ...]:
    return tuple(constraint for constraint in programme.semantic if isinstance(constraint, Indicator))


def _indicator_count(programme: Programme) -> int:
    return sum(len(constraint.conditions) for constraint in _indicators(programme))


def _row_count(programme: Programme) -> int:
    """Count rows as Gurobi does: one with two different sides counts twice."""
    lower, upper = programme.rows.lower, programme.rows.upper
    return int(np.isfinite(lower).sum() + np.isfinite(upper).sum() - ((lower == upper) & np.isfinite(lower)).sum())
