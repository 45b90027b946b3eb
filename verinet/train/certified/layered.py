"""Stacks of layers under properties: demands are rows over outputs at further samples, sufficient rows are boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from verinet.numeric import FloatArray
from verinet.program import Status
from verinet.train.certified.search import Conclusion, Solution, Task
from verinet.train.data import TrainingData
from verinet.train.demand_rows import scaled_demands
from verinet.train.layered import (
    Architecture,
    ConvolutionLayer,
    GoalResult,
    LayeredDemands,
    LayeredResult,
    LayeredSpecification,
    LayerValues,
    Quantised,
    output_scaling,
    solve_layered,
    solve_within,
)
from verinet.train.layered.walk import LayerBox, free_box
from verinet.train.specification import TrainOptions, UniversalProperty
from verinet.train.sufficient import Sufficient, sufficient_signs

__all__ = ["LayeredMaster"]


@dataclass(frozen=True, eq=False)
class LayeredMaster:
    """Training of a stack of layers as the loop around it sees it.

    Parameters
    ----------
    data : TrainingData
    specification : LayeredSpecification
    options : TrainOptions
    """

    data: TrainingData
    specification: LayeredSpecification
    options: TrainOptions

    @property
    def scope(self) -> str:
        """What programmes without a solution say that there is none of."""
        return "no network of the specification"

    @property
    def can_exclude(self) -> bool:
        """Whether single networks can be left out: where all weights are quantised."""
        return not self.specification.architecture.has_continuous

    def solve(self, task: Task[LayeredResult], seconds: float) -> Solution[LayeredResult]:
        """Train under demands, from a network that is known to have the properties."""
        scaling = output_scaling(self.data, self.specification)
        rows = scaled_demands(task.demands, scaling, self.specification.architecture.outputs, task.margin)
        demands = LayeredDemands(rows, tuple(result.values for result in task.excluded))
        start = None if task.known is None else task.known.values
        solution = solve_layered(self.data, self.specification, self._limited(seconds), demands, start=start)
        return Solution(solution.result, _values(solution.result), solution.bounds, solution.reason)

    def _limited(self, seconds: float) -> TrainOptions:
        return replace(self.options, time_limit=max(seconds, 0.1), on_progress=lambda _: None)

    def sufficient(self, properties: Sequence[UniversalProperty], seconds: float) -> Solution[LayeredResult] | None:
        """Train with the signs of weights that make the network monotone, and without protected features."""
        signs = sufficient_signs(properties)
        boxes = None if signs is None else _boxes(self.specification.architecture, signs)
        if boxes is None:
            return None
        result = solve_within(self.data, self.specification, boxes, self._limited(seconds))
        return Solution(result, _values(result), (-np.inf,), "weights are restricted")

    def constant(self, seconds: float) -> Solution[LayeredResult] | None:
        """Train the biases of the last layer alone."""
        boxes = _without_weights(self.specification.architecture)
        if boxes is None:
            return None
        result = solve_within(self.data, self.specification, boxes, self._limited(seconds))
        return Solution(result, _values(result), (-np.inf,), "there are no weights")

    def conclude(self, result: LayeredResult, conclusion: Conclusion) -> LayeredResult:
        """Write the bounds under the properties into goals and record."""
        goals = []
        for k, goal in enumerate(result.goals):
            known = k < len(conclusion.bounds) and (conclusion.proven or k == 0)
            bound = conclusion.bounds[k] if known else -np.inf
            goals.append(
                GoalResult(goal.goal, goal.value, min(bound, float(goal.value)), goal.basis, conclusion.proven)
            )
        shown = goals[-1] if conclusion.proven else goals[0]
        value = float(shown.value)
        record = replace(
            result.record,
            objective=shown.value,
            bound=shown.bound,
            gap=max(0.0, value - shown.bound) / max(abs(value), 1e-10),
            status=Status.OPTIMAL if conclusion.proven else Status.UNKNOWN,
            seconds=conclusion.seconds,
            notes=_notes(result.record.notes, conclusion),
            basis="a solver's claim",
            history=conclusion.history,
            universal=conclusion.universal,
        )
        return replace(result, goals=tuple(goals), record=record)


def _notes(notes: tuple[str, ...], conclusion: Conclusion) -> tuple[str, ...]:
    kept = [note for note in notes if "is not proven" not in note]
    first = [] if conclusion.proven else [f"the optimum is not proven: {conclusion.reason}"]
    return (*first, *kept)


def _values(result: LayeredResult | None) -> tuple[Fraction, ...]:
    return () if result is None else tuple(goal.value for goal in result.goals)


def _boxes(architecture: Architecture, signs: Sufficient) -> dict[int, LayerBox] | None:
    """Return limits of weights that are sufficient for monotone and fair properties; None where they are empty.

    Behind the first layer all weights are at least zero, so that every unit rises with those before it.
    """
    first, *later = architecture.weighted
    layer: Any = architecture.layers[first]
    if isinstance(layer, ConvolutionLayer):
        return None
    free = free_box(architecture, first)
    lower, upper = free.lower.weights.copy(), free.upper.weights.copy()
    for feature, direction in signs.monotone.items():
        if direction > 0:
            lower[:, feature] = _least(layer.weights, lower[:, feature])
        else:
            upper[:, feature] = -_least(layer.weights, -upper[:, feature])
    lower[:, list(signs.unused)], upper[:, list(signs.unused)] = 0.0, 0.0
    if signs.unused and not layer.weights.has_zero:
        return None
    boxes = {first: LayerBox(_with(free.lower, lower), _with(free.upper, upper))}
    for position in later if signs.monotone else ():
        whole, weights = free_box(architecture, position), architecture.weights_of(position)
        boxes[position] = LayerBox(_with(whole.lower, _least(weights, whole.lower.weights)), whole.upper)
    return boxes


def _without_weights(architecture: Architecture) -> dict[int, LayerBox] | None:
    """Return limits that leave the biases of the last layer only; None where weights cannot be zero."""
    boxes: dict[int, LayerBox] = {}
    for position in architecture.weighted:
        layer: Any = architecture.layers[position]
        if not layer.weights.has_zero:
            return None
        free, zero = free_box(architecture, position), np.zeros(architecture.kernel_shape(position))
        last = position == architecture.weighted[-1]
        biases = (free.lower.biases, free.upper.biases) if last else (np.zeros(len(zero)),) * 2
        boxes[position] = LayerBox(
            *(LayerValues(zero, own, end.gate) for own, end in zip(biases, (free.lower, free.upper), strict=True))
        )
    return boxes


def _least(weights: Any, lower: FloatArray) -> FloatArray:
    """Return the least values that are not negative; of symmetric values."""
    least = float(min(v for v in weights.values if v >= 0)) if isinstance(weights, Quantised) else 0.0
    return np.maximum(lower, least)


def _with(values: LayerValues, weights: FloatArray) -> LayerValues:
    return LayerValues(weights, values.biases, values.gate)
