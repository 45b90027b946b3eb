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
from typing import Any, NamedTuple

import numpy as np

from verinet.compiling import jit
from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import Architecture, DenseLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.combining import combine
from verinet.train.layered.enumeration import Enumerated, Enumeration, is_enumerable
from verinet.train.layered.pricing import PIECES, ROUNDING, Pieces, Priced, Pricing
from verinet.train.layered.specification import LayeredSpecification
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
    layers = _layers(specification.architecture)
    if layers is None or not is_enumerable(specification):
        return False
    first, second, _ = layers
    if second.units > MOST_PLACES or not can_lay_out(_front(specification).architecture, samples):
        return False
    weights: list[Any] = [layer.weights for layer in layers]
    choices = [len(each.values) for each in weights]
    units = choices[0] ** (specification.architecture.input_shape[0] + first.bias)
    columns = choices[1] ** (first.units + second.bias) * choices[2]
    return math.comb(units + first.units, first.units) <= MOST_SETS and columns <= MOST_COLUMNS


class Stack(NamedTuple):
    """The units of both hidden layers, as kernels take them.

    Parameters
    ----------
    features : ndarray, shape (first units, samples)
        The last one is none: zero.
    first_costs : ndarray, shape (first units,)
    weights : ndarray, shape (second units, first units of a network + 1)
        Weights and bias, whatever they read.
    costs : ndarray, shape (second units,)
    reads, read_costs : ndarray, shape (values,)
        Weights of the last layer but zero.
    """

    features: FloatArray
    first_costs: FloatArray
    weights: FloatArray
    costs: FloatArray
    reads: FloatArray
    read_costs: FloatArray


def _stack(specification: LayeredSpecification, front: Units) -> Stack:
    layers: Any = _layers(specification.architecture)
    first, second, last = layers
    values = second.weights.values
    choices = [values] * first.units + [values if second.bias else np.zeros(1)]
    weights = np.array(list(product(*choices)))
    objective, reads = specification.objective, last.weights.values[last.weights.values != 0]
    read_costs = objective.l0 + objective.l1 * np.abs(reads) + specification.l2 * reads**2
    features = np.vstack([front.features[:, 0], np.zeros((1, front.features.shape[2]))])
    return Stack(features, np.append(front.costs, 0.0), weights, unit_costs(specification, weights), reads, read_costs)


@jit
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


@jit
def bound_sets(
    stack: Stack,
    sets: IntArray,
    prices: FloatArray,
    errors: FloatArray,
    levels: FloatArray,
    places: int,
    results: FloatArray,
) -> None:  # pragma: no cover - compiled
    """Bound the networks behind each set, for each row of prices."""
    samples = stack.features.shape[1]
    active = np.zeros(samples)
    least = np.zeros(len(prices))
    for s in range(len(sets)):
        least[:] = 0.0
        for unit in range(len(stack.weights)):
            if not _activate(stack.features, sets[s], stack.weights[unit], active):
                continue
            for k in range(len(prices)):
                worth = 0.0
                for n in range(samples):
                    worth += prices[k, n] * active[n]
                for value in range(len(stack.reads)):
                    reduced = stack.costs[unit] + stack.read_costs[value] + stack.reads[value] * worth
                    least[k] = min(least[k], reduced - errors[k])
        own = 0.0
        for member in sets[s]:
            own += stack.first_costs[member]
        for k in range(len(prices)):
            results[k, s] = levels[k] + own + places * least[k] - errors[k]


@jit
def _columns(
    stack: Stack,
    members: IntArray,
    prices: FloatArray,
    error: float,
    effects: FloatArray,
    reduced: FloatArray,
    column_costs: FloatArray,
    numbers: IntArray,
) -> int:  # pragma: no cover - compiled
    """Write the columns behind a set of first units and their reduced costs, lowered by an error; return how many."""
    samples = stack.features.shape[1]
    count = 0
    active = np.zeros(samples)
    for unit in range(len(stack.weights)):
        if not _activate(stack.features, members, stack.weights[unit], active):
            continue
        worth = 0.0
        for n in range(samples):
            worth += prices[n] * active[n]
        for value in range(len(stack.reads)):
            column_costs[count] = stack.costs[unit] + stack.read_costs[value]
            reduced[count] = column_costs[count] + stack.reads[value] * worth - error
            for n in range(samples):
                effects[count, n] = stack.reads[value] * active[n]
            numbers[count] = unit * len(stack.reads) + value
            count += 1
    return count


@jit
def look_behind(
    stack: Stack,
    sets: IntArray,
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
    most = len(stack.weights) * len(stack.reads)
    effects = np.zeros((most + 1, stack.features.shape[1]))
    reduced, column_costs, numbers = np.zeros(most + 1), np.zeros(most + 1), np.zeros(most + 1, dtype=np.int64)
    chosen = np.zeros(places, dtype=np.int64)
    for s in range(len(sets)):
        count = _columns(stack, sets[s], prices, error, effects, reduced, column_costs, numbers)
        own = 0.0
        for k in sets[s]:
            own += stack.first_costs[k]
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

    stack: Stack
    pieces: Pieces
    sample_weights: FloatArray
    constant: float
    places: int
    priced: Priced

    @property
    def error(self) -> float:
        """More than the rounding of a reduced cost or of the level."""
        stack = self.stack
        reach = np.abs(stack.weights).sum(axis=1).max() * max(1.0, float(stack.features.max(initial=0.0)))
        size = stack.costs.max() + stack.read_costs.max() + stack.first_costs.max(initial=0.0) + abs(self.priced.level)
        return ROUNDING * float(1 + size + np.abs(stack.reads).max() * reach * self.priced.strength)

    def look(self, sets: IntArray, best: float) -> tuple[float, IntArray]:
        """Return the best objective behind some sets, and the place of its set and its columns, -1 for none."""
        found = np.full(self.places + 1, -1)
        slopes = np.ascontiguousarray(self.sample_weights * self.pieces.slopes.T)
        levels = np.ascontiguousarray(self.sample_weights * self.pieces.levels.T + slopes * self.constant)
        priced = self.priced
        best = look_behind(
            self.stack, sets, priced.prices, self.error, priced.level, slopes, levels, self.places, best, found
        )
        return best, found


def _all_bounds(cases: list[_Case], sets: IntArray, running: Callable[[], bool]) -> FloatArray:
    """Bound the networks behind each set, one row for each case; zero where the time does not allow more."""
    results, part = np.zeros((len(cases), len(sets))), np.zeros((len(cases), BOUNDED))
    prices = np.array([c.priced.prices for c in cases])
    errors, levels = np.array([c.error for c in cases]), np.array([c.priced.level for c in cases])
    for start in range(0, len(sets), BOUNDED):
        if not running():
            break
        some = sets[start : start + BOUNDED]
        bound_sets(cases[0].stack, some, prices, errors, levels, cases[0].places, part)
        results[:, start : start + BOUNDED] = part[:, : len(some)]
    return results


def enumerate_stack(task: Enumeration) -> Enumerated:
    """Find the best network of a specification to which `applies_to_stack` applies."""
    specification, running = task.specification, task.running
    front = lay_out(_front(specification), task.x)
    stack = _stack(specification, front)
    layers: Any = _layers(specification.architecture)
    places = layers[1].units
    constants = layers[2].weights.values if layers[2].bias else np.zeros(1)
    sets = np.array(list(combinations_with_replacement(range(len(stack.features)), layers[0].units)))
    pieces = PIECES[specification.objective.loss](specification, task.samples.targets)
    pricing = _pricing(stack, sets, constants, pieces, task.samples.weights, places)
    priced = [(float(c), pricing.price(float(c), running)) for c in constants]
    cases = [_Case(stack, pieces, task.samples.weights, c, places, p) for c, p in priced]
    best, values = task.known, None
    bounds = _all_bounds(cases, sets, running)
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
                values = _values(front, stack, sets[order[found[0]]], found[1:], case.constant)
            least[k] = bounds[k][orders[k][start + SLICE]] if start + SLICE < len(sets) else best
        bound = min(best, *least)
        task.on_progress(best, bound)
        if bound >= best or not running():
            break
    return Enumerated(values, best, bound - ROUNDING * (1 + abs(best)), bound >= best)


def _pricing(
    stack: Stack,
    sets: IntArray,
    constants: FloatArray,
    pieces: Pieces,
    sample_weights: FloatArray,
    places: int,
) -> Pricing:
    """Return the programme over the second units behind some sets; each place bears its share of the set's costs."""
    some = sets[np.sort(np.random.default_rng(0).permutation(len(sets))[:PRICED])]
    before = np.einsum("uk,skn->sun", stack.weights[:, :-1], stack.features[some]) + stack.weights[:, -1:]
    costs = stack.first_costs[some].sum(axis=1)[:, None] / places + stack.costs
    samples = stack.features.shape[1]
    units = Units(
        np.tile(stack.weights, (len(some), 1)),
        np.maximum(before, 0.0).reshape(-1, 1, samples),
        costs.ravel(),
        np.append(stack.reads, 0.0),
        np.append(stack.read_costs, 0.0),
        constants,
    )
    return Pricing(units, places, pieces, sample_weights)


def _values(
    front: Units,
    stack: Stack,
    members: IntArray,
    columns: IntArray,
    constant: float,
) -> Mapping[int, LayerValues]:
    """Return the weights of a network; the last first unit and column -1 are none."""
    none = np.zeros((1, front.weights.shape[1]))
    first = np.vstack([front.weights, none])[members]
    used = (columns >= 0)[:, None]
    own = np.where(used, stack.weights[columns // len(stack.reads)], 0.0)
    read = np.where(used[:, 0], stack.reads[columns % len(stack.reads)], 0.0)
    return {
        0: LayerValues(first[:, :-1], first[:, -1]),
        2: LayerValues(own[:, :-1], own[:, -1]),
        4: LayerValues(read[None], np.array([constant])),
    }
