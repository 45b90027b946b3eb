"""What a training file asks for: the specification and the options of the method it chooses."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

from verinet.errors import DataError
from verinet.io import FiltersSection, TrainingFile
from verinet.model import Domain
from verinet.program import Progress
from verinet.train import (
    AnySpecification,
    AnyWidthSpecification,
    Budget,
    Convolutional,
    ConvolutionalSpecification,
    Loss,
    Objective,
    PointCondition,
    Pooling,
    Skip,
    Specification,
    TrainOptions,
    UniversalConstraint,
    UniversalFair,
    UniversalMonotone,
)

__all__ = ["objective_of", "options_of", "specification_of"]

DIRECTIONS: Mapping[str, int] = {"increasing": 1, "decreasing": -1}
MOST_FEATURES = 2
"""Of one unit, unless the file says otherwise: units that can still be drawn."""

GAPS: Mapping[str, float] = {"any-width": 1e-3, "milp": 1e-4}
"""Relative gaps at which a network counts as optimal, unless the file says otherwise."""


def specification_of(file: TrainingFile, names: Sequence[str]) -> AnySpecification:
    """Return what is to be trained on features of some names.

    Parameters
    ----------
    file : TrainingFile
    names : sequence of str

    Raises
    ------
    DataError
        If a constraint names another feature.
    InputError
        If the method cannot do what is asked for.
    """
    _check_names(file, names)
    monotone = _monotone(file, names)
    if file.chosen_method == "milp":
        return _milp(file, monotone)
    if file.filters is None:
        return _any_width(file, names, monotone, len(names))
    layer = _layer(file.filters)
    return ConvolutionalSpecification.of(layer, _any_width(file, names, monotone, layer.coordinates))


def _layer(section: FiltersSection) -> Convolutional:
    pooling = Pooling(section.pooling)
    return Convolutional(section.image_shape, section.kernel, section.stride, pooling, section.grid)


def _any_width(
    file: TrainingFile, names: Sequence[str], monotone: Mapping[int, int], features: int
) -> AnyWidthSpecification:
    return AnyWidthSpecification(
        objective_of(file),
        _most_features(file, features),
        _skip(file),
        file.objective.skip_penalty,
        Budget(file.budget.nonzeros, file.budget.units, file.budget.features),
        {} if _by_counterexamples(file) else monotone,
        _conditions(file, names),
        _universal(file, names, monotone),
    )


def _by_counterexamples(file: TrainingFile) -> bool:
    return file.constraints.monotone_by == "counterexamples"


def _universal(
    file: TrainingFile, names: Sequence[str], monotone: Mapping[int, int]
) -> tuple[UniversalConstraint, ...]:
    """Return what is trained for by counterexamples."""
    domain, known = _domain(file, names), list(names)
    by_search = monotone if _by_counterexamples(file) else {}
    return (
        *(UniversalMonotone(feature, direction, domain) for feature, direction in by_search.items()),
        *(UniversalFair(tuple(map(known.index, s.features)), s.tolerance, domain) for s in file.constraints.fair),
    )


def _domain(file: TrainingFile, names: Sequence[str]) -> Domain | None:
    ranges = file.constraints.ranges
    if not ranges:
        return None
    missing = next((name for name in names if name not in ranges), None)
    if missing is not None:
        raise DataError(f"constraints.ranges needs a range of every feature, {missing!r} is missing; add it")
    return Domain.from_box(*zip(*(ranges[name] for name in names), strict=True))


def _conditions(file: TrainingFile, names: Sequence[str]) -> tuple[PointCondition, ...]:
    found = []
    for section in file.constraints.condition:
        for point in section.points:
            missing = next((name for name in names if name not in point), None)
            if missing is not None:
                raise DataError(f"constraints.condition needs every feature of a point, {missing!r} is missing; add it")
        points = tuple(tuple(point[name] for name in names) for point in section.points)
        low = -math.inf if section.low is None else section.low
        high = math.inf if section.high is None else section.high
        found.append(PointCondition(points, section.weights or (1.0,) * len(points), low, high))
    return tuple(found)


def _most_features(file: TrainingFile, features: int) -> int | None:
    most = file.model.max_features_per_unit
    if isinstance(most, int):
        return most
    return min(MOST_FEATURES, features) if most == "auto" else None


def _milp(file: TrainingFile, monotone: Mapping[int, int]) -> Specification:
    model, units = file.model, file.model.units
    return Specification(
        model.positive_units if model.positive_units is not None else units,
        model.negative_units if model.negative_units is not None else units,
        skip=_skip(file) is Skip.PENALISED,
        weight_bound=model.weight_bound,
        objective=objective_of(file),
        budget=Budget(
            file.budget.nonzeros, file.budget.units if file.budget.units is not None else units, file.budget.features
        ),
        monotone=monotone,
    )


def _skip(file: TrainingFile) -> Skip:
    skip = file.model.skip
    if isinstance(skip, bool):
        return Skip.PENALISED if skip else Skip.NONE
    return Skip(skip)


def objective_of(file: TrainingFile) -> Objective:
    """Return loss and penalties."""
    section = file.objective
    return Objective(
        Loss(section.loss),
        section.margin,
        section.l1,
        section.l0,
        section.unit_penalty,
        section.feature_penalty,
        section.epsilon,
        section.quantile,
    )


def _monotone(file: TrainingFile, names: Sequence[str]) -> Mapping[int, int]:
    known = list(names)
    return {known.index(name): DIRECTIONS[way] for name, way in file.constraints.monotone.items()}


def _check_names(file: TrainingFile, names: Sequence[str]) -> None:
    for key, name in file.constraints.named():
        if name not in names:
            raise DataError(f"constraints.{key} names {name!r}, the features are {', '.join(names)}")


def options_of(file: TrainingFile, on_progress: Callable[[Progress], None]) -> TrainOptions:
    """Return how long and with what to train."""
    solver, method = file.solver, file.chosen_method
    cores = (os.cpu_count() or 1) if method == "any-width" else 1
    return TrainOptions(
        solver=solver.name,
        time_limit=solver.time_limit,
        gap_tolerance=GAPS[method] if solver.gap_tolerance is None else solver.gap_tolerance,
        threads=cores if solver.threads is None else solver.threads,
        seed=solver.seed,
        on_progress=on_progress,
    )
