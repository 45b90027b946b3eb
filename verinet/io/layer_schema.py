"""Layers and goals of training files: which there are, and which keys they take."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from verinet.io.toml_file import Table

__all__ = [
    "AveragePoolTable",
    "ConvolutionTable",
    "DenseTable",
    "FlattenTable",
    "GatedTable",
    "GoalChoice",
    "LayerTable",
    "MaxPoolTable",
    "ReluTable",
    "WeightsTable",
]

Size: TypeAlias = Annotated[int, Field(ge=1, le=2**20)]
Pair: TypeAlias = Annotated[list[Size], Field(min_length=2, max_length=2)]
GoalChoice: TypeAlias = Literal["objective", "errors", "margin", "nonzeros", "units", "features", "size"]


class WeightsTable(Table):
    """Which values weights may take."""

    kind: Literal["ternary", "binary", "integer", "continuous"] = "ternary"
    limit: Annotated[int, Field(ge=1, le=2**20)] = Field(
        default=1, description="Of integer weights: the largest multiple of the scale."
    )
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="What weights are whole multiples of; a power of two keeps products exact."
    )
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="Of continuous weights: the largest sum of magnitudes of one unit."
    )

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> "WeightsTable":
        foreign = {"limit": "integer", "bound": "continuous"}
        for key, kind in foreign.items():
            if key in self.model_fields_set and self.kind != kind:
                raise ValueError(f"{key} is for {kind} weights, found kind={self.kind!r}; leave one of them out")
        if "scale" in self.model_fields_set and self.kind == "continuous":
            raise ValueError("scale is for quantised weights, found kind='continuous'; use bound")
        return self


def _shape(value: object) -> str:
    """Name the alternative that a value is of."""
    return "table" if isinstance(value, Mapping | WeightsTable) else "other"


WeightsChoice: TypeAlias = Annotated[
    Annotated[WeightsTable, Tag("table")] | Annotated[Literal["ternary", "binary", "continuous"], Tag("other")],
    Discriminator(_shape),
    Field(description="A kind, or a table with its limit and scale."),
]


class DenseTable(Table):
    """Every unit reads every input."""

    kind: Literal["dense"]
    units: Size
    weights: WeightsChoice = "ternary"
    bias: bool = True


class ConvolutionTable(Table):
    """Filters over images."""

    kind: Literal["conv2d"]
    filters: Size
    kernel: Pair = Field(default=[3, 3])
    strides: Pair = Field(default=[1, 1])
    padding: Annotated[int, Field(ge=0, le=2**20)] = 0
    weights: WeightsChoice = "ternary"
    bias: bool = True


class GatedTable(Table):
    """A ReLU layer of as many units as inputs, which the optimum may leave out."""

    kind: Literal["gated"]
    weights: WeightsChoice = "ternary"
    bias: bool = True


class ReluTable(Table):
    """The positive parts."""

    kind: Literal["relu"]


class MaxPoolTable(Table):
    """The largest entry of each window."""

    kind: Literal["max_pool"]
    kernel: Pair = Field(default=[2, 2])
    strides: Pair | None = Field(default=None, description="By default those of the kernel.")


class AveragePoolTable(Table):
    """The mean of each window."""

    kind: Literal["average_pool"]
    kernel: Pair = Field(default=[2, 2])
    strides: Pair | None = Field(default=None, description="By default those of the kernel.")


class FlattenTable(Table):
    """An image as a vector."""

    kind: Literal["flatten"]


LayerTable: TypeAlias = Annotated[
    DenseTable | ConvolutionTable | GatedTable | ReluTable | MaxPoolTable | AveragePoolTable | FlattenTable,
    Field(discriminator="kind"),
]
