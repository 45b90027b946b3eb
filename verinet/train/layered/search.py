"""Local search over quantised weights: the best single change, unit by unit, from many starts.

All changes of one unit are evaluated in one batch: only that unit's pre-activations differ, and what follows is the
same layers over more rows.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from verinet.numeric import FloatArray
from verinet.train.layered.architecture import (
    Architecture,
    Continuous,
    ConvolutionLayer,
    GatedLayer,
    LayerValues,
    Quantised,
)
from verinet.train.layered.demands import LayeredDemands
from verinet.train.layered.forward import activations, outputs_of
from verinet.train.layered.losses import Sample, is_error, margin_values, sample_losses
from verinet.train.layered.scoring import feasible, goals_of
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.specification import Loss

__all__ = ["Found", "priced_specifications", "search"]

BATCH_ENTRIES = 4_000_000
"""Numbers in one batch of changed pre-activations."""

GRID = 4
"""Steps from zero to the bound of continuous weights, which the search takes from a grid."""

KICKED = 3
"""Weights that change at random before a descent begins anew."""

EMPHASIS = 1.5
"""By what an error counts more in the guide after each descent that leaves it."""

PRICED = ((3.0, 3e-3), (1.0, 3e-3), (3.0, 1e-2))
"""Margins and prices of non-zeros, in margins, by which networks of few errors and non-zeros are looked for."""

STALE = 12
"""Kicks without success before the search begins from scratch."""


@dataclass(frozen=True, eq=False)
class Found:
    """Weights and what they reach.

    Parameters
    ----------
    values : Mapping
    goals : tuple of float
        In the specification's order.
    """

    values: Mapping[int, LayerValues]
    goals: tuple[float, ...]


def _choices(weights: Quantised | Continuous) -> FloatArray:
    if isinstance(weights, Quantised):
        return weights.values
    return np.asarray(weights.bound / GRID * np.arange(-GRID, GRID + 1))


class _Landscape:
    """What the search looks at: goals, then a smooth guide where goals stand still."""

    def __init__(
        self, specification: LayeredSpecification, samples: Sample, x: FloatArray, demands: LayeredDemands
    ) -> None:
        self.spec, self.samples, self.x, self.demands = specification, samples, x, demands
        self.architecture = specification.architecture
        self.emphasis = np.ones(len(samples.targets))

    def score(self, values: Mapping[int, LayerValues], outputs: FloatArray, guided: bool = False) -> tuple[float, ...]:
        """Return the goals and the guide, or the guide alone; infinite outside the budgets, and beside the demands."""
        if not feasible(self.spec, values):
            return (np.inf,)
        excess = self.excess(values)
        if excess > 0:
            return (np.inf, excess) if guided else (*(np.inf for _ in self.spec.goals), excess)
        if guided:
            return (self._guide(outputs),)
        goals = goals_of(self.spec, self.samples, values, outputs)
        return (*(round(g, 12) for g in goals), self._guide(outputs))

    def excess(self, values: Mapping[int, LayerValues]) -> float:
        """Return by how much demands are missed."""
        return self.demands.excess(self.architecture, values)

    def _guide(self, outputs: FloatArray) -> float:
        return float(self.guides(outputs[None])[0])

    def floors(self, outputs: FloatArray) -> FloatArray:
        """Return for several outputs what the first goal is at least: the loss or the errors, without penalties."""
        several, count = outputs.shape[:2]
        goal = self.spec.goals[0]
        if goal not in (Goal.OBJECTIVE, Goal.ERRORS):
            return np.full(several, -np.inf)
        wide = replace(self.samples, targets=np.tile(self.samples.targets, several))
        flat = outputs.reshape(several * count, -1)
        if goal is Goal.OBJECTIVE:
            losses = sample_losses(self.spec, wide, flat)
        else:
            losses = is_error(self.spec.objective, margin_values(wide, flat)).astype(np.float64)
        return np.asarray(losses.reshape(several, count) @ self.samples.weights)

    def guides(self, outputs: FloatArray) -> FloatArray:
        """Return the guide of several outputs, shape (several, samples, outputs): the mean hinge loss of classes."""
        if not self.spec.classifies:
            return np.zeros(len(outputs))
        several, count = outputs.shape[:2]
        wide = replace(self.samples, targets=np.tile(self.samples.targets, several))
        margins = margin_values(wide, outputs.reshape(several * count, -1)).reshape(several, count)
        short = np.maximum(self.spec.objective.margin - margins, 0.0)
        return np.asarray(short @ (self.samples.weights * self.emphasis))

    def emphasise(self, outputs: FloatArray) -> None:
        """Let samples that are still errors count more in the guide, as clause weights do in satisfiability."""
        if self.spec.classifies:
            self.emphasis[margin_values(self.samples, outputs) < self.spec.objective.margin] *= EMPHASIS


def _patches(architecture: Architecture, position: int, x: FloatArray) -> FloatArray:
    """Return what each weight of a unit meets, shape (fan in, samples, positions)."""
    layer = architecture.layers[position]
    if not isinstance(layer, ConvolutionLayer):
        return x.T[:, :, None]
    linear: Any = architecture.linear_map(position, np.zeros(architecture.kernel_shape(position)))
    padded = np.column_stack([x, np.zeros(len(x))])
    return np.moveaxis(padded[:, linear.patches], 2, 0)


def _changed(values: Mapping[int, LayerValues], position: int, unit: int, place: int, value: float) -> dict[int, Any]:
    """Return the weights with one of them changed; the place behind the last weight of a unit is its bias."""
    own = values[position]
    weights, biases = own.weights.copy(), own.biases.copy()
    flat = weights.reshape(len(weights), -1)
    if place < flat.shape[1]:
        flat[unit, place] = value
    else:
        biases[unit] = value
    return {**values, position: LayerValues(weights, biases, own.gate)}


@dataclass(frozen=True, eq=False)
class _Moves:
    """Changes of one weight each of a unit, and the outputs that they lead to.

    Parameters
    ----------
    position, unit : int
    places : ndarray of int, shape (moves,)
    options : ndarray, shape (moves,)
        The new values.
    outputs : ndarray, shape (moves, samples, outputs)
    """

    position: int
    unit: int
    places: Any
    options: FloatArray
    outputs: FloatArray

    def made(self, values: Mapping[int, LayerValues], number: int) -> dict[int, LayerValues]:
        """Return the weights after a move."""
        place, option = int(self.places[number]), float(self.options[number])
        return _changed(values, self.position, self.unit, place, option)


def _moves(landscape: _Landscape, values: Mapping[int, LayerValues], position: int, unit: int) -> Iterator[_Moves]:
    """Yield every change of one weight of a unit, some at a time."""
    architecture = landscape.architecture
    layer: Any = architecture.layers[position]
    own = values[position]
    inputs = activations(architecture, landscape.x, values)[position]
    linear = architecture.linear_map(position, own.weights)
    units = len(own.biases)
    before = linear.apply(inputs) + np.repeat(own.biases, linear.size_out // units)
    patches = _patches(architecture, position, inputs)
    if layer.bias:
        patches = np.concatenate([patches, np.ones((1, *patches.shape[1:]))])
    current = np.append(own.weights.reshape(units, -1)[unit], own.biases[unit])[: len(patches)]
    choices = _choices(layer.weights)
    places, options = (a.ravel() for a in np.meshgrid(np.arange(len(patches)), choices, indexing="ij"))
    kept = options != current[places]
    places, options = places[kept], options[kept]
    rows = max(1, BATCH_ENTRIES // before.size)
    for start in range(0, len(places), rows):
        place, option = places[start : start + rows], options[start : start + rows]
        batch = np.repeat(before[None], len(place), axis=0)
        view = batch.reshape(len(place), len(before), units, -1)
        view[:, :, unit] += (option - current[place])[:, None, None] * patches[place]
        flat = batch.reshape(-1, before.shape[1])
        after = np.maximum(flat, 0.0) if isinstance(layer, GatedLayer) else flat
        outputs = outputs_of(architecture, after, values, position + 1).reshape(len(place), len(before), -1)
        yield _Moves(position, unit, place, option, outputs)


def _gate_moves(landscape: _Landscape, values: Mapping[int, LayerValues], position: int) -> Iterator[Any]:
    """Yield the gate switched: off without weights, on with those it has."""
    own, layer = values[position], landscape.architecture.layers[position]
    if not isinstance(layer, GatedLayer):
        return
    zero = layer.weights.has_zero
    blank = LayerValues(np.zeros_like(own.weights), np.zeros_like(own.biases), False)
    switched = (blank if zero else replace(own, gate=False)) if own.gate else replace(own, gate=True)
    other = {**values, position: switched}
    yield other, outputs_of(landscape.architecture, landscape.x, other)


def _best_change(
    landscape: _Landscape,
    values: Mapping[int, LayerValues],
    position: int,
    unit: int,
    guided: bool,
    score_now: float,
) -> tuple[tuple[float, ...], Mapping[int, LayerValues]] | None:
    """Return the best change of a unit's weights or gate, with its score; none that is surely worse than now."""
    best: tuple[tuple[float, ...], Mapping[int, LayerValues]] | None = None
    for other, outputs in _gate_moves(landscape, values, position):
        best = landscape.score(other, outputs, guided), other
    if not values[position].gate:
        return best
    for moves in _moves(landscape, values, position, unit):
        floors = landscape.guides(moves.outputs) if guided else landscape.floors(moves.outputs)
        for number in np.argsort(floors, kind="stable"):
            if floors[number] > (score_now if best is None else min(score_now, best[0][0])) + 1e-12:
                break
            other = moves.made(values, int(number))
            score = landscape.score(other, moves.outputs[number], guided)
            if best is None or score < best[0]:
                best = score, other
    return best


def _descend(
    landscape: _Landscape,
    values: Mapping[int, LayerValues],
    rng: np.random.Generator,
    running: Callable[[], bool],
    guided: bool = False,
) -> tuple[Mapping[int, LayerValues], tuple[float, ...]]:
    """Take the best change of each unit in turn until none helps."""
    architecture = landscape.architecture
    score = landscape.score(values, outputs_of(architecture, landscape.x, values), guided)
    places = [(p, k) for p in architecture.weighted for k in range(len(values[p].biases))]
    stale = 0
    while stale < len(places):
        stale = 0
        for index in rng.permutation(len(places)):
            if not running():
                return values, score
            position, unit = places[index]
            found = _best_change(landscape, values, position, unit, guided, score[0])
            if found is not None and found[0] < score:
                score, values = found
            else:
                stale += 1
    return values, score


def _random_values(architecture: Architecture, rng: np.random.Generator) -> dict[int, LayerValues]:
    """Draw weights; of values with zero, about half are zero where units read much."""
    values = {}
    for position in architecture.weighted:
        layer: Any = architecture.layers[position]
        shape = architecture.kernel_shape(position)
        weights = rng.choice(_choices(layer.weights), size=shape)
        biases = rng.choice(_choices(layer.weights), size=shape[0]) if layer.bias else np.zeros(shape[0])
        if isinstance(layer.weights, Continuous):
            size = np.abs(weights.reshape(shape[0], -1)).sum(axis=1) + np.abs(biases)
            weights = np.where((size > layer.weights.bound).reshape(-1, *(1,) * (len(shape) - 1)), 0.0, weights)
            biases = np.where(size > layer.weights.bound, 0.0, biases)
        elif layer.weights.has_zero:
            keep = min(1.0, 4.0 / max(prod(shape[1:]), 1) + 0.25)
            weights = np.where(rng.random(shape) < keep, weights, 0.0)
        values[position] = LayerValues(weights, biases)
    return values


def _bare_values(architecture: Architecture, rng: np.random.Generator) -> dict[int, LayerValues]:
    """Draw weights, all zero in the first layer: a descent adds one after the other, and ends with few."""
    values = _random_values(architecture, rng)
    first = architecture.weighted[0]
    layer: Any = architecture.layers[first]
    if layer.weights.has_zero:
        own = values[first]
        values[first] = LayerValues(np.zeros_like(own.weights), np.zeros_like(own.biases))
    return values


def _blank(architecture: Architecture) -> dict[int, LayerValues]:
    """Return the network without weights, or with the smallest where zero is not among them."""
    values = {}
    for position in architecture.weighted:
        layer: Any = architecture.layers[position]
        shape = architecture.kernel_shape(position)
        fill = 0.0 if layer.weights.has_zero else float(_choices(layer.weights)[0])
        gate = not isinstance(layer, GatedLayer)
        values[position] = LayerValues(np.full(shape, fill), np.full(shape[0], fill if layer.bias else 0.0), gate)
    return values


def _kicked(
    architecture: Architecture, values: Mapping[int, LayerValues], rng: np.random.Generator
) -> dict[int, LayerValues]:
    """Change a few weights at random."""
    kicked = dict(values)
    for _ in range(KICKED):
        position = int(rng.choice(architecture.weighted))
        layer: Any = architecture.layers[position]
        shape = architecture.kernel_shape(position)
        place = int(rng.integers(int(np.prod(shape[1:])) + layer.bias))
        unit, value = int(rng.integers(shape[0])), float(rng.choice(_choices(layer.weights)))
        kicked = _changed(replace_gates(kicked), position, unit, place, value)
    return kicked


def replace_gates(values: Mapping[int, LayerValues]) -> dict[int, LayerValues]:
    """Return the same weights with all gates on, so that a change of theirs matters."""
    return {p: replace(v, gate=True) for p, v in values.items()}


def priced_specifications(specification: LayeredSpecification) -> list[LayeredSpecification]:
    """Return objectives whose optima have few errors and few non-zeros, where these are the first two goals.

    Errors stand still under most changes, and the fewest of them are first found with many non-zeros. The hinge loss
    with a price of non-zeros leads to few of both; which margin and which price do is tried.
    """
    if specification.goals[:2] != (Goal.ERRORS, Goal.NONZEROS):
        return []
    margin = specification.objective.margin
    return [
        replace(
            specification,
            objective=replace(specification.objective, loss=Loss.HINGE, margin=wide * margin, l0=price * margin),
            goals=(Goal.OBJECTIVE,),
        )
        for wide, price in PRICED
    ]


def search(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    seed: int,
    running: Callable[[], bool],
    start: Mapping[int, LayerValues] | None = None,
    good_enough: Callable[[tuple[float, ...]], bool] = lambda goals: False,
    on_better: Callable[[Found], None] = lambda found: None,
    rounds: int | None = None,
    demands: LayeredDemands | None = None,
) -> Found:
    """Search weights by descents from random starts and kicks.

    Parameters
    ----------
    specification : LayeredSpecification
    samples : Sample
    x : ndarray, shape (samples, inputs)
    seed : int
    running : callable
        Tells whether to go on; at least the blank network is always judged.
    start : Mapping or None
        Weights to begin with.
    good_enough : callable
        Tells of goals whether nothing better can be had.
    on_better : callable
        Called with every improvement.
    rounds : int or None
        The most descents; None for no limit.
    demands : LayeredDemands or None
        What outputs must meet; goals are infinite where that was not found.
    """
    demands = demands or LayeredDemands.none(x.shape[1])
    landscape, rng = _Landscape(specification, samples, x, demands), np.random.default_rng(seed)
    architecture = specification.architecture

    def judged(values: Mapping[int, LayerValues]) -> tuple[float, ...]:
        return landscape.score(values, outputs_of(architecture, x, values))

    best = dict(_blank(architecture))
    best_score = judged(best)
    # Errors stand still under most changes of one weight; the hinge loss shows a way.
    guide = specification.classifies and specification.objective.loss is not Loss.HINGE
    guide = guide or Goal.OBJECTIVE not in specification.goals
    current = dict(start) if start is not None else None
    stale, descents, begun = 0, 0, 0
    nothing: tuple[float, ...] = (np.inf,)
    while running() and not good_enough(best_score[:-1]) and (rounds is None or descents < rounds):
        descents += 1
        if current is None or stale > STALE:
            # Prices ask for few weights; the guide alone gets rid of errors faster among many.
            drawn = _bare_values if begun % 2 == int(guide) else _random_values
            begin, stale, held, begun = drawn(architecture, rng), 0, nothing, begun + 1
            landscape.emphasis[:] = 1.0
        else:
            begin, held = _kicked(architecture, current, rng), judged(current)
        if not feasible(specification, begin):
            begin = dict(best)
        if guide and best_score[0] > 0:
            begin = dict(_descend(landscape, begin, rng, running, guided=True)[0])
        values, score = _descend(landscape, begin, rng, running)
        landscape.emphasise(outputs_of(architecture, x, values))
        if score < held:
            current, stale = dict(values), 0
        else:
            stale += 1
        if score < best_score:
            best, best_score = dict(values), score
            on_better(Found(best, best_score[:-1]))
    if landscape.excess(best) > 0:
        return Found(best, (np.inf,) * len(specification.goals))
    outputs = outputs_of(architecture, x, best)
    return Found(best, goals_of(specification, samples, best, outputs))
