"""The fewest weights that are not zero, at so many errors: a bound by ruling out one number after the other.

For n = 0, 1, 2, ... all networks of one hidden layer with n non-zero weights are searched for one with few enough
errors, plan by plan: a plan says how many weights each unit reads its inputs by. A unit that is read costs one weight
more; one that reads nothing is a constant, and costs its reading alone. Units that are not read, or read nothing and
have no positive bias, are in no network of fewest weights.

Soundness: as many weights as the first number that is not ruled out are needed. The search is complete, and its margins
are smaller than the goal's by more than the rounding of float64, so that a network is ruled out only if it has more
errors in exact arithmetic over the scaled features too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import DenseLayer, FlattenLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.losses import MARGIN_TOLERANCE, Sample
from verinet.train.layered.refuting import FOUND, OPEN, READ, REFUTED, SIGN, WEIGHT, refute
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.specification import Budget

__all__ = ["Fewest", "can_count_up", "count_up"]

SLICE = 100_000
"""Choices between two looks at the clock."""

MOST_PAIRS = 400
"""Pairs of samples that rule out networks before they are complete."""

MOST_PAIRS_OF_ONE = 12
"""Of one positive sample, so that they are of many."""

ROUNDING = 1e-9
"""By what share of the largest output margins are smaller: far more than the rounding of some hundred operations."""


@dataclass(frozen=True, eq=False)
class Fewest:
    """What counting up came to.

    Parameters
    ----------
    bound : int
        No network of fewer weights has so few errors.
    values : Mapping or None
        A network of so many that has, if one was found.
    """

    bound: int
    values: Mapping[int, LayerValues] | None


def can_count_up(specification: LayeredSpecification) -> bool:
    """Tell whether non-zeros are counted after errors, of one hidden layer, with one output and no budget."""
    architecture = specification.architecture
    kinds = [type(layer) for layer in architecture.layers if not isinstance(layer, FlattenLayer)]
    fits = kinds == [DenseLayer, ReluLayer, DenseLayer] and architecture.outputs == 1
    weights = [architecture.weights_of(p) for p in architecture.weighted]
    return (
        fits
        and specification.goals[:2] == (Goal.ERRORS, Goal.NONZEROS)
        and specification.budget == Budget()
        and all(isinstance(w, Quantised) and w.has_zero for w in weights)
    )


def count_up(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    errors: float,
    below: int,
    running: Callable[[], bool],
    on_bound: Callable[[int], None] = lambda bound: None,
) -> Fewest:
    """Rule out one number of weights after the other.

    Parameters
    ----------
    specification : LayeredSpecification
        One for which `can_count_up` holds.
    samples : Sample
    x : ndarray, shape (samples, inputs)
        Scaled.
    errors : float
        The weight of errors that is allowed.
    below : int
        A number that is known to suffice.
    running : callable
        Tells whether to go on.
    on_bound : callable
        Called with each bound.
    """
    search = _Search(specification, samples, x, errors)
    for number in range(below):
        on_bound(number)
        for plan, constants in _plans(number, search.hidden):
            answer, values = search.settle(plan, constants, running)
            if answer != REFUTED:
                return Fewest(number, values)
    return Fewest(below, None)


def _plans(number: int, hidden: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield how many weights each unit has, ascending, and how many constants there are, for so many weights in all."""
    for constants in range(min(number, hidden), -1, -1):
        for plan in _partitions(number - constants, 2):
            if len(plan) + constants <= hidden:
                yield tuple(size - 1 for size in plan), constants


def _partitions(number: int, least: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write a number as a sum of ascending numbers, none below `least`."""
    if number == 0:
        yield ()
    for first in range(least, number + 1):
        for others in _partitions(number - first, first):
            yield (first, *others)


class _Search:
    """The networks of a specification, and pairs of samples that are hard to tell apart."""

    def __init__(self, specification: LayeredSpecification, samples: Sample, x: FloatArray, errors: float) -> None:
        self.architecture = specification.architecture
        self.first, self.last = self.architecture.weighted
        self.hidden = self.architecture.kernel_shape(self.first)[0]
        self.x = np.ascontiguousarray(x.T)
        self.signs, self.shares = np.ascontiguousarray(samples.targets), np.ascontiguousarray(samples.weights)
        self.errors = errors
        self.weight_values, self.bias_values = self._values(self.first)
        self.read_values, self.constant_values = self._values(self.last)
        self.without: set[tuple[int, ...]] = set()
        """Plans of which no network has so few errors, whatever its constant."""
        self.margin = specification.objective.margin * (1 - 2 * MARGIN_TOLERANCE) - ROUNDING * self._largest()

    def _values(self, position: int) -> tuple[FloatArray, FloatArray]:
        """Return what weights may be but zero, and what biases may be."""
        layer = self.architecture.layers[position]
        assert isinstance(layer, DenseLayer)
        assert isinstance(layer.weights, Quantised)
        values = layer.weights.values
        return values[values != 0], values if layer.bias else np.zeros(1)

    def _largest(self) -> float:
        """Return more than any output or any sum of its parts."""
        unit = np.abs(self.weight_values).max() * np.abs(self.x).sum(axis=0).max() + np.abs(self.bias_values).max()
        return float(self.hidden * np.abs(self.read_values).max() * unit + np.abs(self.constant_values).max() + 1.0)

    @cached_property
    def pairs(self) -> IntArray:
        """Samples of the two classes that differ little, shape (pairs, 2)."""
        positive, negative = np.flatnonzero(self.signs > 0), np.flatnonzero(self.signs < 0)
        if not len(positive) or not len(negative):
            return np.zeros((0, 2), dtype=np.int64)
        apart = np.sort(np.abs(self.x[:, positive, None] - self.x[:, None, negative]), axis=0)[-3:].sum(axis=0)
        order = np.argsort(apart, axis=1, kind="stable")[:, :MOST_PAIRS_OF_ONE]
        near = np.take_along_axis(apart, order, axis=1).ravel()
        chosen = np.column_stack([np.repeat(positive, order.shape[1]), negative[order.ravel()]])
        return chosen[np.argsort(near, kind="stable")[:MOST_PAIRS]].astype(np.int64)

    @cached_property
    def gains(self) -> FloatArray:
        """By how much a weight can raise, and lower, a unit at the first sample of a pair over that at the second."""
        difference = (self.x[:, self.pairs[:, 0]] - self.x[:, self.pairs[:, 1]]).T
        raised = (difference[:, :, None] * self.weight_values).max(axis=2)
        lowered = (-difference[:, :, None] * self.weight_values).max(axis=2)
        return np.ascontiguousarray([raised, lowered])

    @cached_property
    def orders(self) -> IntArray:
        """The inputs of each pair by falling gains."""
        return np.argsort(-self.gains, axis=2, kind="stable")

    def _futures(self, plan: tuple[int, ...]) -> FloatArray:
        """Return what units from each on can add to the difference of each pair, shape (units + 1, pairs)."""
        ordered = -np.sort(-self.gains, axis=2)
        reach = np.maximum([self.read_values.max(), -self.read_values.min()], 0.0)
        futures = np.zeros((len(plan) + 1, len(self.pairs)))
        for unit in range(len(plan) - 1, -1, -1):
            part = np.maximum(ordered[:, :, : plan[unit]].sum(axis=2), 0.0) * reach[:, None]
            futures[unit] = futures[unit + 1] + part.max(axis=0)
        return futures

    def _constants(self, number: int) -> FloatArray:
        """Return every sum of the last bias and of so many readings of constant units, or fewer."""
        positive = self.bias_values[self.bias_values > 0]
        steps = np.append(0.0, np.multiply.outer(self.read_values, positive))
        sums = self.constant_values
        for _ in range(number):
            sums = np.unique(np.add.outer(sums, steps))
        return sums

    def settle(
        self, plan: tuple[int, ...], constants: int, running: Callable[[], bool]
    ) -> tuple[int, Mapping[int, LayerValues] | None]:
        """Rule out a plan, or find a network of it."""
        if plan in self.without or (plan and plan[-1] > len(self.x)):
            return REFUTED, None
        if not plan:
            return self._settle_constants(constants)
        if not len(self.pairs):
            # Samples of one class: the search is by pairs of both.
            return OPEN, None
        # Whether there is any network at all with some constant is soon known, and nearly always enough.
        answer, values, hits = self._refute(plan, constants, True, running)
        if answer == REFUTED and not hits:
            self.without.add(plan)
        elif answer == REFUTED:
            answer, values, _ = self._refute(plan, constants, False, running)
        return answer, values

    def _settle_constants(self, constants: int) -> tuple[int, Mapping[int, LayerValues] | None]:
        """Rule out networks that read nothing, or find one."""
        choices = self._constants(constants)
        missed = [self.shares[self.signs * c < self.margin].sum() for c in choices]
        which = int(np.argmin(missed))
        if missed[which] > self.errors:
            return REFUTED, None
        empty = np.zeros((0, len(self.x))), np.zeros(0), np.zeros(0)
        return FOUND, self._network(*empty, float(choices[which]), constants)

    def _refute(
        self, plan: tuple[int, ...], constants: int, merged: bool, running: Callable[[], bool]
    ) -> tuple[int, Mapping[int, LayerValues] | None, int]:
        """Search all networks of a plan; return the answer, the network, and how many lacked their constant only."""
        inputs, units = len(self.x), len(plan)
        kinds = np.array([kind for size in plan for kind in (SIGN, *(WEIGHT,) * size, READ)], dtype=np.int64)
        owners = np.array([k for k, size in enumerate(plan) for _ in range(size + 2)], dtype=np.int64)
        rests = np.array([rest for size in plan for rest in (*range(size, -1, -1), 0)], dtype=np.int64)
        levels = len(kinds)
        weights, biases, reads = np.zeros((units, inputs)), np.zeros(units), np.zeros(units)
        constant, hits, level = np.zeros(1), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        choice, linear = np.full((2, levels + 1), -1)
        total, current = np.zeros((2, levels + 1, len(self.signs)))
        allowed = np.ones((levels + 1, inputs), dtype=np.bool_)
        lead, sign, limits = np.zeros(levels + 1, np.int64), np.zeros(units, np.int64), np.zeros((levels, 2), np.int64)
        queue = np.arange(len(self.pairs))
        answer = OPEN
        while answer == OPEN and running():
            answer = refute(
                self.x, self.signs, self.shares, self.pairs, queue, self.gains, self.orders, self._futures(plan),
                np.array(plan, dtype=np.int64), kinds, owners, rests, self.weight_values, self.bias_values,
                self.read_values, self._constants(constants), self.margin, self.errors, merged, SLICE, hits, level,
                choice, total, current, allowed, sign, lead, linear, limits, weights, biases, reads, constant,
            )  # fmt: skip
        found = self._network(weights, biases, reads, float(constant[0]), constants) if answer == FOUND else None
        return answer, found, int(hits[0])

    def _network(
        self, weights: FloatArray, biases: FloatArray, reads: FloatArray, constant: float, constants: int
    ) -> Mapping[int, LayerValues]:
        """Return the network, its constant put together from the last bias and from constant units."""
        units = len(biases)
        first, own = np.zeros((self.hidden, len(self.x))), np.zeros(self.hidden)
        last = np.zeros((1, self.hidden))
        first[:units], own[:units], last[0, :units] = weights, biases, reads
        for number in range(constants, 0, -1):
            fewer = self._constants(number - 1)
            if (np.abs(fewer - constant) < 1e-9).any():
                continue
            bias, read = next(
                (b, v)
                for b in self.bias_values[self.bias_values > 0]
                for v in self.read_values
                if (np.abs(fewer - (constant - v * b)) < 1e-9).any()
            )
            own[units], last[0, units] = bias, read
            constant -= float(bias * read)
            units += 1
        bias = self.constant_values[np.argmin(np.abs(self.constant_values - constant))]
        return {self.first: LayerValues(first, own), self.last: LayerValues(last, np.array([bias]))}
