"""Z3: exact rational answers from the semantic form, for small cases.

It reads every semantic constraint by its meaning, the programme's rational rows beside their float
relaxations, and every float as the rational it stores, so it checks the encodings and the floating-point solvers alike.
No bound that a constraint carries along is trusted unless asked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from verinet.errors import UnsupportedModelError
from verinet.numeric import FloatArray, float_down
from verinet.program import (
    Bilinear,
    ExactRow,
    Expressions,
    Indicator,
    Maximum,
    Product,
    Programme,
    Semantic,
    SolveOptions,
    Status,
)
from verinet.solve.backend import Backend, Capability, Claim
from verinet.solve.exact import ExactOutcome, exact_values, first_violation
from verinet.solve.screening import check_options
from verinet.solve.supervision import Control, StoppedError, supervise

__all__ = ["Z3Backend"]

MOST_CASES = 64
"""A product over a wider range of weights is written with the weight's bits instead of one case a value."""

LONGEST_TIMEOUT = 2**31 - 1
"""Milliseconds; Z3 keeps the limit in 32 bits."""


class Z3Backend(Backend):
    """The SMT solver Z3 on exact rationals.

    Parameters
    ----------
    trust_bounds : bool
        Let the bounds that a `Maximum` carries for its arguments drop the arguments that cannot win. Off by default:
        then a wrong bound upstream cannot hide a point from this engine.
    """

    name: ClassVar[str] = "z3"
    module: ClassVar[str] = "z3"
    distribution: ClassVar[str] = "z3-solver"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.LINEAR,
            Capability.INTEGER,
            Capability.CONTINUOUS,
            Capability.INDICATOR,
            Capability.BILINEAR,
            Capability.SEMANTIC,
            Capability.EXACT,
        }
    )

    def __init__(self, trust_bounds: bool = False) -> None:
        self.trust_bounds = trust_bounds

    def check(self, programme: Programme) -> None:
        super().check(programme)
        for constraint in programme.semantic:
            if isinstance(constraint, Product):
                _check_weights(constraint, programme)

    def solve_exact(self, programme: Programme, options: SolveOptions) -> ExactOutcome:
        """Minimise without rounding.

        Parameters
        ----------
        programme : Programme
        options : SolveOptions
            Time limit, cutoff, stop_at and cancellation count; gaps and tolerances do not, there are none.

        Returns
        -------
        ExactOutcome
            INFEASIBLE if no point has an objective below the cutoff. An objective without a minimum is UNKNOWN.

        Raises
        ------
        SolverUnavailableError, InputError, UnsupportedModelError

        Notes
        -----
        Soundness: a returned point is checked in `fractions`, so it is feasible whatever Z3 does. INFEASIBLE and the
        optimality of a point are trusted as Z3 claims them; optimality is asked for twice, by optimisation and then as
        the plain question whether anything smaller exists.
        """
        self.require()
        self.check(programme)
        check_options(programme, options)
        control = Control(options)
        try:
            outcome = supervise(lambda: self._run_exact(programme, options, control), control)
        except StoppedError as stop:
            return ExactOutcome(Status.UNKNOWN, reason=str(stop))
        if outcome.status is Status.UNKNOWN and control.requested:
            return replace(outcome, reason=control.reason)
        return outcome

    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        exact = self._run_exact(programme, options, control)
        if exact.values is None or exact.objective is None:
            return Claim(exact.status, reason=exact.reason)
        values = np.array([float(value) for value in exact.values])
        bound = float_down(exact.objective) if exact.status is Status.OPTIMAL else -np.inf
        return Claim(exact.status, values, float(exact.objective), bound, exact.reason)

    def _run_exact(self, programme: Programme, options: SolveOptions, control: Control) -> ExactOutcome:
        return _Question(programme, options, control, self.trust_bounds).answer()


class _Question:
    """One programme in a context of its own, which can be interrupted without touching any other solve."""

    def __init__(self, programme: Programme, options: SolveOptions, control: Control, trust_bounds: bool) -> None:
        import z3

        self._z3 = z3
        self._context = z3.Context()
        # Python may collect this context's terms in another thread, while that thread or this one is solving.
        z3.Z3_enable_concurrent_dec_ref(self._context.ref())
        self._programme = programme
        self._options = options
        self._control = control
        self._trust_bounds = trust_bounds
        self._variables = [
            z3.Int(f"v{j}", self._context) if integer else z3.Real(f"v{j}", self._context)
            for j, integer in enumerate(programme.integer)
        ]
        self._reals = [z3.ToReal(v) if v.is_int() else v for v in self._variables]

    def answer(self) -> ExactOutcome:
        """Decide, and optimise where there is something to optimise."""
        formulas = self._formulas()
        objective = _objective(self._programme)
        goal = self._affine(objective)[0]
        if np.isfinite(self._options.cutoff):
            formulas.append(goal < self._rational(self._options.cutoff))
        if np.isfinite(self._options.stop_at):
            early = self._decide([*formulas, goal <= self._rational(self._options.stop_at)])
            if early.status is Status.OPTIMAL:
                return replace(early, status=Status.UNKNOWN, reason="stop_at was reached")
            if early.status is Status.UNKNOWN:
                return early
        if objective.matrix.nnz == 0:
            return self._decide(formulas)
        return self._optimise(formulas, goal)

    def _decide(self, formulas: list[Any]) -> ExactOutcome:
        """Find any point that satisfies the formulas: OPTIMAL here means that there is one."""
        solver = self._z3.Solver(ctx=self._context)
        return self._checked(solver, formulas)

    def _optimise(self, formulas: list[Any], goal: Any) -> ExactOutcome:
        optimiser = self._z3.Optimize(ctx=self._context)
        handle = optimiser.minimize(goal)
        found = self._checked(optimiser, formulas)
        if found.status is not Status.OPTIMAL or found.objective is None:
            return found
        infinite, finite, infinitesimal = (_fraction(part) for part in optimiser.lower_values(handle))
        if infinite or infinitesimal:
            what = "has no lower bound" if infinite else "comes arbitrarily near to its infimum without reaching it"
            return replace(found, status=Status.UNKNOWN, reason=f"z3 says that the objective {what}")
        if finite != found.objective:
            reason = f"z3 claims the optimum {finite}, but its point has the objective {found.objective}"
            return replace(found, status=Status.UNKNOWN, reason=reason)
        smaller = self._decide([*formulas, goal < self._rational(finite)])
        if smaller.status is Status.INFEASIBLE:
            return found
        reason = smaller.reason or f"z3 contradicts itself: it finds {smaller.objective}, smaller than its optimum"
        return replace(found, status=Status.UNKNOWN, reason=reason)

    def _checked(self, solver: Any, formulas: list[Any]) -> ExactOutcome:
        """Ask one question; the one place that decides what Z3's answer means."""
        solver.add(*formulas)
        solver.set("random_seed", self._options.seed % 2**31)
        solver.set("ctrl_c", False)  # The signal belongs to the caller's thread.
        if np.isfinite(self._options.time_limit):
            solver.set("timeout", min(LONGEST_TIMEOUT, max(1, math.ceil(1000 * self._control.remaining))))
        with self._control.interruptible(self._context.interrupt):
            result = solver.check()
        if result == self._z3.unsat:
            return ExactOutcome(Status.INFEASIBLE)
        if result != self._z3.sat:
            late = self._control.remaining == 0
            reason = "the time limit was reached" if late else f"z3 gives up: {solver.reason_unknown()}"
            return ExactOutcome(Status.UNKNOWN, reason=reason)
        return self._point(solver.model())

    def _point(self, model: Any) -> ExactOutcome:
        numbers = [model.eval(variable, model_completion=True) for variable in self._variables]
        if not all(self._z3.is_rational_value(n) or self._z3.is_int_value(n) for n in numbers):
            return ExactOutcome(Status.UNKNOWN, reason="z3 found a point with irrational or infinitesimal values")
        values = tuple(_fraction(number) for number in numbers)
        violation = first_violation(self._programme, values)
        if violation:
            return ExactOutcome(Status.UNKNOWN, reason=f"z3's point violates {violation}")
        return ExactOutcome(Status.OPTIMAL, values, exact_values(self._programme.objective, values)[0])

    def _formulas(self) -> list[Any]:
        """Translate bounds, rows and constraints."""
        programme = self._programme
        formulas: list[Any] = []
        for term, lower, upper in zip(self._reals, programme.lower, programme.upper, strict=True):
            formulas += self._between(term, lower, upper)
        rows = programme.rows
        for term, lower, upper in zip(self._affine(rows.expressions), rows.lower, rows.upper, strict=True):
            formulas += self._between(term, lower, upper)
        formulas += [self._exact_row(row) for row in programme.exact]
        for constraint in programme.semantic:
            formulas += _TRANSLATIONS[type(constraint)](self, constraint)
        return formulas

    def _exact_row(self, row: ExactRow) -> Any:
        parts = [self._rational(coefficient) * self._reals[variable] for variable, coefficient in row.terms]
        total, zero = self._z3.Sum([self._rational(row.constant), *parts]), self._rational(0)
        return total < zero if row.strict else total <= zero

    def _between(self, term: Any, lower: float, upper: float) -> list[Any]:
        if lower == upper:
            return [term == self._rational(lower)]
        below = [term >= self._rational(lower)] if np.isfinite(lower) else []
        above = [term <= self._rational(upper)] if np.isfinite(upper) else []
        return below + above

    def maximum(self, constraint: Maximum) -> list[Any]:
        """Say that the result is at least every argument and equals one of them."""
        arguments = self._affine(constraint.arguments)
        formulas = []
        for j, result in enumerate(constraint.results):
            group = list(range(int(constraint.offsets[j]), int(constraint.offsets[j + 1])))
            if self._trust_bounds:
                group = _contenders(group, constraint.lower, constraint.upper)
            formulas.append(self._is_largest(self._reals[result], [arguments[k] for k in group]))
        return formulas

    def _is_largest(self, value: Any, arguments: list[Any]) -> Any:
        if len(arguments) == 1:
            return value == arguments[0]
        reached = self._z3.Or([value <= argument for argument in arguments])
        return self._z3.And([value >= argument for argument in arguments] + [reached])

    def product(self, constraint: Product) -> list[Any]:
        """Write each product linearly, by the values or by the bits of its weight."""
        formulas = []
        for result, weight, activation in zip(
            constraint.results, constraint.weights, self._affine(constraint.activations), strict=True
        ):
            smallest, largest = _integer_range(self._programme, int(weight))
            by_cases = largest - smallest < MOST_CASES
            write = self._product_by_cases if by_cases else self._product_by_bits
            formulas += write(self._reals[result], self._variables[weight], activation, smallest, largest)
        return formulas

    def _product_by_cases(self, result: Any, weight: Any, activation: Any, smallest: int, largest: int) -> list[Any]:
        return [
            self._z3.Implies(weight == value, result == self._rational(value) * activation)
            for value in range(smallest, largest + 1)
        ]

    def _product_by_bits(self, result: Any, weight: Any, activation: Any, smallest: int, largest: int) -> list[Any]:
        """``weight = smallest + sum 2^k bit_k`` makes the product ``smallest * a + sum of 2^k a where bit_k``."""
        z3, powers = self._z3, [2**k for k in range((largest - smallest).bit_length())]
        bits = [z3.FreshBool("bit", self._context) for _ in powers]
        zero, whole_zero = self._rational(0), z3.IntVal(0, self._context)
        total = [
            z3.If(bit, z3.IntVal(power, self._context), whole_zero) for bit, power in zip(bits, powers, strict=True)
        ]
        parts = [z3.If(bit, self._rational(power) * activation, zero) for bit, power in zip(bits, powers, strict=True)]
        return [
            weight == z3.Sum([z3.IntVal(smallest, self._context), *total]),
            result == z3.Sum([self._rational(smallest) * activation, *parts]),
        ]

    def indicator(self, constraint: Indicator) -> list[Any]:
        """Say that the condition implies the row."""
        active, zero = int(constraint.active), self._rational(0)
        return [
            self._z3.Implies(self._variables[condition] == active, term <= zero)
            for condition, term in zip(constraint.conditions, self._affine(constraint.expressions), strict=True)
        ]

    def bilinear(self, constraint: Bilinear) -> list[Any]:
        """Say that the result is the product; the reals are decidable, in time that no one can promise."""
        factors = zip(self._affine(constraint.left), self._affine(constraint.right), strict=True)
        return [
            self._reals[result] == left * right
            for result, (left, right) in zip(constraint.results, factors, strict=True)
        ]

    def _affine(self, expressions: Expressions) -> list[Any]:
        matrix = expressions.matrix
        terms = []
        for row in range(expressions.size):
            entries = range(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
            parts = [self._rational(matrix.data[k]) * self._reals[int(matrix.indices[k])] for k in entries]
            terms.append(self._z3.Sum([self._rational(expressions.constant[row]), *parts]))
        return terms

    def _rational(self, value: float | Fraction) -> Any:
        """Return the number as it is stored: a float is a dyadic rational."""
        return self._z3.RealVal(str(Fraction(value)), self._context)


_TRANSLATIONS: dict[type[Semantic], Callable[[_Question, Any], list[Any]]] = {
    Maximum: _Question.maximum,
    Product: _Question.product,
    Indicator: _Question.indicator,
    Bilinear: _Question.bilinear,
}


def _objective(programme: Programme) -> Expressions:
    """Return the objective without stored zeros, so that a constant shows as one."""
    matrix = programme.objective.matrix.copy()
    matrix.eliminate_zeros()
    return replace(programme.objective, matrix=matrix)


def _contenders(group: Sequence[int], lower: FloatArray, upper: FloatArray) -> list[int]:
    """Return the arguments that can be largest if the bounds hold: some other one is always at least the rest."""
    floor = max(lower[k] for k in group)
    leader = next(k for k in group if lower[k] == floor)
    return [k for k in group if k == leader or upper[k] > floor]


def _integer_range(programme: Programme, variable: int) -> tuple[int, int]:
    """Return the least and the greatest integer between a variable's bounds."""
    return math.ceil(programme.lower[variable]), math.floor(programme.upper[variable])


def _check_weights(constraint: Product, programme: Programme) -> None:
    lower, upper = programme.lower[constraint.weights], programme.upper[constraint.weights]
    unbounded = ~(np.isfinite(lower) & np.isfinite(upper))
    if unbounded.any():
        j = int(np.flatnonzero(unbounded)[0])
        raise UnsupportedModelError(
            f"a product needs an integer weight with finite bounds, found {lower[j]} to {upper[j]} for "
            f"{programme.names[int(constraint.weights[j])]}"
        )


def _fraction(number: Any) -> Fraction:
    """Convert a rational or integer numeral of Z3."""
    return Fraction(number.as_string()) if number.is_real() else Fraction(number.as_long())
