"""Property files: TOML to named inputs and outputs, and properties of them, with exact numbers."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, get_args

from verinet.errors import PropertyError
from verinet.io.conditions import parse_formula
from verinet.io.decimals import approximate, parse_decimal
from verinet.io.names import quoted
from verinet.io.property_schema import (
    InputTable,
    LinearTable,
    MonotoneTable,
    NumberedInputs,
    PropertyFile,
    PropertyTable,
    RobustTable,
)
from verinet.io.toml_file import read_toml, validated
from verinet.io.vocabulary import Vocabulary, check_distinct
from verinet.model import (
    All,
    Feature,
    Linear,
    Monotone,
    Norm,
    Property,
    PropertySet,
    Robust,
    VariableType,
)

__all__ = ["read_property_file"]

PLANNED_KINDS = ("equivalent", "fair", "lipschitz", "range", "rule")
"""Kinds of property that the language knows and this version cannot decide."""


def read_property_file(path: str | os.PathLike[str]) -> PropertySet:
    """Read a property file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    PropertySet
        A robust property at several points becomes one property a point, named ``name [1]``, ``name [2]``, ...

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not TOML, or a table or key is unknown, missing or of another type.
    PropertyError
        If a property is of an unknown kind, speaks of unknown names, or contradicts itself.

    Notes
    -----
    Soundness: every number is the exact rational that its decimal says.
    """
    file = os.fspath(path)
    content = read_toml(path, parse_float=parse_decimal)
    try:
        _check_kinds(content)
        return _property_set(validated(PropertyFile, content, file))
    except PropertyError as error:
        raise PropertyError(f"{file}: {error}") from None


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Refuse unknown kinds before the schema does, for it cannot say that a kind is planned."""
    tables = content.get("property")
    for number, table in enumerate(tables if isinstance(tables, list) else (), start=1):
        kind = table.get("kind") if isinstance(table, dict) else None
        if kind in SUPPORTED_KINDS or not isinstance(kind, str):
            continue
        supported = f"supported kinds: {', '.join(SUPPORTED_KINDS)}"
        if kind in PLANNED_KINDS:
            raise PropertyError(f"property[{number}]: kind {quoted(kind)} is not supported yet; {supported}")
        raise PropertyError(f"property[{number}]: kind {quoted(kind)} is unknown; {supported}")


def _property_set(file: PropertyFile) -> PropertySet:
    frame = PropertySet(_features(file.inputs), tuple(file.outputs.names if file.outputs else ()), ())
    _check_names(frame)
    for feature in frame.features:
        if feature.lower > feature.upper:
            raise PropertyError(
                f"the range of input {quoted(feature.name)} is empty: {approximate(feature.lower)} exceeds "
                f"{approximate(feature.upper)}; swap them"
            )
    _ = frame.domain  # It raises if a range leaves an input no value.
    vocabulary = Vocabulary(frame)
    properties: list[Property] = []
    for table in file.property:
        try:
            properties += BUILDERS[type(table)](table, vocabulary)
        except PropertyError as error:
            raise PropertyError(f"property {quoted(table.name)}: {error}") from None
    check_distinct("property", [prop.name for prop in properties])
    return replace(frame, properties=tuple(properties))


def _features(inputs: NumberedInputs | Mapping[str, InputTable]) -> tuple[Feature, ...]:
    if isinstance(inputs, NumberedInputs):
        low, high = inputs.range
        return tuple(Feature(f"X_{i}", low, high, VariableType(inputs.type)) for i in range(inputs.count))
    return tuple(_feature(name, table) for name, table in inputs.items())


def _feature(name: str, table: InputTable) -> Feature:
    if table.type == "categorical":
        if table.values is None or table.range is not None:
            raise PropertyError(
                f"input {quoted(name)}: a categorical input needs values, a list of names, and no range"
            )
        return Feature(name, Fraction(0), Fraction(1), VariableType.BINARY, tuple(table.values))
    if table.values is not None:
        raise PropertyError(
            f"input {quoted(name)}: values are for a categorical input; give a range or type = 'categorical'"
        )
    if table.range is None and table.type != "binary":
        raise PropertyError(f"input {quoted(name)}: a range is missing; add range = [smallest, largest]")
    low, high = table.range or (Fraction(0), Fraction(1))
    return Feature(name, low, high, VariableType(table.type))


def _check_names(frame: PropertySet) -> None:
    for feature in frame.features:
        check_distinct(f"value of input {quoted(feature.name)}", feature.values)
    categorical = [feature.name for feature in frame.features if feature.values]
    check_distinct("input or output", [*frame.names.values(), *categorical])


def _linear(table: LinearTable, vocabulary: Vocabulary) -> Iterator[Property]:
    formulas = tuple(parse_formula(text, vocabulary.symbols(text)) for text in table.require)
    require = formulas[0] if len(formulas) == 1 else All(formulas)
    yield Linear(table.name, require, vocabulary.where(table.where))


def _monotone(table: MonotoneTable, vocabulary: Vocabulary) -> Iterator[Property]:
    check_distinct("input", table.input)
    for name in table.input:
        if vocabulary.feature(name).values:
            raise PropertyError(f"the categorical input {quoted(name)} has no order to be monotone in")
    yield Monotone(
        table.name,
        tuple(vocabulary.frame.columns[name][0] for name in table.input),
        vocabulary.output(table.output),
        table.direction == "increasing",
        vocabulary.where(table.where),
    )


def _robust(table: RobustTable, vocabulary: Vocabulary) -> Iterator[Property]:
    if table.band is not None and table.class_ is not None:
        raise PropertyError("a robust property keeps a class or a band, found both; leave one out")
    if table.band is not None and table.band < 0:
        raise PropertyError(f"a band must be at least 0, found {approximate(table.band)}")
    radius = vocabulary.radius(table.radius)
    if table.norm == "l1" and len({value for value in radius if value}) > 1:
        raise PropertyError("the l1 norm needs one radius for all inputs that may change, found several")
    for number, point in enumerate(table.at, start=1):
        yield Robust(
            table.name if len(table.at) == 1 else f"{table.name} [{number}]",
            vocabulary.point(point),
            radius,
            Norm(table.norm),
            _label(table.class_, vocabulary),
            table.band,
            vocabulary.where(table.where),
        )


def _label(name: int | str | None, vocabulary: Vocabulary) -> int | None:
    count = len(vocabulary.frame.outputs)
    if isinstance(name, str) and count != 1:
        return vocabulary.output(name)
    if count == 1 and name not in (None, 0, 1):
        raise PropertyError(f"with one output the class is 1 (positive) or 0, found {name!r}")
    if isinstance(name, int) and 1 < count <= name:
        raise PropertyError(f"class {name} does not exist, the outputs are numbered from 0 to {count - 1}")
    return name if isinstance(name, int) else None


BUILDERS: Mapping[type[PropertyTable], Callable[[Any, Vocabulary], Iterator[Property]]] = {
    LinearTable: _linear,
    MonotoneTable: _monotone,
    RobustTable: _robust,
}
"""How each kind of table becomes properties; the key is the type of the first argument."""

SUPPORTED_KINDS = tuple(get_args(table.model_fields["kind"].annotation)[0] for table in BUILDERS)
