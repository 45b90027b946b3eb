"""What a training file with layers asks for: an architecture, its goals, and classes as numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verinet.cli.targets import targets_of
from verinet.errors import InputError
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
from verinet.train import Budget, Loss, Objective, TrainingData
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


def layered_data(file: TrainingFile, table: Dataset) -> tuple[TrainingData, tuple[str, ...], tuple[str, ...]]:
    """Return the data of a training file with layers, the names of the outputs, and of one output's two classes.

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
    targets = targets_of(table, Loss(file.objective.loss))
    columns = list(targets.of_output.values())
    # Of several classes, their numbers.
    y: FloatArray = columns[0] if len(columns) == 1 else np.argmax(columns, axis=0).astype(np.float64)
    data = TrainingData.prepare(table.x, y, classes=bool(targets.classes), names=table.feature_names, shared=images)
    return data, tuple(targets.of_output), targets.classes


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
