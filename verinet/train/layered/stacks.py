"""Two hidden layers of quantised weights, by enumeration of the first layer's units and of networks behind them.

On the samples the first layer has few different units. Each set of them is an input of the second layer, whose units
are then few as well. Prices from some of the sets bound the networks behind every set, and give each second unit a
slack; sets are looked at in the order of their bounds, and behind a set networks in the order of slacks.

Soundness: the bound of a set is weak duality at the given prices, lowered by more than its rounding; see `pricing`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product
from typing import Any

import numba
import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import Architecture, DenseLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.combining import combine
from verinet.train.layered.enumeration import Enumerated
from verinet.train.layered.losses import Sample
from verinet.train.layered.pricing import PIECES, ROUNDING, Pieces, Priced, Pricing
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.layered.units import Units, can_lay_out, lay_out, unit_costs

__all__ = ["applies_to_stack", "enumerate_stack"]

MOST_SETS = 3_000_000
"""Sets of first units up to which all are listed."""

MOST_COLUMNS = 1000
"""Second units and their reads behind one set."""

MOST_PLACES = 2
"""Units of the second layer up to which their combinations are enumerated."""

PRICED = 4000
"""Sets from which prices are made."""

SLICE = 2000
"""Sets whose networks are looked at between two looks at the clock."""

BOUNDED = 20_000
"""Sets that are bounded between two looks at the clock."""


def _layers(architecture: Architecture) -> tuple[DenseLayer, DenseLayer, DenseLayer] | None:
    kinds = tuple(type(layer) for layer in architecture.layers)
    if kinds != (DenseLayer, ReluLayer, DenseLayer, ReluLayer, DenseLayer) or architecture.outputs != 1:
        return None
    dense: Any = architecture.layers[::2]
    return dense if all(isinstance(w.weights, Quantised) and w.weights.has_zero for w in dense) else None


def _front(specification: LayeredSpecification) -> LayeredSpecification:
    """Return the specification of the first layer with outputs right behind it."""
    architecture = specification.architecture
    layers = (*architecture.layers[:2], DenseLayer(1))
    return replace(specification, architecture=Architecture(architecture.input_shape, layers))


def applies_to_stack(specification: LayeredSpecification, samples: int) -> bool:
    """Tell whether the networks of a specification can be enumerated behind sets of first units."""
    layers, budget = _layers(specification.architecture), specification.budget
    if layers is None or specification.goals != (Goal.OBJECTIVE,) or specification.objective.loss not in PIECES:
        return False
    if specification.counts_features or budget.nonzeros is not None or budget.units is not None:
        return False
    first, second, _ = layers
    if second.units > MOST_PLACES or not can_lay_out(_front(specification).architecture, samples):
        return False
    choices = [len(layer.weights.values) for layer in layers]  # type: ignore[union-attr]
    units = choices[0] ** (specification.architecture.input_shape[0] + first.bias)
    columns = choices[1] ** (first.units + second.bias) * choices[2]
    return math.comb(units + first.units, first.units) <= MOST_SETS and columns <= MOST_COLUMNS


@dataclass(frozen=True, eq=False)
class _Second:
    """All units of the second layer, whatever they read.

    Parameters
    ----------
    weights : ndarray, shape (units, first units + 1)
        Weights and bias.
    costs : ndarray, shape (units,)
    reads, read_costs : ndarray, shape (values,)
        Weights of the last layer but zero.
    constants : ndarray
    """

    weights: FloatArray
    costs: FloatArray
    reads: FloatArray
    read_costs: FloatArray
    constants: FloatArray


def _second(specification: LayeredSpecification) -> _Second:
    layers: Any = _layers(specification.architecture)
    first, second, last = layers
    values = second.weights.values
    choices = [values] * first.units + [values if second.bias else np.zeros(1)]
    weights = np.array(list(product(*choices)))
    objective, reads = specification.objective, last.weights.values[last.weights.values != 0]
    read_costs = objective.l0 + objective.l1 * np.abs(reads) + specification.l2 * reads**2
    constants = last.weights.values if last.bias else np.zeros(1)
    return _Second(weights, unit_costs(specification, weights), reads, read_costs, constants)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _activate(
    features: FloatArray, members: IntArray, weights: FloatArray, active: FloatArray
) -> bool:  # pragma: no cover - compiled
    """Write what a second unit makes of a set of first units; tell whether it is active anywhere."""
    samples = features.shape[1]
    for n in range(samples):
        active[n] = weights[len(members)]
    for k in range(len(members)):
        weight, row = weights[k], members[k]
        if weight != 0.0:
            for n in range(samples):
                active[n] += weight * features[row, n]
    some = False
    for n in range(samples):
        some |= active[n] > 0.0
        active[n] = max(active[n], 0.0)
    return some


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bounds(
    features: FloatArray,
    first_costs: FloatArray,
    sets: IntArray,
    weights: FloatArray,
    costs: FloatArray,
    reads: FloatArray,
    read_costs: FloatArray,
    prices: FloatArray,
    errors: FloatArray,
    levels: FloatArray,
    places: int,
    results: FloatArray,
) -> None:  # pragma: no cover - compiled
    """Bound the networks behind each set, for each row of prices."""
    samples = features.shape[1]
    active = np.zeros(samples)
    least = np.zeros(len(prices))
    for s in range(len(sets)):
        least[:] = 0.0
        for unit in range(len(weights)):
            if not _activate(features, sets[s], weights[unit], active):
                continue
            for k in range(len(prices)):
                worth = 0.0
                for n in range(samples):
                    worth += prices[k, n] * active[n]
                for value in range(len(reads)):
                    reduced = costs[unit] + read_costs[value] + reads[value] * worth - errors[k]
                    least[k] = min(least[k], reduced)
        own = 0.0
        for member in sets[s]:
            own += first_costs[member]
        for k in range(len(prices)):
            results[k, s] = levels[k] + own + places * least[k] - errors[k]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _columns(
    features: FloatArray,
    members: IntArray,
    weights: FloatArray,
    costs: FloatArray,
    reads: FloatArray,
    read_costs: FloatArray,
    prices: FloatArray,
    error: float,
    effects: FloatArray,
    reduced: FloatArray,
    column_costs: FloatArray,
    numbers: IntArray,
) -> int:  # pragma: no cover - compiled
    """Write the columns behind a set of first units and their reduced costs, lowered by an error; return how many."""
    samples = features.shape[1]
    count = 0
    active = np.zeros(samples)
    for unit in range(len(weights)):
        if not _activate(features, members, weights[unit], active):
            continue
        worth = 0.0
        for n in range(samples):
            worth += prices[n] * active[n]
        for value in range(len(reads)):
            column_costs[count] = costs[unit] + read_costs[value]
            reduced[count] = column_costs[count] + reads[value] * worth - error
            for n in range(samples):
                effects[count, n] = reads[value] * active[n]
            numbers[count] = unit * len(reads) + value
            count += 1
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _look(
    features: FloatArray,
    first_costs: FloatArray,
    sets: IntArray,
    weights: FloatArray,
    costs: FloatArray,
    reads: FloatArray,
    read_costs: FloatArray,
    prices: FloatArray,
    error: float,
    level: float,
    slopes: FloatArray,
    levels: FloatArray,
    places: int,
    best: float,
    found: IntArray,
) -> float:  # pragma: no cover - compiled
    """Look at all networks behind some sets; `found` gets the set and the columns of the best one."""
    most = len(weights) * len(reads)
    effects = np.zeros((most + 1, features.shape[1]))
    reduced, column_costs, numbers = np.zeros(most + 1), np.zeros(most + 1), np.zeros(most + 1, dtype=np.int64)
    chosen = np.zeros(places, dtype=np.int64)
    for s in range(len(sets)):
        count = _columns(
            features, sets[s], weights, costs, reads, read_costs, prices, error, effects, reduced, column_costs, numbers
        )
        own = 0.0
        for k in sets[s]:
            own += first_costs[k]
        # A place without a unit.
        for n in range(effects.shape[1]):
            effects[count, n] = 0.0
        reduced[count] = column_costs[count] = 0.0
        numbers[count] = -1
        least = reduced[: count + 1].min()
        bound = level + places * least - error
        slacks = reduced[: count + 1] - least
        kept = np.flatnonzero(slacks < best - own - bound)
        kept = kept[np.argsort(slacks[kept], kind="mergesort")]
        if len(kept) == 0:
            continue
        value = combine(
            effects[kept], column_costs[kept], slacks[kept], slopes, levels, places, bound, best - own, 0, len(kept),
            chosen,
        )  # fmt: skip
        if value < best - own:
            best = own + value
            found[0] = s
            for k in range(places):
                found[k + 1] = numbers[kept[chosen[k]]]
    return best


@dataclass(frozen=True, eq=False)
class _Case:
    """The networks of one constant."""

    features: FloatArray
    first_costs: FloatArray
    second: _Second
    pieces: Pieces
    sample_weights: FloatArray
    constant: float
    places: int
    priced: Priced

    @property
    def error(self) -> float:
        """More than the rounding of a reduced cost or of the level."""
        second = self.second
        reach = np.abs(second.weights).sum(axis=1).max() * max(1.0, float(self.features.max(initial=0.0)))
        size = second.costs.max() + second.read_costs.max() + self.first_costs.max(initial=0.0) + abs(self.priced.level)
        return ROUNDING * float(1 + size + np.abs(second.reads).max() * reach * self.priced.strength)

    def look(self, sets: IntArray, best: float) -> tuple[float, IntArray]:
        """Return the best objective behind some sets, and the place of its set and its columns, -1 for none."""
        second, found = self.second, np.full(self.places + 1, -1)
        slopes = np.ascontiguousarray(self.sample_weights * self.pieces.slopes.T)
        levels = np.ascontiguousarray(self.sample_weights * self.pieces.levels.T + slopes * self.constant)
        best = _look(
            self.features, self.first_costs, sets, second.weights, second.costs, second.reads, second.read_costs,
            self.priced.prices, self.error, self.priced.level, slopes, levels, self.places, best, found,
        )  # fmt: skip
        return best, found


def _bound_sets(cases: list[_Case], sets: IntArray, running: Callable[[], bool]) -> FloatArray:
    """Bound the networks behind each set, one row for each case; zero where the time does not allow more."""
    case, results = cases[0], np.zeros((len(cases), len(sets)))
    second, part = case.second, np.zeros((len(cases), BOUNDED))
    prices = np.array([c.priced.prices for c in cases])
    errors, levels = np.array([c.error for c in cases]), np.array([c.priced.level for c in cases])
    for start in range(0, len(sets), BOUNDED):
        if not running():
            break
        some = sets[start : start + BOUNDED]
        _bounds(
            case.features, case.first_costs, some, second.weights, second.costs, second.reads, second.read_costs,
            prices, errors, levels, case.places, part,
        )  # fmt: skip
        results[:, start : start + BOUNDED] = part[:, : len(some)]
    return results


def enumerate_stack(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    known: float,
    running: Callable[[], bool],
    on_progress: Callable[[float, float], None] = lambda objective, bound: None,
) -> Enumerated:
    """Find the best network of a specification to which `applies_to_stack` applies.

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
    front = lay_out(_front(specification), x)
    second = _second(specification)
    layers: Any = _layers(specification.architecture)
    places = layers[1].units
    # The last first unit is none.
    features = np.vstack([front.features[:, 0], np.zeros((1, len(x)))])
    first_costs = np.append(front.costs, 0.0)
    sets = np.array(list(combinations_with_replacement(range(len(features)), layers[0].units)))
    pieces = PIECES[specification.objective.loss](specification, samples.targets)
    pricing = _pricing(features, first_costs, sets, second, pieces, samples.weights, places)
    priced = [(float(c), pricing.price(float(c), running)) for c in second.constants]
    cases = [_Case(features, first_costs, second, pieces, samples.weights, c, places, p) for c, p in priced]
    best, values = known, None
    bounds = _bound_sets(cases, sets, running)
    orders = [np.argsort(own, kind="stable") for own in bounds]
    least = [own[order[0]] if len(own) else best for own, order in zip(bounds, orders, strict=True)]
    for start in range(0, len(sets), SLICE):
        for k, case in enumerate(cases):
            order = orders[k][start : start + SLICE]
            least[k] = bounds[k][order[0]]
            if least[k] >= best:
                continue
            if not running():
                break
            reached, found = case.look(sets[order], best)
            if found[0] >= 0:
                best = reached
                values = _values(specification, front, second, sets[order[found[0]]], found[1:], case.constant)
            least[k] = bounds[k][orders[k][start + SLICE]] if start + SLICE < len(sets) else best
        bound = min(best, *least)
        on_progress(best, bound)
        if bound >= best or not running():
            break
    return Enumerated(values, best, bound - ROUNDING * (1 + abs(best)), bound >= best)


def _pricing(
    features: FloatArray,
    first_costs: FloatArray,
    sets: IntArray,
    second: _Second,
    pieces: Pieces,
    sample_weights: FloatArray,
    places: int,
) -> Pricing:
    """Return the programme over the second units behind some sets; each place bears its share of the set's costs."""
    some = sets[np.sort(np.random.default_rng(0).permutation(len(sets))[:PRICED])]
    before = np.einsum("uk,skn->sun", second.weights[:, :-1], features[some]) + second.weights[:, -1:]
    costs = first_costs[some].sum(axis=1)[:, None] / places + second.costs
    samples = features.shape[1]
    units = Units(
        np.tile(second.weights, (len(some), 1)),
        np.maximum(before, 0.0).reshape(-1, 1, samples),
        costs.ravel(),
        np.append(second.reads, 0.0),
        np.append(second.read_costs, 0.0),
        second.constants,
    )
    return Pricing(units, places, pieces, sample_weights)


def _values(
    specification: LayeredSpecification,
    front: Units,
    second: _Second,
    members: IntArray,
    columns: IntArray,
    constant: float,
) -> Mapping[int, LayerValues]:
    """Return the weights of a network; the last first unit and column -1 are none."""
    none = np.zeros((1, front.weights.shape[1]))
    first = np.vstack([front.weights, none])[members]
    used = (columns >= 0)[:, None]
    own = np.where(used, second.weights[columns // len(second.reads)], 0.0)
    read = np.where(used[:, 0], second.reads[columns % len(second.reads)], 0.0)
    return {
        0: LayerValues(first[:, :-1], first[:, -1]),
        2: LayerValues(own[:, :-1], own[:, -1]),
        4: LayerValues(read[None], np.array([constant])),
    }
