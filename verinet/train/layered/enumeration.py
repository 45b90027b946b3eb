"""One hidden layer of quantised weights, by enumeration of its units instead of branching on their weights.

A unit is a column: what it adds to the output at every sample, for each of its weights and each weight behind it. A
linear programme over all columns, at most K of them in sum, bounds every network of K units; its dual prices g give
each column a slack, by which the bound rises if the column is chosen. Networks are then enumerated in the order of
slacks, and a branch ends where the slacks of its units exceed the gap. What is left when time is up all has larger
slacks, which is a bound as well.

Soundness: a bound is weak duality at the given prices, whatever solver found them, evaluated in float64 and lowered by
more than its rounding. Nothing is a solver's claim.

References
----------
Dantzig-Wolfe reformulation; reduced-cost fixing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import DenseLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.losses import Sample
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.specification import Loss

__all__ = ["Enumerated", "applies", "enumerate_units"]

MOST_ENTRIES = 60_000_000
"""Units times samples up to which all units are laid out: half a gigabyte."""

MOST_UNITS = 4
"""Units of a network up to which their combinations are enumerated."""

SLICE = 256
"""First units between two looks at the clock."""

FIRST = 2000
"""Columns of the smallest slacks among which good networks are looked for first."""

ROUNDING = 1e-11
"""Relative to the terms that are added: more than sums of some hundred float64 numbers can be off by."""


@dataclass(frozen=True, eq=False)
class Enumerated:
    """What enumeration found.

    Parameters
    ----------
    values : Mapping or None
        The best network, None if none is better than what was known.
    objective : float
        Its objective in float64, or the one that was known.
    bound : float
        No network is better.
    complete : bool
        Whether every network was ruled out or looked at.
    """

    values: Mapping[int, LayerValues] | None
    objective: float
    bound: float
    complete: bool


@dataclass(frozen=True, eq=False)
class _Columns:
    """Every unit that may be worth its cost.

    Parameters
    ----------
    units : ndarray, shape (columns, inputs + 1)
        Weights and bias.
    outputs : ndarray, shape (columns,)
        The weight behind the unit.
    effects : ndarray, shape (columns, samples)
        What the unit adds to the output.
    costs : ndarray, shape (columns,)
    """

    units: FloatArray
    outputs: FloatArray
    effects: FloatArray
    costs: FloatArray


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Losses as maxima of lines of the output: ``loss_n >= slopes[n, j] * f_n + levels[n, j]``, and at least zero."""

    slopes: FloatArray
    levels: FloatArray


def _hinge(specification: LayeredSpecification, y: FloatArray) -> _Pieces:
    return _Pieces(-y[:, None], np.full((len(y), 1), specification.objective.margin))


def _two_sided(y: FloatArray, below: float, above: float, free: float) -> _Pieces:
    slopes = np.tile([above, -below], (len(y), 1))
    return _Pieces(slopes, np.column_stack([-above * (y + free), below * (y - free)]))


PIECES: Mapping[Loss, Callable[[LayeredSpecification, FloatArray], _Pieces]] = {
    Loss.HINGE: _hinge,
    Loss.L1: lambda s, y: _two_sided(y, 1.0, 1.0, 0.0),
    Loss.EPSILON_INSENSITIVE: lambda s, y: _two_sided(y, 1.0, 1.0, s.objective.epsilon),
    Loss.PINBALL: lambda s, y: _two_sided(y, s.objective.quantile, 1 - s.objective.quantile, 0.0),
}
"""Losses that are maxima of lines."""


def _layers(specification: LayeredSpecification) -> tuple[DenseLayer, DenseLayer] | None:
    layers = specification.architecture.layers
    if len(layers) != 3 or not isinstance(layers[1], ReluLayer):
        return None
    hidden, last = layers[0], layers[2]
    if not (isinstance(hidden, DenseLayer) and isinstance(last, DenseLayer)) or last.units != 1:
        return None
    return (hidden, last) if isinstance(hidden.weights, Quantised) and hidden.weights.has_zero else None


def applies(specification: LayeredSpecification, samples: int) -> bool:
    """Tell whether the units of a specification can be enumerated."""
    layers = _layers(specification)
    budget = specification.budget
    if layers is None or specification.goals != (Goal.OBJECTIVE,) or specification.objective.loss not in PIECES:
        return False
    if specification.counts_features or budget.nonzeros is not None or budget.units is not None:
        return False
    hidden, last = layers
    assert isinstance(hidden.weights, Quantised)
    assert isinstance(last.weights, Quantised)
    choices = len(hidden.weights.values)
    inputs = specification.architecture.input_shape[0] + hidden.bias
    entries = inputs * math.log(choices) + math.log(samples * len(last.weights.values))
    return entries < math.log(MOST_ENTRIES) and hidden.units <= MOST_UNITS


def _columns(specification: LayeredSpecification, x: FloatArray) -> _Columns:
    """Lay out all units that are not zero everywhere, the cheapest of those with equal effects."""
    layers = _layers(specification)
    assert layers is not None
    hidden = layers[0]
    weights: Any = hidden.weights
    grid = np.array(list(product(range(len(weights.values)), repeat=x.shape[1])), dtype=np.int8)
    units = weights.values[grid]
    biases = weights.values if hidden.bias else np.zeros(1)
    parts = []
    before = units @ x.T
    for bias in biases:
        active = np.maximum(before + bias, 0.0)
        used = active.any(axis=1)
        parts.append((np.column_stack([units[used], np.full(int(used.sum()), bias)]), active[used]))
    both = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    costs = _unit_costs(specification, both[0])
    order = np.argsort(costs, kind="stable")
    chosen = order[_first_of_equal(both[1][order])]
    outputs = np.asarray([v for v in _last_values(specification) if v])
    effects = (outputs[:, None, None] * both[1][chosen]).reshape(-1, x.shape[0])
    objective = specification.objective
    behind = objective.l0 + objective.l1 * np.abs(outputs) + specification.l2 * outputs**2
    return _Columns(
        np.tile(both[0][chosen], (len(outputs), 1)),
        np.repeat(outputs, len(chosen)),
        effects,
        (behind[:, None] + costs[chosen]).ravel(),
    )


def _last_values(specification: LayeredSpecification) -> FloatArray:
    layers = _layers(specification)
    assert layers is not None
    weights: Any = layers[1].weights
    return np.asarray(weights.values)


def _unit_costs(specification: LayeredSpecification, units: FloatArray) -> FloatArray:
    objective = specification.objective
    total = objective.l0 * np.count_nonzero(units[:, :-1], axis=1) + objective.l1 * np.abs(units).sum(axis=1)
    return np.asarray(total + specification.l2 * (units**2).sum(axis=1) + objective.unit_penalty)


def _first_of_equal(rows: FloatArray) -> IntArray:
    """Return the first of each class of equal rows, in order; equality is exact."""
    keys = rows @ np.random.default_rng(0).standard_normal(rows.shape[1])
    order = np.lexsort((np.arange(len(rows)), keys))
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
    return np.sort(order[~same])


@dataclass(frozen=True, eq=False)
class _Priced:
    """A bound and what each column adds to it."""

    bound: float
    slacks: FloatArray
    idle: float


def _price(
    columns: _Columns, pieces: _Pieces, weights: FloatArray, constant: float, units: int, running: Callable[[], bool]
) -> _Priced:
    """Solve the linear programme over columns and return the best bound of its rounds."""
    best = _Priced(-np.inf, np.zeros(len(columns.costs)), 0.0)
    chosen = np.zeros(0, dtype=np.int64)
    while True:
        duals = _dual(columns, chosen, pieces, weights, constant, units)
        priced = _bound_at(columns, pieces, weights, constant, units, duals)
        if priced.bound > best.bound:
            best = priced
        fresh = np.argsort(priced.slacks, kind="stable")[: 4 * len(weights) + 20]
        worth = priced.slacks - priced.idle
        fresh = fresh[(worth[fresh] < -1e-9)]
        added = np.setdiff1d(fresh, chosen)
        if not len(added) or not running():
            return best
        chosen = np.concatenate([chosen, added])


def _dual(
    columns: _Columns, chosen: IntArray, pieces: _Pieces, weights: FloatArray, constant: float, units: int
) -> FloatArray:
    """Return multipliers of the pieces, shape (samples, pieces), from the programme over the chosen columns."""
    from scipy.optimize import linprog

    count, lines = pieces.slopes.shape
    effects = columns.effects[chosen]
    rows, sides = [], []
    for j in range(lines):
        part = -(pieces.slopes[:, j] * effects).T
        rows.append(sp.hstack([sp.csr_array(-part), -sp.eye_array(count)]))
        sides.append(-(pieces.levels[:, j] + pieces.slopes[:, j] * constant))
    rows.append(sp.csr_array(np.concatenate([np.ones(len(chosen)), np.zeros(count)])[None]))
    answer = linprog(
        np.concatenate([columns.costs[chosen], weights]),
        A_ub=sp.vstack(rows, format="csr"),
        b_ub=np.concatenate([*sides, [float(units)]]),
        bounds=(0, None),
        method="highs",
    )
    if answer.status != 0:
        return np.zeros((count, lines))
    multipliers = np.maximum(-answer.ineqlin.marginals[:-1].reshape(lines, count).T, 0.0)
    # Sums above a sample's weight would not be dual feasible; scaling them down is.
    total = multipliers.sum(axis=1)
    return np.asarray(multipliers * np.where(total > weights, weights / np.maximum(total, 1e-300), 1.0)[:, None])


def _bound_at(
    columns: _Columns, pieces: _Pieces, weights: FloatArray, constant: float, units: int, multipliers: FloatArray
) -> _Priced:
    """Evaluate weak duality at any multipliers that are feasible."""
    multipliers = multipliers * (1 - 1e-14)
    prices = (multipliers * pieces.slopes).sum(axis=1)
    terms = multipliers * (pieces.levels + pieces.slopes * constant)
    reach = float(np.abs(multipliers * pieces.levels).sum() + np.abs(multipliers * pieces.slopes).sum() * abs(constant))
    reduced = columns.costs + columns.effects @ prices
    error = ROUNDING * (columns.costs + np.abs(columns.effects) @ np.abs(prices))
    reduced = reduced - error
    least = min(0.0, float(reduced.min(initial=0.0)))
    bound = float(terms.sum()) - ROUNDING * reach + units * least
    return _Priced(bound, reduced - least, -least)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _combine(
    effects: FloatArray,
    costs: FloatArray,
    slacks: FloatArray,
    slopes: FloatArray,
    levels: FloatArray,
    weights: FloatArray,
    units: int,
    bound: float,
    best: float,
    first: int,
    last: int,
    chosen: IntArray,
) -> float:  # pragma: no cover - compiled
    """Look at all sets of `units` columns whose first is among ``first:last``; columns are in the order of slacks."""
    count, lines = slopes.shape
    columns = len(costs)
    outputs = np.zeros((units + 1, count))
    totals = np.zeros(units + 1)
    used = np.zeros(units + 1)
    place = np.zeros(units, dtype=np.int64)
    level = 0
    place[0] = first
    while level >= 0:
        j = place[level]
        rest = units - level
        end = last if level == 0 else columns
        if j >= end or bound + used[level] + rest * slacks[j] >= best:
            level -= 1
            if level >= 0:
                place[level] += 1
            continue
        totals[level + 1] = totals[level] + costs[j]
        used[level + 1] = used[level] + slacks[j]
        if level + 1 < units:
            for n in range(count):
                outputs[level + 1, n] = outputs[level, n] + effects[j, n]
            level += 1
            place[level] = j
            continue
        value = totals[level + 1]
        for n in range(count):
            f = outputs[level, n] + effects[j, n]
            loss = 0.0
            for k in range(lines):
                piece = slopes[n, k] * f + levels[n, k]
                loss = max(loss, piece)
            value += weights[n] * loss
            if value >= best:
                break
        if value < best:
            best = value
            for k in range(units):
                chosen[k] = place[k]
        place[level] += 1
    return best


def enumerate_units(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    known: float,
    running: Callable[[], bool],
    on_progress: Callable[[float, float], None] = lambda objective, bound: None,
) -> Enumerated:
    """Find the best network of a specification to which `applies` applies.

    Parameters
    ----------
    specification : LayeredSpecification
    samples : Sample
    x : ndarray, shape (samples, inputs)
    known : float
        An objective that is known to be reached; only better networks are looked for.
    running : callable
        Tells whether to go on.
    on_progress : callable
        Called with the best objective and the bound.
    """
    layers = _layers(specification)
    assert layers is not None
    hidden, last = layers
    columns = _columns(specification, x)
    pieces = PIECES[specification.objective.loss](specification, samples.targets)
    constants = _last_values(specification) if last.bias else np.zeros(1)
    priced = [_price(columns, pieces, samples.weights, float(c), hidden.units, running) for c in constants]
    order = sorted(range(len(constants)), key=lambda k: priced[k].bound)
    best, values = known, None
    bounds = [priced[k].bound for k in order]
    for phase in (True, False):
        for place, k in enumerate(order):
            case = _Case(columns, pieces, samples.weights, float(constants[k]), hidden.units, priced[k])
            if priced[k].bound >= best:
                bounds[place] = max(bounds[place], best) if phase is False else bounds[place]
                continue
            found, value, reached = case.search(best, FIRST if phase else None, running)
            if found is not None:
                best = value
                values = _values(specification, columns, found, float(constants[k]))
            if not phase:
                bounds[place] = reached
            on_progress(best, min(bounds))
    bound = min(min(bounds), best)
    return Enumerated(values, best, bound, bound >= best)


@dataclass(frozen=True, eq=False)
class _Case:
    """The networks of one constant."""

    columns: _Columns
    pieces: _Pieces
    weights: FloatArray
    constant: float
    units: int
    priced: _Priced

    def search(
        self, best: float, most: int | None, running: Callable[[], bool]
    ) -> tuple[IntArray | None, float, float]:
        """Look for networks below `best`; a column of -1 is no unit.

        Returns
        -------
        columns : ndarray of int or None
        objective, bound : float
            Of the best network, and of what was not looked at.
        """
        slacks = np.append(self.priced.slacks, self.priced.idle)
        order = np.argsort(slacks, kind="stable")
        order = order[self.priced.bound + slacks[order] < best][:most]
        idle = len(slacks) - 1
        effects = np.vstack([self.columns.effects[order[order != idle]], np.zeros((1, len(self.weights)))])
        place = np.cumsum(order != idle) - 1
        place[order == idle] = len(effects) - 1
        effects = np.ascontiguousarray(effects[place])
        costs = np.append(self.columns.costs, 0.0)[order]
        levels = self.pieces.levels + self.pieces.slopes * self.constant
        chosen = np.full(self.units, -1)
        found = None
        for first in range(0, len(order), SLICE):
            if self.priced.bound + self.units * slacks[order[first]] >= best:
                break
            if not running():
                return found, best, min(best, self.priced.bound + self.units * float(slacks[order[first]]))
            value = _combine(
                effects, costs, slacks[order], self.pieces.slopes, levels, self.weights, self.units,
                self.priced.bound, best, first, min(first + SLICE, len(order)), chosen,
            )  # fmt: skip
            if value < best:
                best, found = value, np.where(order[chosen] == idle, -1, order[chosen])
        return found, best, best


def _values(
    specification: LayeredSpecification, columns: _Columns, found: IntArray, constant: float
) -> dict[int, LayerValues]:
    units, inputs = len(found), columns.units.shape[1] - 1
    weights, biases, outputs = np.zeros((units, inputs)), np.zeros(units), np.zeros((1, units))
    for k, j in enumerate(found):
        if j >= 0:
            weights[k], biases[k], outputs[0, k] = columns.units[j, :-1], columns.units[j, -1], columns.outputs[j]
    return {0: LayerValues(weights, biases), 2: LayerValues(outputs, np.array([constant]))}
