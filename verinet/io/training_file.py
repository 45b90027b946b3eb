"""Training files: TOML to what to learn, from which table, under which constraints and limits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, Strict, ValidationInfo, field_validator, model_validator

from verinet.io.layer_schema import GoalChoice, LayerTable
from verinet.io.names import quoted, suggestion
from verinet.io.toml_file import Table, read_toml, validated

__all__ = [
    "BudgetSection",
    "ConditionSection",
    "ConstraintsSection",
    "DataSection",
    "FairSection",
    "FiltersSection",
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
PositiveCount: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Direction: TypeAlias = Literal["increasing", "decreasing"]
SkipChoice: TypeAlias = Literal["penalised", "free", "none"]
MostFeatures: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)] | Literal["auto", "all"]
Size: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
Pair: TypeAlias = Annotated[tuple[Size, Size], Strict(False)]
Shape: TypeAlias = Annotated[tuple[Size, ...], Strict(False), Field(min_length=2, max_length=3)]
MethodChoice: TypeAlias = Literal["any-width", "milp"]


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
    max_features_per_unit: MostFeatures = Field(
        default="auto",
        description="Features that one hidden unit may read, or pixels that a filter may weigh: by default two, or "
        "fewer where there are.",
    )
    skip: SkipChoice | bool = Field(
        default="penalised",
        description="Whether inputs reach the output directly as well, and at what price; true means penalised.",
    )
    weight_bound: Positive = Field(default=10.0, description="The largest magnitude of a weight.")
    layers: Annotated[list[LayerTable], Field(min_length=1)] | None = Field(
        default=None, description="A stack of layers instead of one hidden layer; for the method 'milp'."
    )
    input_shape: Annotated[list[PositiveCount], Field(min_length=1, max_length=3)] | None = Field(
        default=None, description="With layers: [channels, height, width] of images; by default a vector."
    )


class FiltersSection(Table):
    """Samples are images, pixel after pixel of a row and row after row, and hidden units are filters over them."""

    image_shape: Shape = Field(description="Rows and columns of an image, or channels, rows and columns.")
    kernel: Pair = Field(default=(3, 3), description="Rows and columns of a filter.")
    stride: Pair = Field(default=(1, 1), description="How far apart a filter's places are, down and across.")
    pooling: Literal["average", "sum", "max"] = Field(
        default="average", description="What a filter's ReLUs at all places of a cell become."
    )
    grid: Pair = Field(
        default=(1, 1), description="Rows and columns of the cells; one cell pools over the whole image."
    )


class ObjectiveSection(Table):
    """What is minimised: the mean loss plus penalties."""

    loss: Literal["hinge", "logistic", "zero_one", "squared", "l1", "epsilon_insensitive", "pinball"] = "hinge"
    margin: Positive = Field(
        default=1.0, description="The distance from the decision boundary that hinge loss asks for."
    )
    epsilon: Weight = Field(
        default=0.1, description="The error that epsilon-insensitive loss forgives, as a share of the target's range."
    )
    quantile: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="The quantile that pinball loss learns."
    )
    l1: Weight = Field(default=0.001, description="Penalty of each unit of weight magnitude.")
    skip_penalty: Weight | None = Field(
        default=None, description="Penalty of each unit of the skip's weight magnitude; by default `l1`."
    )
    l0: Weight = Field(default=0.0, description="Penalty of each nonzero weight.")
    unit_penalty: Weight = Field(default=0.0, description="Penalty of each hidden unit in use.")
    feature_penalty: Weight = Field(default=0.0, description="Penalty of each feature in use.")
    l2: Weight = Field(default=0.0, description="With layers: penalty of the squares of quantised weights.")
    layer_penalty: Weight = Field(default=0.0, description="With layers: penalty of each gated layer in use.")
    goals: Annotated[tuple[GoalChoice, ...], Strict(False), Field(min_length=1)] = Field(
        default=("objective",), description="With layers: what is optimised, one after the other."
    )


class BudgetSection(Table):
    """The most that the network may use; unlimited where nothing is given."""

    nonzeros: Count | None = None
    units: Count | None = None
    features: Count | None = None


class FairSection(Table):
    """Inputs that differ in protected features only have outputs that differ little."""

    features: Annotated[tuple[Name, ...], Strict(False), Field(min_length=1)] = Field(
        description="The protected features."
    )
    tolerance: Positive = Field(description="The largest difference of outputs.")


class ConditionSection(Table):
    """A condition on the outputs at given points: `low <= sum of weights * outputs <= high`."""

    points: Annotated[tuple[dict[Name, Finite], ...], Strict(False), Field(min_length=1)] = Field(
        description="Inputs, each with a value of every feature."
    )
    weights: Annotated[tuple[Finite, ...], Strict(False)] | None = Field(
        default=None, description="One for each point; by default 1."
    )
    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _weighs_points(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.points):
            raise ValueError(f"{len(self.points)} points need as many weights, found {len(self.weights)}")
        if self.low is None and self.high is None:
            raise ValueError("a condition needs low or high, found neither")
        return self


class ConstraintsSection(Table):
    """What must hold of the trained network."""

    monotone: dict[Name, Direction] = Field(default={}, description="Directions of the prediction, by feature.")
    monotone_by: Literal["construction", "counterexamples"] = Field(
        default="construction",
        description="By the signs of weights, for all inputs; or by counterexamples, for the inputs in `ranges`, where "
        "better networks are found and it takes longer.",
    )
    fair: Annotated[tuple[FairSection, ...], Strict(False)] = Field(
        default=(), description="Individual fairness, by counterexamples."
    )
    ranges: dict[Name, Annotated[tuple[Finite, Finite], Strict(False)]] = Field(
        default={},
        description="Where constraints by counterexamples hold: the range of every feature; by default the data's.",
    )
    condition: Annotated[tuple[ConditionSection, ...], Strict(False)] = Field(
        default=(), description="Conditions on outputs at given points."
    )

    def named(self) -> list[tuple[str, str]]:
        """List the features that are named, each with the key that names it."""
        found = [("monotone", name) for name in self.monotone] + [("ranges", name) for name in self.ranges]
        found += [("fair", name) for section in self.fair for name in section.features]
        return found + [("condition", name) for section in self.condition for point in section.points for name in point]


class SolverSection(Table):
    """The solver and its limits."""

    name: Literal["auto", "gurobi", "highs", "scip", "cpsat"] = "auto"
    time_limit: Positive = Field(default=60.0, description="Seconds.")
    gap_tolerance: Weight | None = Field(
        default=None,
        description="The relative gap at which a network is optimal; by default 0.001 for any width, 0.0001 else.",
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="By default all cores for any width, else one."
    )
    seed: Count = 0


class TrainingFile(Table):
    """What to learn, from which data, under which constraints and limits."""

    method: MethodChoice | None = Field(
        default=None,
        description="The optimum over networks of any width, or over so many units by a mixed-integer programme; by "
        "default any width, unless a key is used that only the other knows.",
    )
    data: DataSection
    model: ModelSection = ModelSection()
    filters: FiltersSection | None = None
    objective: ObjectiveSection = ObjectiveSection()
    budget: BudgetSection = BudgetSection()
    constraints: ConstraintsSection = ConstraintsSection()
    solver: SolverSection = SolverSection()

    @property
    def chosen_method(self) -> MethodChoice:
        """The method that is given, or else the one that the keys ask for."""
        return self.method or ("milp" if self._milp_keys() else "any-width")

    def _milp_keys(self) -> list[str]:
        """List what is asked for that is left to a mixed-integer programme unless the method is given."""
        prices = ("l0", "unit_penalty", "feature_penalty")
        found = [f"objective.{name}" for name in prices if getattr(self.objective, name)]
        found += [f"budget.{name}" for name in ("nonzeros", "features") if getattr(self.budget, name) is not None]
        return self._keys_of_milp_alone() + found

    def _keys_of_milp_alone(self) -> list[str]:
        shapes = ("units", "positive_units", "negative_units", "weight_bound", "layers", "input_shape")
        found = [f"model.{name}" for name in shapes if name in self.model.model_fields_set]
        return found + (["objective.loss"] if self.objective.loss == "zero_one" else [])

    def _keys_of_any_width_alone(self) -> list[str]:
        found = ["model.max_features_per_unit"] if self.model.max_features_per_unit != "auto" else []
        found += ["filters"] if self.filters is not None else []
        found += ["model.skip"] if self.model.skip == "free" else []
        found += [f"constraints.{name}" for name in ("fair", "condition") if getattr(self.constraints, name)]
        found += ["constraints.monotone_by"] if self.constraints.monotone_by != "construction" else []
        found += ["objective.skip_penalty"] if self.objective.skip_penalty is not None else []
        if self.model.layers is not None:
            return found
        return found + (["objective.loss"] if self.objective.loss not in ("hinge", "zero_one", "l1") else [])

    @model_validator(mode="after")
    def _keys_fit_layers(self) -> Self:
        if self.model.layers is not None:
            taken = ("units", "positive_units", "negative_units", "weight_bound", "skip", "max_features_per_unit")
            twice = next((name for name in taken if name in self.model.model_fields_set), None)
            if twice is not None:
                raise ValueError(f"model.{twice} is for networks of one hidden layer; leave it out beside model.layers")
            return self
        alone = [f"objective.{n}" for n in ("l2", "layer_penalty", "goals") if n in self.objective.model_fields_set]
        alone += ["model.input_shape"] if self.model.input_shape is not None else []
        if alone:
            raise ValueError(f"{alone[0]} is for stacks of layers; add model.layers or leave it out")
        return self

    @model_validator(mode="after")
    def _keys_fit_the_method(self) -> Self:
        milp, any_width = self._milp_keys(), self._keys_of_any_width_alone()
        if self.method is None and milp and any_width:
            raise ValueError(
                f"{milp[0]} asks for the method 'milp', {any_width[0]} for 'any-width'; leave one of them out"
            )
        wrong = {"milp": any_width, "any-width": self._keys_of_milp_alone()}.get(self.method or "", [])
        if wrong:
            other = "milp" if self.method == "any-width" else "any-width"
            raise ValueError(
                f"{wrong[0]} asks for the method {other!r}, found method={self.method!r}; change one of them"
            )
        return self

    @model_validator(mode="after")
    def _constrains_features(self) -> Self:
        features = self.data.features
        for key, name in self.constraints.named():
            if name == self.data.target:
                raise ValueError(f"constraints.{key} names the target {quoted(name)}; name features there")
            if features is not None and name not in features:
                raise ValueError(f"constraints.{key} names {quoted(name)}, no feature ({suggestion(name, features)})")
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
