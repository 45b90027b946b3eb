"""The schema of property files: which tables and keys there are, and of which types."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from verinet.io.decimals import checked
from verinet.io.toml_file import Table

__all__ = [
    "EquivalentTable",
    "FairTable",
    "InputTable",
    "LinearTable",
    "LipschitzTable",
    "MonotoneTable",
    "NumberedInputs",
    "OutputsTable",
    "Point",
    "PropertyFile",
    "PropertyTable",
    "RangeTable",
    "RobustTable",
    "RuleTable",
    "Value",
    "property_schema",
]


def _number(value: object) -> Fraction:
    # TOML's booleans are Python integers; decimals are fractions already.
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise ValueError(f"expected a number, found {str(value).lower() if isinstance(value, bool) else repr(value)}")
    return checked(Fraction(value))


def _number_or_name(value: object) -> Fraction | str:
    return value if isinstance(value, str) else _number(value)


def _listed(value: object) -> object:
    """Put a single text into a list."""
    return [value] if isinstance(value, str) else value


def _alone(value: object) -> object:
    """Put a single class into a list."""
    return value if isinstance(value, list) else [value]


def _points(value: object) -> object:
    """Put a single point into a list."""
    if isinstance(value, list) and any(isinstance(entry, list | dict) for entry in value):
        return value
    return [value]


def _shape(value: object) -> str:
    """Name the alternative that a value is of."""
    return "table" if isinstance(value, Mapping) else "other"


def _inputs_shape(value: object) -> str:
    """Tell ``count = 784`` from an input that is named count."""
    numbered = isinstance(value, Mapping) and "count" in value and not isinstance(value["count"], Mapping)
    return "numbered" if numbered else "named"


_TEXTS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_VALUE_SCHEMA = {"type": ["number", "string"]}
_CLASS_SCHEMA = {"type": ["integer", "string"]}
_CLASSES_SCHEMA = {"anyOf": [_CLASS_SCHEMA, {"type": "array", "items": _CLASS_SCHEMA, "minItems": 1}]}
_POINT_SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "additionalProperties": _VALUE_SCHEMA},
    {"type": "array", "items": _VALUE_SCHEMA},
]
_POINTS_SCHEMA = {"anyOf": [*_POINT_SCHEMAS, {"type": "array", "items": {"anyOf": _POINT_SCHEMAS}, "minItems": 1}]}

Number: TypeAlias = Annotated[Fraction, PlainValidator(_number), WithJsonSchema({"type": "number"})]
Value: TypeAlias = Annotated[Fraction | str, PlainValidator(_number_or_name), WithJsonSchema(_VALUE_SCHEMA)]
Range: TypeAlias = Annotated[list[Number], Field(min_length=2, max_length=2)]
Texts: TypeAlias = Annotated[list[str], Field(min_length=1), BeforeValidator(_listed), WithJsonSchema(_TEXTS_SCHEMA)]
Name: TypeAlias = Annotated[str, Field(min_length=1)]
Point: TypeAlias = Annotated[
    Annotated[dict[str, Value], Tag("table")] | Annotated[list[Value], Tag("other")], Discriminator(_shape)
]
Where: TypeAlias = Annotated[
    Texts | None, Field(description="Linear conditions on the inputs, all of which hold; elsewhere nothing is claimed.")
]

Band: TypeAlias = Annotated[
    Number | None, Field(description="The largest difference of an output, instead of a class.")
]


class InputTable(Table):
    """One input of the network, in raw units."""

    type: Literal["continuous", "integer", "binary", "categorical"] = Field(
        default="continuous",
        description="A categorical input takes one network input for each of its values (one-hot).",
    )
    range: Range | None = Field(default=None, description="Smallest and largest value, both included.")
    values: list[Name] | None = Field(
        default=None, min_length=2, description="Names of a categorical input's values, in order."
    )


class NumberedInputs(Table):
    """Many alike inputs, named X_0, X_1, ..."""

    count: int = Field(ge=1, le=1_000_000, description="Number of inputs.")
    range: Range = Field(description="Smallest and largest value, both included.")
    type: Literal["continuous", "integer", "binary"] = "continuous"


class OutputsTable(Table):
    """The outputs of the network."""

    names: list[Name] = Field(min_length=1, description="In the order of the network's outputs.")


class LinearTable(Table):
    """A condition over inputs and outputs holds at every input, or at every choice of several inputs."""

    kind: Literal["linear"]
    name: Name
    require: Texts = Field(description="What must hold, such as 'score >= 0.2 or income < 100'; of several all.")
    copies: list[Name] | None = Field(
        default=None,
        min_length=2,
        max_length=8,
        description="Names of inputs to compare, such as a and b; conditions then speak of a.income and b.score.",
    )
    shared: Texts | None = Field(default=None, description="Inputs that all copies have in common.")
    where: Where = None


class MonotoneTable(Table):
    """Raising an input, all else equal, never lowers (or never raises) an output."""

    kind: Literal["monotone"]
    name: Name
    input: Texts = Field(description="The input, or inputs that rise together.")
    output: Name | None = Field(default=None, description="May be left out when there is one named output.")
    direction: Literal["increasing", "decreasing"]
    where: Where = None


class RobustTable(Table):
    """Small changes of an input keep its class, or keep every output within a band."""

    kind: Literal["robust"]
    name: Name
    at: Annotated[list[Point], Field(min_length=1), BeforeValidator(_points), WithJsonSchema(_POINTS_SCHEMA)] | None = (
        Field(
            default=None,
            description="A point, as a table by input name or a list in input order; or a list of points.",
        )
    )
    data: Name | None = Field(
        default=None,
        description="Instead of at: a CSV file of points, relative to this one, with a column for each input.",
    )
    rows: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, min_length=1, description="Which rows of data, counted from 1; by default all."
    )
    radius: Annotated[
        Annotated[dict[str, Number], Tag("table")] | Annotated[Number, Tag("other")], Discriminator(_shape)
    ] = Field(description="The largest change: of every continuous input, or by input name; other inputs are fixed.")
    norm: Literal["linf", "l1"] = Field(
        default="linf", description="Each change by itself, or all changes, as shares of their radii, added up."
    )
    class_: Annotated[int, Field(ge=0)] | Name | None = Field(
        default=None, alias="class", description="The class to keep; by default the network's class at the point."
    )
    top: int = Field(default=1, ge=1, description="The class stays among so many largest outputs; 1 keeps it.")
    band: Band = None
    where: Where = None


class FairTable(Table):
    """Inputs that differ in protected entries only, or nearly so, get the same class or nearly the same outputs."""

    kind: Literal["fair"]
    name: Name
    protected: Texts = Field(description="Inputs that may take any value on either side.")
    tolerance: dict[str, Number] | None = Field(
        default=None, description="By how much other inputs may differ, by name; by default not at all."
    )
    band: Band = None
    where: Where = None


class RangeTable(Table):
    """An output stays within limits."""

    kind: Literal["range"]
    name: Name
    output: Name | None = Field(default=None, description="May be left out when there is one named output.")
    at_least: Number | None = Field(default=None, description="The smallest value that is allowed.")
    at_most: Number | None = Field(default=None, description="The largest value that is allowed.")
    where: Where = None


class LipschitzTable(Table):
    """An output changes by at most a constant times the distance of the inputs."""

    kind: Literal["lipschitz"]
    name: Name
    input: Texts | None = Field(
        default=None, description="Inputs that may change, all others being equal; by default all but categorical ones."
    )
    output: Name | None = Field(default=None, description="May be left out when there is one named output.")
    constant: Number = Field(description="The largest change of the output for each unit of distance.")
    norm: Literal["linf", "l1"] = Field(
        default="linf", description="The distance: the largest change of an input, or the sum of all changes."
    )
    where: Where = None


class EquivalentTable(Table):
    """The network agrees with another one on the class, or on every output within a band."""

    kind: Literal["equivalent"]
    name: Name
    reference: Name = Field(description="The other network, as --network NAME=MODEL.onnx names it.")
    band: Band = None
    where: Where = None


class RuleTable(Table):
    """If inputs meet a condition, then outputs meet another one, or the class is one of some."""

    kind: Literal["rule"]
    name: Name
    if_: Texts = Field(alias="if", description="Condition on the inputs, such as 'debt > 3 * income'; of several all.")
    then: Texts | None = Field(default=None, description="What must hold then; of several all.")
    class_: (
        Annotated[
            list[Annotated[int, Field(ge=0)] | Name],
            Field(min_length=1),
            BeforeValidator(_alone),
            WithJsonSchema(_CLASSES_SCHEMA),
        ]
        | None
    ) = Field(default=None, alias="class", description="The class that the input must have then, or several.")
    where: Where = None


PropertyTable = (
    LinearTable | MonotoneTable | RobustTable | FairTable | RangeTable | LipschitzTable | EquivalentTable | RuleTable
)


class PropertyFile(Table):
    """What must hold of a network."""

    inputs: Annotated[
        Annotated[NumberedInputs, Tag("numbered")]
        | Annotated[dict[Name, InputTable], Field(min_length=1), Tag("named")],
        Discriminator(_inputs_shape),
    ] = Field(description="The network's inputs in order, by name; or count and range of many alike ones.")
    outputs: OutputsTable | None = None
    property: list[Annotated[PropertyTable, Field(discriminator="kind")]] = Field(min_length=1)


def property_schema() -> dict[str, Any]:
    """Return the JSON Schema of property files, for editors."""
    schema = PropertyFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
