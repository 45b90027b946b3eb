"""What a training file asks for: the specification and the options of the method it chooses."""

import os
from collections.abc import Callable, Mapping, Sequence

from verinet.errors import DataError
from verinet.io import FiltersSection, TrainingFile
from verinet.program import Progress
from verinet.train import (
    AnySpecification,
    AnyWidthSpecification,
    Budget,
    Convolutional,
    ConvolutionalSpecification,
    Loss,
    Objective,
    Pooling,
    Skip,
    Specification,
    TrainOptions,
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
    monotone = _monotone(file, names)
    if file.chosen_method == "milp":
        return _milp(file, monotone)
    if file.filters is None:
        return _any_width(file, monotone, len(names))
    layer = _layer(file.filters)
    return ConvolutionalSpecification.of(layer, _any_width(file, monotone, layer.coordinates))


def _layer(section: FiltersSection) -> Convolutional:
    pooling = Pooling(section.pooling)
    return Convolutional(section.image_shape, section.kernel, section.stride, pooling, section.grid)


def _any_width(file: TrainingFile, monotone: Mapping[int, int], features: int) -> AnyWidthSpecification:
    return AnyWidthSpecification(
        objective_of(file),
        _most_features(file, features),
        _skip(file),
        file.objective.skip_penalty,
        Budget(file.budget.nonzeros, file.budget.units, file.budget.features),
        monotone,
    )


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
    unknown = next((name for name in file.constraints.monotone if name not in known), None)
    if unknown is not None:
        raise DataError(f"constraints.monotone names {unknown!r}, the features are {', '.join(known)}")
    return {known.index(name): DIRECTIONS[way] for name, way in file.constraints.monotone.items()}


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
