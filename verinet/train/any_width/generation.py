"""Column generation: the master problem and the pricing of units in turn, until the bound meets the objective.

Every round has a network, the master's optimum over the units found so far, and a lower bound over networks of every
width, from the master's prices and what the best unit could be worth. Stopping at any time leaves both.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import SolverError
from verinet.numeric import BoolArray, FloatArray
from verinet.train.any_width.band import BANDS, bands_of
from verinet.train.any_width.dual import ExactConditions, balance, balance_exactly, estimate, largest_scale, make_dual
from verinet.train.any_width.family import Family
from verinet.train.any_width.master import Columns, Fit, LinearMaster, Master, PointRows
from verinet.train.any_width.pricing import Priced, Pricer, Unit
from verinet.train.any_width.smooth import SMOOTH, SmoothMaster
from verinet.train.dual import DualSolution
from verinet.train.specification import AnyWidthSpecification, Skip
from verinet.verify import Deadline

__all__ = ["INTERRUPTED", "Generation", "Problem", "Round", "generate"]

MOST_UNITS = 60
"""Units that enter the master in one round."""

LOOSEST = 0.5
"""How far bounds of a round may exceed the best unit, at most; later rounds are as exact as the gap left asks for."""

SHARE_OF_GAP = 0.25
"""Of what the best unit is worth beyond its cost: how exact the next round's bounds are."""

INTERRUPTED = "interrupted"
"""The reason why column generation ended, where Ctrl-C ended it."""

CUTOFF_SHARE = 0.5
"""Of the gap tolerance: units worth no more than this beyond their cost are not looked for."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples, units and costs, ready for column generation.

    Parameters
    ----------
    x : ndarray, shape (points, features)
        Scaled: the samples, then the points that conditions speak of.
    y, weights : ndarray, shape (samples,)
        Scaled targets or classes; the weights sum to 1.
    family : Family
        Of the same points.
    specification : AnyWidthSpecification
    rows : PointRows or None
        Conditions on the outputs at the points behind the samples.
    """

    x: FloatArray
    y: FloatArray
    weights: FloatArray
    family: Family
    specification: AnyWidthSpecification
    rows: PointRows | None = None

    @property
    def sides(self) -> BoolArray:
        """Which signs the skip's weights may have."""
        sides = np.ones((self.x.shape[1], 2), dtype=np.bool_)
        for feature, direction in self.specification.monotone.items():
            sides[feature, 1 if direction > 0 else 0] = False
        return sides

    def base(self) -> Columns:
        """Return the constant and the linear skip, its positive parts before its negative ones."""
        parts = [np.ones((len(self.x), 1))]
        costs, free = [np.zeros(1)], [np.ones(1, dtype=np.bool_)]
        for index, sign in self.skip_parts():
            parts.append(sign * self.x[:, index : index + 1])
            costs.append(np.full(1, self.specification.price_of_skip))
            free.append(np.zeros(1, dtype=np.bool_))
        return Columns(np.column_stack(parts), np.concatenate(costs), np.concatenate(free))

    def skip_parts(self) -> list[tuple[int, int]]:
        """List the features and signs of the skip's columns."""
        if self.specification.skip is Skip.NONE:
            return []
        sides = self.sides
        return [(j, sign) for side, sign in ((0, 1), (1, -1)) for j in range(len(sides)) if sides[j, side]]

    def free_columns(self) -> FloatArray:
        """Return the columns whose prices have to balance exactly: the constant, and a free skip of either sign."""
        columns = [np.ones((len(self.x), 1))]
        if self.specification.skip is Skip.FREE:
            columns.append(self.x[:, self.sides.all(axis=1)])
        return np.column_stack(columns)

    def master(self, columns: Columns, seed: int) -> Master:
        """Return the master problem over some columns."""
        objective = self.specification.objective
        if objective.loss in BANDS:
            return LinearMaster(bands_of(self.y, self.weights, objective), columns, objective.l1, seed, self.rows)
        return SmoothMaster(SMOOTH[objective.loss], self.y, self.weights, columns, self.rows)

    def unit_columns(self, units: list[Unit]) -> Columns:
        """Return the columns of some units."""
        design = np.column_stack([unit.sign * self.family.values(unit.weights[None, :], unit.cell) for unit in units])
        count = len(units)
        return Columns(design, np.full(count, self.specification.objective.l1), np.zeros(count, dtype=np.bool_))


@dataclass(frozen=True)
class Round:
    """What was known after a round.

    Parameters
    ----------
    seconds : float
    objective : float
        Of the best network, as the master claims.
    bound : float
        Of every network's, at least.
    units : int
        Columns in the master.
    """

    seconds: float
    objective: float
    bound: float
    units: int

    @property
    def gap(self) -> float:
        """Relative to the objective."""
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), 1e-300)


@dataclass(frozen=True, eq=False)
class Generation:
    """The outcome of column generation.

    Parameters
    ----------
    units : list of Unit
        All that were generated.
    fit : Fit
        The master's optimum: the constant, the skip's parts, the units.
    dual : DualSolution
        What proves the best bound.
    rounds : list of Round
    reason : str
        Why it ended before the gap was small enough; empty otherwise.
    """

    units: list[Unit]
    fit: Fit
    dual: DualSolution
    rounds: list[Round]
    reason: str


def generate(
    problem: Problem,
    pricer: Pricer,
    gap_tolerance: float,
    deadline: Deadline,
    *,
    seed: int = 0,
    start: list[Unit] | None = None,
    on_round: Callable[[Round], None] = lambda _: None,
) -> Generation:
    """Optimise over networks of every width.

    Parameters
    ----------
    problem : Problem
    pricer : Pricer
        Of the problem's family.
    gap_tolerance : float
        Relative.
    deadline : Deadline
    seed : int
    start : list of Unit or None
        To begin with: those of a similar problem.
    on_round : callable

    Returns
    -------
    Generation
        At least one round is run; Ctrl-C and the deadline keep what there is.
    """
    started = time.monotonic()
    state = _State(problem, pricer, gap_tolerance, seed, list(start or []))
    reason = ""
    try:
        while True:
            finished = state.step(deadline)
            on_round(state.record(time.monotonic() - started))
            if finished:
                break
            if deadline.passed:
                reason = "the time limit was reached"
                break
    except KeyboardInterrupt:
        reason = INTERRUPTED
    except SolverError as error:
        reason = str(error)
    return Generation(state.units, state.fit, state.exact_dual(), state.rounds, reason)


@dataclass(frozen=True, eq=False)
class _Best:
    """What the best bound so far came from."""

    prices: FloatArray
    multipliers: FloatArray
    scale: float
    worth: float
    claimed: bool


class _State:
    """What column generation carries from round to round."""

    def __init__(self, problem: Problem, pricer: Pricer, gap_tolerance: float, seed: int, units: list[Unit]) -> None:
        self.problem, self.pricer, self.tolerance = problem, pricer, gap_tolerance
        self.cost = problem.specification.objective.l1
        self.units = units
        self.rounds: list[Round] = []
        base = problem.base()
        columns = base.joined(problem.unit_columns(units)) if units else base
        self.free = problem.free_columns()
        self.skip = problem.x if problem.specification.skip is Skip.PENALISED else problem.x[:, :0]
        self.master = problem.master(columns, seed)
        self.fit = self.master.solve(np.inf)
        self.bound = -np.inf
        self.best = _Best(np.zeros(len(problem.x)), np.zeros(len(self.fit.multipliers)), 1.0, 0.0, False)
        self.relative = LOOSEST

    def step(self, deadline: Deadline) -> bool:
        """Price units at the master's prices and solve it again with what was found; return whether that is the end."""
        priced = self._price(self.fit, deadline, not self.pricer.by_levels)
        if not priced.units and self.pricer.by_levels:
            # Proofs are long there, and prices at a vertex make plateaus of units worth just their cost.
            priced = self._price(self.master.central(), deadline)
        if self._gap() <= self.tolerance:
            return True
        new = list(priced.units[:MOST_UNITS])
        if not new:
            # Bounds looser than the best unit, or the master's own tolerance, are in the way.
            was, self.relative = self.relative, 0.0
            return was == 0.0
        self.relative = min(LOOSEST, max(0.1 * self.tolerance, SHARE_OF_GAP * (new[0].worth / self.cost - 1.0)))
        self.units += new
        self.master.add(self.problem.unit_columns(new))
        self.fit = self.master.solve(max(deadline.left, 1.0))
        return False

    def _price(self, fit: Fit, deadline: Deadline, thoroughly: bool = True) -> Priced:
        """Price units at an optimum's prices, for as long as the bound takes or only at a glance."""
        cutoff = self.cost * (1.0 + CUTOFF_SHARE * self.tolerance)
        prices = balance(fit.prices, self.free, len(self.problem.y))
        priced = self.pricer.price(prices, cutoff, self.relative, deadline, self._used(), thoroughly)
        self._update_bound(prices, fit.multipliers, priced)
        return priced

    def _used(self) -> list[Unit]:
        """Return the units that the network uses, the largest first."""
        sizes = self.fit.values[len(self.fit.values) - len(self.units) :]
        return [self.units[k] for k in np.argsort(-sizes, kind="stable") if sizes[k] > 0]

    def _update_bound(self, prices: FloatArray, multipliers: FloatArray, priced: Priced) -> None:
        specification = self.problem.specification
        scale = largest_scale(
            prices, priced.bound, self.cost, self.skip, specification.price_of_skip, self.problem.sides
        )
        samples = len(self.problem.y)
        rows = self.problem.rows
        bound = estimate(
            prices[:samples],
            scale,
            self.problem.y,
            self.problem.weights,
            specification.objective,
            0.0 if rows is None else rows.value(multipliers),
        )
        if bound > self.bound:
            self.bound = bound
            self.best = _Best(prices, multipliers, scale, priced.bound, priced.claimed)

    def _gap(self) -> float:
        return max(0.0, self.fit.objective - self.bound) / max(abs(self.fit.objective), 1e-300)

    def record(self, seconds: float) -> Round:
        """Note where things stand."""
        self.rounds.append(Round(seconds, self.fit.objective, self.bound, len(self.units)))
        return self.rounds[-1]

    def exact_dual(self) -> DualSolution:
        """Return the best dual solution, in rational arithmetic."""
        problem, best, specification = self.problem, self.best, self.problem.specification
        samples = len(problem.y)
        conditions = ExactConditions.of(problem.rows, best.multipliers, len(problem.x))
        try:
            exact = balance_exactly(best.prices, conditions.prices, self.free, samples)
        except ZeroDivisionError:
            # Zero prices prove at least that losses are not negative.
            return DualSolution((Fraction(0),) * samples, Fraction(1), Fraction(0), 0.0, False)
        total = [*exact, *(conditions.prices[samples:] or [Fraction(0)] * (len(problem.x) - samples))]
        # Units were priced at prices next to these.
        change = np.array([float(abs(p - Fraction(float(v)))) for p, v in zip(total, best.prices, strict=True)])
        worth = best.worth + float(change @ self.problem.family.reach) * (1.0 + 1e-12)
        rounded = np.array([float(p) for p in total])
        scale = largest_scale(rounded, worth, self.cost, self.skip, specification.price_of_skip, problem.sides)
        return make_dual(
            exact,
            min(scale, best.scale),
            worth,
            best.claimed,
            problem.y,
            problem.weights,
            specification.objective,
            conditions,
        )
