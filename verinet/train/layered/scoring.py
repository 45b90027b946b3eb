"""What weights of a stack of layers cost: float64 for search, exact rationals for the record."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from verinet.model import Network, evaluate_exact_batch
from verinet.numeric import FloatArray
from verinet.train.data import TrainingData
from verinet.train.layered.architecture import Architecture, Continuous, GatedLayer, LayerValues, unit_mask
from verinet.train.layered.losses import MARGIN_TOLERANCE, Sample, is_error, margin_values, sample_losses
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.objective import LOSSES
from verinet.train.specification import Budget

__all__ = ["Counts", "count", "exact_goals", "feasible", "goals_of", "penalty"]


@dataclass(frozen=True)
class Counts:
    """What is in use.

    Parameters
    ----------
    nonzeros, units, layers : int
    features : tuple of int
        Inputs that the first layer reads; all of them for a convolution.
    """

    nonzeros: int
    units: int
    layers: int
    features: tuple[int, ...]


def count(architecture: Architecture, values: Mapping[int, LayerValues]) -> Counts:
    """Count weights, units, layers and features in use."""
    first = values[architecture.weighted[0]].weights
    gates = [p for p in architecture.weighted if isinstance(architecture.layers[p], GatedLayer)]
    features = np.flatnonzero((first != 0).any(axis=0)) if first.ndim == 2 else np.arange(architecture.input_shape[0])
    return Counts(
        sum(int(np.count_nonzero(v.weights)) for v in values.values()),
        sum(int(unit_mask(values[p]).sum()) for p in architecture.hidden_units()),
        sum(values[p].gate for p in gates),
        tuple(int(j) for j in features),
    )


def feasible(specification: LayeredSpecification, values: Mapping[int, LayerValues]) -> bool:
    """Tell whether weights keep the budgets and continuous units their bound."""
    budget = specification.budget
    if budget == Budget() and not specification.architecture.has_continuous:
        return True
    used = count(specification.architecture, values)
    pairs = (
        (used.nonzeros, budget.nonzeros),
        (used.units, budget.units),
        (len(used.features), budget.features),
    )
    if any(limit is not None and number > limit for number, limit in pairs):
        return False
    return all(
        _is_in_ball(specification.architecture.layers[p], values[p]) for p in specification.architecture.weighted
    )


def _is_in_ball(layer: Any, own: LayerValues) -> bool:
    if not isinstance(layer.weights, Continuous):
        return True
    sizes = np.abs(own.weights.reshape(len(own.weights), -1)).sum(axis=1) + np.abs(own.biases)
    return bool((sizes <= layer.weights.bound * (1 + 1e-9)).all())


def _size(architecture: Architecture, values: Mapping[int, LayerValues], power: int) -> float:
    last = architecture.weighted[-1]
    total = sum(float((np.abs(v.weights) ** power).sum()) for v in values.values())
    return total + sum(float((np.abs(v.biases) ** power).sum()) for p, v in values.items() if p != last)


def penalty(specification: LayeredSpecification, values: Mapping[int, LayerValues]) -> float:
    """Return the objective without the loss."""
    objective, architecture = specification.objective, specification.architecture
    used = count(architecture, values)
    total = objective.l0 * used.nonzeros + objective.unit_penalty * used.units
    total += specification.layer_penalty * used.layers
    total += objective.feature_penalty * len(used.features) if specification.counts_features else 0.0
    total += objective.l1 * _size(architecture, values, 1) if objective.l1 else 0.0
    return total + (specification.l2 * _size(architecture, values, 2) if specification.l2 else 0.0)


def _margin(margins: FloatArray, limit: float) -> float:
    """Return the smallest margin among those that reach the limit."""
    reached = margins[margins >= limit * (1 - MARGIN_TOLERANCE)]
    return float(reached.min()) if len(reached) else np.inf


def goals_of(
    specification: LayeredSpecification, samples: Sample, values: Mapping[int, LayerValues], outputs: FloatArray
) -> tuple[float, ...]:
    """Return what each goal is, in their order, from outputs in float64: to be compared one after the other."""
    used = count(specification.architecture, values)
    limit = specification.objective.margin
    results = []
    for goal in specification.goals:
        if goal is Goal.OBJECTIVE:
            loss = float(sample_losses(specification, samples, outputs) @ samples.weights)
            results.append(loss + penalty(specification, values))
        elif goal is Goal.ERRORS:
            missed = is_error(specification.objective, margin_values(samples, outputs))
            results.append(float(samples.weights[missed].sum()))
        elif goal is Goal.MARGIN:
            results.append(-_margin(margin_values(samples, outputs), limit))
        else:
            numbers = {Goal.NONZEROS: used.nonzeros, Goal.UNITS: used.units, Goal.FEATURES: len(used.features)}
            results.append(_size(specification.architecture, values, 1) if goal is Goal.SIZE else float(numbers[goal]))
    return tuple(results)


def _exact_margins(outputs: list[list[Fraction]], samples: Sample) -> list[Fraction]:
    margins = []
    for row, y in zip(outputs, samples.targets, strict=True):
        if samples.outputs == 1:
            margins.append(Fraction(float(y)) * row[0])
        else:
            own = int(y)
            margins.append(min(row[own] - f for k, f in enumerate(row) if k != own))
    return margins


def exact_goals(
    specification: LayeredSpecification,
    data: TrainingData,
    samples: Sample,
    network: Network,
    values: Mapping[int, LayerValues],
) -> tuple[Fraction, ...]:
    """Return what each goal is for the exported network, its outputs at the raw samples exact.

    Parameters
    ----------
    specification : LayeredSpecification
    data : TrainingData
    samples : Sample
    network : Network
    values : Mapping
        The weights, in scaled features, for the penalties.

    Notes
    -----
    A sample is an error if it misses its margin by more than a millionth of it. The logistic loss is an upper bound.
    """
    outputs = [list(row) for row in evaluate_exact_batch(network, data.x)]
    objective = specification.objective
    limit = Fraction(objective.margin) * (1 - Fraction(MARGIN_TOLERANCE))
    weights = [Fraction(float(w)) for w in samples.weights]
    used = count(specification.architecture, values)
    results: list[Fraction] = []
    for goal in specification.goals:
        if goal is Goal.OBJECTIVE:
            loss = LOSSES[objective.loss]
            strict = replace(objective, margin=float(limit)) if objective.loss.value == "zero_one" else objective
            if specification.classifies:
                one = Fraction(1)
                rows = [loss(m, one, strict, data.scaling) for m in _exact_margins(outputs, samples)]
            else:
                rows = [
                    loss(row[0], Fraction(float(y)), strict, data.scaling)
                    for row, y in zip(outputs, data.y, strict=True)
                ]
            mean = sum((w * v for w, v in zip(weights, rows, strict=True)), Fraction(0))
            results.append(mean + Fraction(penalty(specification, values)))
        elif goal is Goal.ERRORS:
            margins = _exact_margins(outputs, samples)
            results.append(sum((w for w, m in zip(weights, margins, strict=True) if m < limit), Fraction(0)))
        elif goal is Goal.MARGIN:
            results.append(-min((m for m in _exact_margins(outputs, samples) if m >= limit), default=Fraction(0)))
        else:
            numbers = {Goal.NONZEROS: used.nonzeros, Goal.UNITS: used.units, Goal.FEATURES: len(used.features)}
            size = _size(specification.architecture, values, 1) if goal is Goal.SIZE else float(numbers[goal])
            results.append(Fraction(size))
    return tuple(results)
