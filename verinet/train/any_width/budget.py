"""Prices and budgets that count: of units, non-zero weights and features.

The bound of any width holds for every budget, and counting costs nothing less than zero, so it stays the bound. The
network is found in three steps: a small mixed-integer programme chooses among the units that generation found (for
losses with bands; others are thinned out one unit at a time), then units are exchanged one at a time for better ones
that pricing finds in their place, and output weights are optimal throughout. The gap that is reported is that between
network and bound: honest, not zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.encode import lower_programme
from verinet.errors import SolverError
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Expressions, ProgrammeBuilder, SolveOptions
from verinet.solve import choose
from verinet.train.any_width.band import BANDS, bands_of
from verinet.train.any_width.dual import balance
from verinet.train.any_width.generation import Generation, Problem
from verinet.train.any_width.master import Columns, Fit
from verinet.train.any_width.pricing import Pricer, Unit
from verinet.train.specification import AnyWidthSpecification
from verinet.verify import Deadline

__all__ = ["Kept", "counts", "keep_within"]

MOST_CANDIDATES = 150
"""Units that enter the programme: those with the largest output weights first."""

POSITIVE = 1e-9
"""An output weight below this does not count."""

EXCHANGES = 3
"""How often each unit may be exchanged."""

POLISHINGS = 20
"""Steps from piece to piece, at most."""


@dataclass(frozen=True, eq=False)
class Kept:
    """A network that keeps within the budget.

    Parameters
    ----------
    units : list of Unit
    skip : ndarray of bool
        Which of the skip's parts may be used.
    fit : Fit
        The best output weights: of the constant, the kept parts of the skip, the units.
    objective : float
        With what counting costs.
    """

    units: list[Unit]
    skip: BoolArray
    fit: Fit
    objective: float

    def values(self) -> FloatArray:
        """Return the values of the constant, of all parts of the skip, and of the units."""
        parts = np.zeros(len(self.skip))
        kept = int(self.skip.sum())
        parts[self.skip] = self.fit.values[1 : 1 + kept]
        return np.concatenate([self.fit.values[:1], parts, self.fit.values[1 + kept :]])


def counts(specification: AnyWidthSpecification) -> bool:
    """Return whether anything is counted: a budget, or a price of a unit, weight or feature."""
    objective, budget = specification.objective, specification.budget
    prices = (objective.l0, objective.unit_penalty, objective.feature_penalty)
    return any(prices) or any(limit is not None for limit in (budget.units, budget.nonzeros, budget.features))


def keep_within(
    problem: Problem, pricer: Pricer, generation: Generation, solver: str, threads: int, deadline: Deadline
) -> Kept:
    """Choose units within the budget and at the prices of counting, and improve them while the time allows.

    Parameters
    ----------
    problem : Problem
    pricer : Pricer
        Of the problem's family.
    generation : Generation
        What was found without counting.
    solver : str
    threads : int
    deadline : Deadline

    Returns
    -------
    Kept
        Within the budget; the constant network where nothing better is found.
    """
    counting = _Counting(problem)
    units, skip = _candidates(problem, generation)
    best = counting.fit([], np.zeros(len(problem.skip_parts()), dtype=np.bool_))
    trials = [counting.fit(*choice) for choice in _chosen(problem, units, solver, threads, deadline)]
    for found in (counting.thinned(units, skip, deadline), *trials):
        if counting.allows(found) and found.objective < best.objective:
            best = found
    best = _polished(counting, pricer, best, deadline)
    return _polished(counting, pricer, _exchanged(counting, pricer, best, deadline), deadline)


def _candidates(problem: Problem, generation: Generation) -> tuple[list[Unit], BoolArray]:
    """Take the units with the largest output weights, each once, and the skip's parts in use."""
    base = 1 + len(problem.skip_parts())
    sizes = generation.fit.values[base:]
    known: dict[tuple[int, int, bytes], Unit] = {}
    for k in np.argsort(-sizes, kind="stable"):
        unit = generation.units[k]
        known.setdefault((unit.sign, unit.cell, unit.weights.tobytes()), unit)
        if len(known) == MOST_CANDIDATES:
            break
    return list(known.values()), generation.fit.values[1:base] > POSITIVE


class _Counting:
    """Fits with some of the variables, and what counting makes of them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.reads = [np.array([feature]) for feature, _ in problem.skip_parts()]

    def fit(self, units: list[Unit], skip: BoolArray) -> Kept:
        """Return the best output weights of some units and parts of the skip; those that end at zero are dropped."""
        base = self.problem.base()
        used = np.concatenate([[True], skip])
        columns = Columns(base.design[:, used], base.costs[used], base.free[used])
        if units:
            columns = columns.joined(self.problem.unit_columns(units))
        fit = self.problem.master(columns, 0).solve(np.inf)
        values = fit.values[1:] > POSITIVE
        left = int(skip.sum())
        if not values.all():
            smaller = skip.copy()
            smaller[skip] = values[:left]
            return self.fit([u for u, positive in zip(units, values[left:], strict=True) if positive], smaller)
        return Kept(units, skip, fit, fit.objective + self.cost(units, skip))

    def numbers(self, units: Sequence[Unit], skip: BoolArray) -> tuple[int, int, int]:
        """Count units, non-zero weights and features."""
        reads = [np.flatnonzero(unit.weights[:-1]) for unit in units]
        reads += [self.reads[k] for k in np.flatnonzero(skip)]
        features = {int(j) for read in reads for j in read}
        return len(units), sum(map(len, reads)), len(features)

    def cost(self, units: Sequence[Unit], skip: BoolArray) -> float:
        """Return what counting costs."""
        objective = self.problem.specification.objective
        number, nonzeros, features = self.numbers(units, skip)
        return objective.unit_penalty * number + objective.l0 * nonzeros + objective.feature_penalty * features

    def excess(self, kept: Kept) -> int:
        """Return by how much a network exceeds its budget, in all."""
        budget = self.problem.specification.budget
        limits = (budget.units, budget.nonzeros, budget.features)
        numbers = self.numbers(kept.units, kept.skip)
        return sum(max(0, n - limit) for n, limit in zip(numbers, limits, strict=True) if limit is not None)

    def allows(self, kept: Kept) -> bool:
        """Return whether a network keeps within the budget."""
        return self.excess(kept) == 0

    def thinned(self, units: list[Unit], skip: BoolArray, deadline: Deadline) -> Kept:
        """Drop what is missed least, one after another, while the budget or the prices ask for it."""
        kept = self.fit(units, skip)
        while kept.units or kept.skip.any():
            over = self.excess(kept)
            best: Kept | None = None
            for smaller in self._without_one(kept):
                trial = self.fit(*smaller)
                helps = self.excess(trial) < over if over else trial.objective < kept.objective
                if helps and (best is None or trial.objective < best.objective):
                    best = trial
                if deadline.passed and best is not None:
                    break
            if best is None:
                if not over:
                    break
                # No single step reads fewer features: drop the smallest part and look again.
                best = self.fit(*self._without_smallest(kept))
            kept = best
        return kept

    def _without_one(self, kept: Kept) -> list[tuple[list[Unit], BoolArray]]:
        """List the networks with one part less, those that lose the least weight first."""
        left = int(kept.skip.sum())
        order = np.argsort(kept.fit.values[1:], kind="stable")
        return [self._without(kept, int(k), left) for k in order[:20]]

    def _without_smallest(self, kept: Kept) -> tuple[list[Unit], BoolArray]:
        return self._without(kept, int(np.argmin(kept.fit.values[1:])), int(kept.skip.sum()))

    def _without(self, kept: Kept, k: int, left: int) -> tuple[list[Unit], BoolArray]:
        if k >= left:
            return [u for i, u in enumerate(kept.units) if i != k - left], kept.skip
        skip = kept.skip.copy()
        skip[np.flatnonzero(skip)[k]] = False
        return kept.units, skip


def _chosen(
    problem: Problem, units: list[Unit], solver: str, threads: int, deadline: Deadline
) -> list[tuple[list[Unit], BoolArray]]:
    """Choose by a mixed-integer programme, where the loss is linear in pieces."""
    if problem.specification.objective.loss not in BANDS:
        return []
    parts = len(problem.skip_parts())
    builder, picked = _programme(problem, units)
    try:
        programme = lower_programme(builder.build()).programme
        outcome = choose(programme, solver).backend.solve(
            programme,
            SolveOptions(time_limit=max(0.5 * deadline.left, 1.0), threads=threads or 1, gap_tolerance=1e-4),
        )
    except SolverError:
        return []
    if outcome.values is None:
        return []
    kept = outcome.values[picked] > 0.5
    return [([unit for unit, keep in zip(units, kept[parts:], strict=True) if keep], kept[:parts])]


def _programme(problem: Problem, units: list[Unit]) -> tuple[ProgrammeBuilder, IntArray]:
    """Write the choice: output weights, a binary for each variable that may be used, losses, counts."""
    objective, budget = problem.specification.objective, problem.specification.budget
    columns = problem.base()
    if units:
        columns = columns.joined(problem.unit_columns(units))
    builder = ProgrammeBuilder()
    count = len(columns.costs)
    bands = bands_of(problem.y, problem.weights, objective)
    # A network worth having costs no more than that of all zeros, weights included.
    zero = bands.loss(np.zeros(len(problem.y)))
    largest = np.where(columns.costs > 0, zero / np.where(columns.costs > 0, columns.costs, 1.0), 1e3) * (1 + 1e-9)
    values = builder.variables("value", np.where(columns.free, -1e6, 0.0), np.where(columns.free, 1e6, largest))
    picked = builder.binaries("picked", count - 1)
    builder.rows(Expressions.variables(values[1:]) - Expressions.variables(picked).scaled(largest[1:]), upper=0.0)
    total = [Expressions.variables(values).linear(columns.costs[None, :])]
    total.append(_losses(builder, problem, columns, values))
    reads = [[feature] for feature, _ in problem.skip_parts()]
    reads += [np.flatnonzero(unit.weights[:-1]).tolist() for unit in units]
    nonzeros = np.array([len(read) for read in reads], dtype=np.float64)
    is_unit = (np.arange(count - 1) >= count - 1 - len(units)).astype(np.float64)
    chosen = Expressions.variables(picked)
    total.append(chosen.linear((objective.l0 * nonzeros + objective.unit_penalty * is_unit)[None, :]))
    for limit, weights in ((budget.units, is_unit), (budget.nonzeros, nonzeros)):
        if limit is not None:
            builder.rows(chosen.linear(weights[None, :]), upper=float(limit))
    if budget.features is not None or objective.feature_penalty:
        total.append(_features(builder, problem, reads, picked))
    builder.objective = Expressions.stack(total).total()
    return builder, picked


def _losses(builder: ProgrammeBuilder, problem: Problem, columns: Columns, values: IntArray) -> Expressions:
    """Add what lies below and above each sample's band; return the loss."""
    bands = bands_of(problem.y, problem.weights, problem.specification.objective)
    below, above = np.flatnonzero(bands.under > 0), np.flatnonzero(bands.over > 0)
    total = []
    for samples, prices, sign, sides in ((below, bands.under, 1.0, bands.low), (above, bands.over, -1.0, -bands.high)):
        if not len(samples):
            continue
        missed = builder.variables("missed", np.zeros(len(samples)), np.full(len(samples), np.inf))
        f = Expressions.variables(values).linear(sign * columns.design[samples])
        builder.rows(f + Expressions.variables(missed), lower=sides[samples])
        total.append(Expressions.variables(missed).linear(prices[samples][None, :]))
    return Expressions.stack(total).total()


def _features(builder: ProgrammeBuilder, problem: Problem, reads: list[list[int]], picked: IntArray) -> Expressions:
    """Count the features that picked variables read; return what they cost."""
    specification = problem.specification
    used = builder.binaries("feature", problem.x.shape[1])
    pairs = np.array([(k, j) for k, features in enumerate(reads) for j in features], dtype=np.int64).reshape(-1, 2)
    builder.rows(Expressions.variables(picked[pairs[:, 0]]) - Expressions.variables(used[pairs[:, 1]]), upper=0.0)
    number = Expressions.variables(used).total()
    if specification.budget.features is not None:
        builder.rows(number, upper=float(specification.budget.features))
    return number.scaled(specification.objective.feature_penalty)


def _exchanged(counting: _Counting, pricer: Pricer, kept: Kept, deadline: Deadline) -> Kept:
    """Exchange units one at a time for those worth most without them, while that helps."""
    problem = counting.problem
    cost, free = problem.specification.objective.l1, problem.free_columns()
    for _ in range(EXCHANGES):
        improved = False
        for k in range(len(kept.units)):
            if deadline.passed or k >= len(kept.units):
                break
            rest = [unit for i, unit in enumerate(kept.units) if i != k]
            without = counting.fit(rest, kept.skip)
            prices = balance(without.fit.prices, free, len(problem.y))
            priced = pricer.price(prices, cost, 0.05, deadline)
            for unit in priced.units[:5]:
                trial = counting.fit([*rest, unit], kept.skip)
                if counting.allows(trial) and trial.objective < kept.objective * (1 - 1e-9):
                    kept, improved = trial, True
        if not improved:
            break
    return kept


def _polished(counting: _Counting, pricer: Pricer, kept: Kept, deadline: Deadline) -> Kept:
    """Move the kept units' weights, on their supports, from one linear piece of the network to the next.

    With its units active where they are, a network is linear in their weights: the optimum is that of one more master
    problem. It may lie outside of the piece, so the way there is only gone as far as the objective really falls.
    """
    family = counting.problem.family
    if len(family.ends) != len(family.rows):
        # Max-pooled units have no single piece for a point.
        return kept
    for _ in range(POLISHINGS):
        if deadline.passed or not kept.units:
            break
        old, new = _on_piece(counting.problem, pricer, kept)
        better = None
        for step in (1.0, 0.5, 0.25):
            moved = old + step * (new - old)
            sizes = np.abs(moved).sum(axis=1)
            units = [
                Unit(unit.sign, unit.cell, weights / size, unit.worth)
                for unit, weights, size in zip(kept.units, moved, sizes, strict=True)
                if size > POSITIVE
            ]
            trial = counting.fit(units, kept.skip)
            if counting.allows(trial) and trial.objective < kept.objective * (1 - 1e-9):
                better = trial
                break
        if better is None:
            break
        kept = better
    return kept


def _on_piece(problem: Problem, pricer: Pricer, kept: Kept) -> tuple[FloatArray, FloatArray]:
    """Return the units' scaled weights, and those that would be best were each unit active where it is now."""
    family = problem.family
    base = problem.base()
    used = np.concatenate([[True], kept.skip])
    left = 1 + int(kept.skip.sum())
    old = np.array([size * u.weights for size, u in zip(kept.fit.values[left:], kept.units, strict=True)])
    parts, places = [], []
    for k, unit in enumerate(kept.units):
        active = family.rows @ unit.weights > 0
        allowed = pricer.allowed(unit.sign)
        for j in map(int, np.flatnonzero(unit.weights)):
            for side, direction in ((0, 1.0), (1, -1.0)):
                if allowed[j, side]:
                    parts.append(unit.sign * direction * (family.mixes[unit.cell] @ (active * family.rows[:, j])))
                    places.append((k, j, direction))
    count = len(parts)
    columns = Columns(base.design[:, used], base.costs[used], base.free[used]).joined(
        Columns(
            np.column_stack(parts),
            np.full(count, problem.specification.objective.l1),
            np.zeros(count, dtype=np.bool_),
        )
    )
    values = problem.master(columns, 0).solve(np.inf).values[left:]
    new = np.zeros_like(old)
    for (row, column, direction), value in zip(places, values, strict=True):
        new[row, column] += direction * value
    return old, new
