"""What a training file with layers asks for: an architecture, its goals, and classes as numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verinet.errors import DataError, InputError
from verinet.io import Dataset, TrainingFile
from verinet.io.layer_schema import (
    AveragePoolTable,
    ConvolutionTable,
    DenseTable,
    FlattenTable,
    GatedTable,
    MaxPoolTable,
    ReluTable,
    WeightsTable,
)
from verinet.numeric import FloatArray
from verinet.train import Budget, Objective, TrainingData
from verinet.train.layered import (
    Architecture,
    AveragePoolLayer,
    Continuous,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    Goal,
    Layer,
    LayeredSpecification,
    MaxPoolLayer,
    Quantised,
    ReluLayer,
    binary,
    integer,
    ternary,
)

__all__ = ["layered_data", "layered_specification"]

WEIGHTS: Mapping[str, Callable[[WeightsTable], Quantised | Continuous]] = {
    "ternary": lambda table: ternary(table.scale),
    "binary": lambda table: binary(table.scale),
    "integer": lambda table: integer(table.limit, table.scale),
    "continuous": lambda table: Continuous(table.bound),
}
"""What each kind of weights is."""


def _weights(choice: str | WeightsTable) -> Any:
    table = WeightsTable.model_validate({"kind": choice}) if isinstance(choice, str) else choice
    return WEIGHTS[table.kind](table)


def _pair(values: list[int]) -> tuple[int, int]:
    return values[0], values[1]


def _gated(table: GatedTable) -> GatedLayer:
    weights = _weights(table.weights)
    if not isinstance(weights, Quantised):
        raise InputError("a gated layer needs quantised weights, found continuous ones")
    return GatedLayer(weights, table.bias)


LAYERS: Mapping[type, Callable[[Any], Layer]] = {
    DenseTable: lambda t: DenseLayer(t.units, _weights(t.weights), t.bias),
    ConvolutionTable: lambda t: ConvolutionLayer(
        t.filters, _pair(t.kernel), _pair(t.strides), t.padding, _weights(t.weights), t.bias
    ),
    GatedTable: _gated,
    ReluTable: lambda t: ReluLayer(),
    MaxPoolTable: lambda t: MaxPoolLayer(_pair(t.kernel), None if t.strides is None else _pair(t.strides)),
    AveragePoolTable: lambda t: AveragePoolLayer(_pair(t.kernel), None if t.strides is None else _pair(t.strides)),
    FlattenTable: lambda t: FlattenLayer(),
}
"""The layer of each table."""


def layered_data(file: TrainingFile, table: Dataset) -> tuple[TrainingData, tuple[str, ...]]:
    """Return the data of a training file with layers, and the names of the outputs.

    Parameters
    ----------
    file : TrainingFile
    table : Dataset

    Raises
    ------
    DataError
        If targets are no classes, or no numbers, as the loss needs them; or see `TrainingData.prepare`.
    """
    images = len(file.model.input_shape or ()) == 3
    names, target = table.feature_names, table.target_name
    if file.objective.loss in ("hinge", "zero_one", "logistic"):
        classes, labels = np.unique(table.y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"classification needs two classes in column {target!r} or more, found {len(classes)}")
        if len(classes) == 2:
            y: FloatArray = np.where(labels == 1, 1.0, -1.0)
            return TrainingData.prepare(table.x, y, classes=True, names=names, shared=images), (target,)
        data = TrainingData.prepare(table.x, labels.astype(np.float64), classes=False, names=names, shared=images)
        return data, tuple(f"{target}[{label}]" for label in classes)
    if table.y.dtype.kind != "f":
        raise DataError(f"regression needs numbers in column {target!r}, found text")
    y = np.asarray(table.y, dtype=np.float64)
    return TrainingData.prepare(table.x, y, classes=False, names=names, shared=images), (target,)


def layered_specification(file: TrainingFile, objective: Objective, features: int) -> LayeredSpecification:
    """Return what is to be trained.

    Parameters
    ----------
    file : TrainingFile
    objective : Objective
    features : int
        Of the data.

    Raises
    ------
    InputError
        If layers, shapes and goals do not fit.
    """
    shape = tuple(file.model.input_shape or (features,))
    layers = tuple(LAYERS[type(table)](table) for table in file.model.layers or ())
    given = sorted(file.constraints.model_fields_set)
    if given:
        raise InputError(f"constraints.{given[0]} is for networks of one hidden layer; leave it or model.layers out")
    return LayeredSpecification(
        Architecture(shape, layers),
        objective,
        Budget(file.budget.nonzeros, file.budget.units, file.budget.features),
        file.objective.l2,
        file.objective.layer_penalty,
        tuple(Goal(name) for name in file.objective.goals),
    )
