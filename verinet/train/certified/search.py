"""The counterexample-guided loop around any programme that trains: masters go in, networks that passed come out.

Soundness: a network is kept only if every property passed verification for its exported parameters. A bound counts
only if its programme demands no more than the properties do at the counterexamples: programmes with a margin are for
networks alone.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Generic, Protocol, TypeVar

from verinet.errors import SolverError
from verinet.model import Demand, Network
from verinet.program import Progress
from verinet.train.examination import Examined, examine_property
from verinet.train.result import CertifiedResult, KeptConstraint, UniversalRecord
from verinet.train.specification import ConstraintRound, TrainOptions, UniversalProperty
from verinet.verify import Deadline

__all__ = ["Conclusion", "Master", "Solution", "Task", "Trained", "search_certified"]

MASTER_SHARE = 0.7
"""Of the time left, for one programme: what it finds needs to be verified too."""

SUFFICIENT_SHARE = 0.2
"""Of the time limit, for the network that has the properties by construction."""

MARGINS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""By how much demands are overfulfilled, in units of the scaled target: more where the network of the programme breaks
what is known already, by rounding, by a solver's tolerance, or where less than nothing is asked for."""

MOST_EXCLUDED = 50
"""Networks that are left out one by one, before margins leave out more."""

AFTER_INTERRUPT = 10.0
"""Seconds for the verification of what there is when Ctrl-C comes."""

INTERRUPTED = "interrupted"


class Trained(Protocol):
    """What the loop reads of a result."""

    @property
    def network(self) -> Network:
        """In raw units."""


R = TypeVar("R", bound=Trained)


@dataclass(frozen=True, eq=False)
class Task(Generic[R]):
    """What a programme is to be solved under.

    Parameters
    ----------
    demands : tuple of Demand
    margin : float
        By how much they are overfulfilled; with zero the programme is a relaxation.
    excluded : tuple of result
        Networks to leave out: they were shown not to have the properties.
    known : result or None
        A network that has the properties.
    """

    demands: tuple[Demand, ...]
    margin: float = 0.0
    excluded: tuple[R, ...] = ()
    known: R | None = None


@dataclass(frozen=True, eq=False)
class Solution(Generic[R]):
    """What a programme under demands led to.

    Parameters
    ----------
    result : result or None
    values : tuple of Fraction
        What each goal is, exactly; empty without a result.
    bounds : tuple of float
        Of each goal, the later ones given the values of the earlier.
    reason : str
        Why it is not the optimum under the demands; empty where it is.
    """

    result: R | None
    values: tuple[Fraction, ...]
    bounds: tuple[float, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What is known when the search has ended.

    Parameters
    ----------
    bounds : tuple of float
        Of each goal under the properties; the first is the best of all rounds.
    proven : bool
        Whether the network is optimal under the properties.
    reason : str
        Why not; empty otherwise.
    history : tuple of Progress
    universal : UniversalRecord
    seconds : float
    """

    bounds: tuple[float, ...]
    proven: bool
    reason: str
    history: tuple[Progress, ...]
    universal: UniversalRecord
    seconds: float


class Master(Protocol[R]):
    """A way to train under demands."""

    @property
    def can_exclude(self) -> bool:
        """Whether it can leave out single networks."""

    @property
    def scope(self) -> str:
        """What programmes without a solution say that there is none of: a sentence begins with it."""

    def solve(self, task: Task[R], seconds: float) -> Solution[R]:
        """Solve the relaxation, or with a margin a restriction."""

    def sufficient(self, properties: Sequence[UniversalProperty], seconds: float) -> Solution[R] | None:
        """Return the best network that has the properties by linear rows on its weights; None without such rows."""

    def constant(self, seconds: float) -> Solution[R] | None:
        """Return the best network whose output is constant: many properties ask for no more; None where it is none."""

    def conclude(self, result: R, conclusion: Conclusion) -> R:
        """Write what is known into a result."""


@dataclass(frozen=True, eq=False)
class _Passed(Generic[R]):
    """A network that passed, what it reached, and what was said of each property."""

    result: R
    values: tuple[Fraction, ...]
    kept: tuple[KeptConstraint, ...]


def search_certified(
    master: Master[R], properties: Sequence[UniversalProperty], options: TrainOptions
) -> CertifiedResult[R]:
    """Train under properties; stop at the optimum, at a limit of rounds or time, or at Ctrl-C.

    Parameters
    ----------
    master : Master
    properties : sequence of UniversalProperty
    options : TrainOptions
    """
    search = _Search(master, tuple(properties), options)
    search.run()
    return search.result()


class _Search(Generic[R]):
    """What the loop carries from round to round."""

    def __init__(self, master: Master[R], properties: tuple[UniversalProperty, ...], options: TrainOptions) -> None:
        self.master, self.properties, self.options = master, properties, options
        self.started = time.monotonic()
        self.deadline = Deadline(self.started + options.time_limit)
        self.demands: dict[Demand, None] = {}
        self.best: _Passed[R] | None = None
        self.constructed: float | None = None
        self.bounds: tuple[float, ...] = (-float("inf"),)
        self.free: tuple[float, float] | None = None
        self.excluded: list[R] = []
        self.last: tuple[tuple[Fraction, ...], ...] = ()
        self.margin, self.proven, self.reason = 0, False, ""
        self.rounds, self.training, self.verifying = 0, 0.0, 0.0
        self.history: list[Progress] = []
        self.reports: list[ConstraintRound] = []

    def run(self) -> None:
        """Train and verify in turn."""
        try:
            self._begin()
            while not (self.proven or self.reason):
                known = len(self.demands)
                self._round()
                self._report(len(self.demands) - known)
                if not (self.proven or self.reason):
                    self._look_at_limits()
        except KeyboardInterrupt:
            self.reason = INTERRUPTED
        except SolverError as error:
            if not self.rounds:
                raise
            self.reason = str(error)

    def _look_at_limits(self) -> None:
        if self.deadline.passed:
            self.reason = "the time limit was reached"
        elif self.options.most_rounds is not None and self.rounds >= self.options.most_rounds:
            self.reason = f"the limit of {self.options.most_rounds} rounds was reached"

    def _begin(self) -> None:
        """Offer the network that has the properties by construction, or else a constant one."""
        seconds = SUFFICIENT_SHARE * self.options.time_limit
        for begin in (partial(self.master.sufficient, self.properties), self.master.constant):
            began = time.monotonic()
            solution = begin(seconds)
            self.training += time.monotonic() - began
            if solution is not None and solution.result is not None and self._offer(solution.result, solution.values):
                self.constructed = float(solution.values[0])
                return

    def _round(self) -> None:
        """Solve, verify, and demand more where the network fails."""
        began, margin = time.monotonic(), MARGINS[self.margin]
        known = None if self.best is None else self.best.result
        # The first programme demands nothing, whatever the networks before it led to: what properties cost is measured
        # against its optimum.
        demands = tuple(self.demands) if self.rounds else ()
        task = Task(demands, margin, tuple(self.excluded), known)
        solution = self.master.solve(task, MASTER_SHARE * self.deadline.left)
        self.training += time.monotonic() - began
        self.rounds += 1
        if margin == 0.0:
            self._take_bounds(solution)
        if solution.reason == INTERRUPTED:
            self.deadline = self.deadline.within(AFTER_INTERRUPT)
        if solution.result is None:
            self._without_network(solution)
            return
        is_broken = not self._meets_demands(solution.result)
        passed = not is_broken and self._offer(solution.result, solution.values)
        if passed and margin == 0.0 and not solution.reason:
            # Bounds of later goals are those of this programme, whose values of the goals before they belong to.
            self.bounds, self.proven = (self.bounds[0], *solution.bounds[1:]), True
        elif self._is_closed():
            self.proven = True
        elif passed or solution.reason == INTERRUPTED:
            self.reason = solution.reason or "the network keeps a margin, and the gap is open"
        elif not self.reason:
            self._go_on(solution.result, len(self.demands) > len(demands), is_broken)

    def _take_bounds(self, solution: Solution[R]) -> None:
        """Keep the bounds where they are better; later goals' bounds belong to the values of the goals before."""
        if solution.bounds[0] >= self.bounds[0]:
            self.bounds = solution.bounds
        if self.free is None:
            objective = float(solution.values[0]) if solution.values else float("inf")
            self.free = (objective, solution.bounds[0])

    def _without_network(self, solution: Solution[R]) -> None:
        if MARGINS[self.margin]:
            self._next_margin()
        elif solution.bounds[0] == float("inf"):
            demanded = "what the properties demand at the counterexamples (a solver's claim)"
            self.reason = f"{self.master.scope} meets {demanded}"
        else:
            self.reason = solution.reason or "no network was found"

    def _go_on(self, result: R, has_more: bool, is_broken: bool) -> None:
        """Go on with what is new to demand, or without a network that breaks what is known, or with a margin.

        Soundness: a network is left out only if exact evaluation shows that it does not have the properties.
        """
        if has_more:
            self.margin = 0
        elif is_broken and self.master.can_exclude and len(self.excluded) < MOST_EXCLUDED:
            self.excluded.append(result)
            self.margin = 0
        else:
            self._next_margin()

    def _next_margin(self) -> None:
        if self.margin + 1 < len(MARGINS):
            self.margin += 1
        else:
            self.reason = "no counterexample is left at which anything more could be demanded"

    def _meets_demands(self, result: R) -> bool:
        """Tell whether the exported network meets what is known already, by exact evaluation."""
        return all(demand.met_by(result.network) for demand in self.demands)

    def _offer(self, result: R, values: tuple[Fraction, ...]) -> bool:
        """Verify a network and keep it if it passed and is the best; demand more where it fails."""
        network, began = result.network, time.monotonic()
        examined = [
            examine_property(network, wanted, self.deadline, self.options.solver, self.options.threads)
            for wanted in self.properties
        ]
        self.verifying += time.monotonic() - began
        for wanted, each in zip(self.properties, examined, strict=True):
            self._demand(wanted, each)
        if not all(each.passed for each in examined):
            return False
        if self.best is None or values < self.best.values:
            kept = tuple(_kept(wanted, each) for wanted, each in zip(self.properties, examined, strict=True))
            self.best = _Passed(result, values, kept)
        return True

    def _demand(self, wanted: UniversalProperty, examined: Examined) -> None:
        self.demands.update(dict.fromkeys(examined.demands))
        if examined.demands:
            self.last = examined.demands[0].points
        if any(not clause for demand in examined.demands for clause in demand.clauses):
            self.bounds = (float("inf"),)
            self.reason = (
                f"no network has the property {wanted.prop.name!r}: at some input it is broken by the input alone"
            )

    def _is_closed(self) -> bool:
        """Tell whether objective and bound meet, where there is one goal."""
        if self.best is None or len(self.best.values) > 1:
            return False
        value = float(self.best.values[0])
        return value - self.bounds[0] <= self.options.gap_tolerance * max(abs(value), 1e-10)

    def _report(self, added: int) -> None:
        objective = None if self.best is None else float(self.best.values[0])
        state = Progress(time.monotonic() - self.started, objective, self.bounds[0])
        self.history.append(state)
        self.options.on_progress(state)
        report = ConstraintRound(
            self.rounds, objective, self.bounds[0], added, len(self.demands), self.training, self.verifying
        )
        self.reports.append(report)
        self.options.on_round(report)

    def result(self) -> CertifiedResult[R]:
        """Return the best network that passed, with what is known about it."""
        universal = self._universal()
        if self.best is None:
            return CertifiedResult(None, self.bounds[0], universal, self.reason, self.last)
        seconds = time.monotonic() - self.started
        reason = "" if self.proven else self.reason
        conclusion = Conclusion(self.bounds, self.proven, reason, tuple(self.history), universal, seconds)
        result = self.master.conclude(self.best.result, conclusion)
        bound = min(self.bounds[0], float(self.best.values[0]))
        return CertifiedResult(result, bound, universal, reason, self.last)

    def _universal(self) -> UniversalRecord:
        free_objective, free_bound = self.free or (float("inf"), -float("inf"))
        objective = float("inf") if self.best is None else float(self.best.values[0])
        return UniversalRecord(
            () if self.best is None else self.best.kept,
            self.rounds,
            len(self.demands),
            (),
            self.training,
            self.verifying,
            free_objective,
            free_bound,
            self.constructed,
            (max(0.0, self.bounds[0] - free_objective), max(0.0, objective - free_bound)),
            tuple(self.reports),
        )


def _kept(wanted: UniversalProperty, examined: Examined) -> KeptConstraint:
    verdict = examined.verdict
    level = f" ({verdict.level.value})" if verdict.level else ""
    return KeptConstraint(wanted.prop.name, verdict.answer.value + level, verdict.engine)
