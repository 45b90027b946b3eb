"""Training files: TOML to what to learn, from which table, under which constraints and limits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, Strict, ValidationInfo, field_validator, model_validator

from verinet.io.names import quoted, suggestion
from verinet.io.toml_file import Table, read_toml, validated

__all__ = [
    "BudgetSection",
    "ConstraintsSection",
    "DataSection",
    "ModelSection",
    "ObjectiveSection",
    "SolverSection",
    "TrainingFile",
    "read_training_file",
    "training_schema",
]

Name: TypeAlias = Annotated[str, Field(min_length=1)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Direction: TypeAlias = Literal["increasing", "decreasing"]


class DataSection(Table):
    """The table to learn from."""

    file: Annotated[Path, Strict(False)] = Field(description="A CSV file; relative to the training file.")
    target: Name = Field(description="The column to predict.")
    features: Annotated[tuple[Name, ...], Strict(False), Field(min_length=1)] | None = Field(
        default=None, description="The columns to predict from; by default all others."
    )

    @field_validator("file")
    @classmethod
    def _resolved(cls, file: Path, info: ValidationInfo) -> Path:
        folder: Path = (info.context or {}).get("folder", Path.cwd())
        return folder / file

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        features = self.features or ()
        twice = next((name for i, name in enumerate(features) if name in features[:i]), None)
        if twice is not None:
            raise ValueError(f"the feature {quoted(twice)} is listed twice; list it once")
        if self.target in features:
            raise ValueError(f"the target {quoted(self.target)} is listed as a feature too; leave it out there")
        return self


class ModelSection(Table):
    """The network to choose weights for."""

    units: Count = Field(default=2, description="The most hidden ReLU units, of either sign.")
    positive_units: Count | None = Field(
        default=None, description="Units that add to the output; by default as many as `units`."
    )
    negative_units: Count | None = Field(
        default=None, description="Units that subtract from the output; by default as many as `units`."
    )
    skip: bool = Field(default=True, description="Whether inputs reach the output directly as well.")
    weight_bound: Positive = Field(default=10.0, description="The largest magnitude of a weight.")


class ObjectiveSection(Table):
    """What is minimised: the mean loss plus penalties."""

    loss: Literal["hinge", "zero_one", "l1"] = "hinge"
    margin: Positive = Field(
        default=1.0, description="The distance from the decision boundary that hinge loss asks for."
    )
    l1: Weight = Field(default=0.001, description="Penalty of each unit of weight magnitude.")
    l0: Weight = Field(default=0.0, description="Penalty of each nonzero weight.")
    unit_penalty: Weight = Field(default=0.0, description="Penalty of each hidden unit in use.")
    feature_penalty: Weight = Field(default=0.0, description="Penalty of each feature in use.")


class BudgetSection(Table):
    """The most that the network may use; unlimited where nothing is given."""

    nonzeros: Count | None = None
    units: Count | None = None
    features: Count | None = None


class ConstraintsSection(Table):
    """What must hold of the trained network."""

    monotone: dict[Name, Direction] = Field(default={}, description="Directions of the prediction, by feature.")


class SolverSection(Table):
    """The solver and its limits."""

    name: Literal["auto", "gurobi", "highs"] = "auto"
    time_limit: Positive = Field(default=60.0, description="Seconds.")
    gap_tolerance: Weight = Field(default=1e-4, description="The relative gap at which a network counts as optimal.")
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    seed: Count = 0


class TrainingFile(Table):
    """What to learn, from which data, under which constraints and limits."""

    data: DataSection
    model: ModelSection = ModelSection()
    objective: ObjectiveSection = ObjectiveSection()
    budget: BudgetSection = BudgetSection()
    constraints: ConstraintsSection = ConstraintsSection()
    solver: SolverSection = SolverSection()

    @model_validator(mode="after")
    def _constrains_features(self) -> Self:
        features = self.data.features
        for name in self.constraints.monotone:
            if name == self.data.target:
                raise ValueError(f"constraints.monotone names the target {quoted(name)}; name features there")
            if features is not None and name not in features:
                raise ValueError(
                    f"constraints.monotone names {quoted(name)}, no feature ({suggestion(name, features)})"
                )
        return self


def read_training_file(path: str | os.PathLike[str]) -> TrainingFile:
    """Read a training file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    TrainingFile
        The data file is an absolute path.

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not TOML, or a table or key is unknown, missing, of another type or out of its range.
    """
    context: Mapping[str, Any] = {"folder": Path(path).absolute().parent}
    return validated(TrainingFile, read_toml(path), os.fspath(path), context)


def training_schema() -> dict[str, Any]:
    """Return the JSON Schema of training files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TrainingFile.model_json_schema()}
