"""Property files: TOML to named inputs and outputs, and properties of them, with exact numbers."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from verinet.errors import PropertyError
from verinet.io.conditions import parse_formula
from verinet.io.decimals import approximate, parse_decimal
from verinet.io.names import quoted
from verinet.io.property_schema import (
    EquivalentTable,
    FairTable,
    InputTable,
    LinearTable,
    LipschitzTable,
    MonotoneTable,
    NumberedInputs,
    Point,
    PropertyFile,
    PropertyTable,
    RangeTable,
    RobustTable,
    RuleTable,
)
from verinet.io.rows import read_points
from verinet.io.toml_file import read_toml, validated
from verinet.io.vocabulary import Vocabulary, check_distinct
from verinet.model import (
    All,
    Equivalent,
    Fair,
    Feature,
    Formula,
    Linear,
    Lipschitz,
    Monotone,
    Norm,
    Property,
    PropertySet,
    Range,
    Robust,
    Rule,
    Side,
    Symbol,
    VariableType,
    disjunctive_form,
)

__all__ = ["read_property_file"]


def read_property_file(path: str | os.PathLike[str]) -> PropertySet:
    """Read a property file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    PropertySet
        A robust property at several points becomes one property a point, named ``name [1]``, ``name [2]``, ..., or
        after the rows of a data file.

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
        return _property_set(validated(PropertyFile, content, file), Path(file).parent)
    except PropertyError as error:
        raise PropertyError(f"{file}: {error}") from None


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Refuse unknown kinds before the schema does, in fewer words."""
    tables = content.get("property")
    for number, table in enumerate(tables if isinstance(tables, list) else (), start=1):
        kind = table.get("kind") if isinstance(table, dict) else None
        if kind in SUPPORTED_KINDS or not isinstance(kind, str):
            continue
        supported = f"supported kinds: {', '.join(SUPPORTED_KINDS)}"
        raise PropertyError(f"property[{number}]: kind {quoted(kind)} is unknown; {supported}")


def _property_set(file: PropertyFile, folder: Path) -> PropertySet:
    frame = PropertySet(_features(file.inputs), tuple(file.outputs.names if file.outputs else ()), ())
    _check_names(frame)
    for feature in frame.features:
        if feature.lower > feature.upper:
            raise PropertyError(
                f"the range of input {quoted(feature.name)} is empty: {approximate(feature.lower)} exceeds "
                f"{approximate(feature.upper)}; swap them"
            )
    _ = frame.domain  # It raises if a range leaves an input no value.
    vocabulary = Vocabulary(frame, folder)
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
    if table.copies is None:
        if table.shared is not None:
            raise PropertyError("shared inputs are for a property with copies; add copies or leave shared out")
        yield Linear(table.name, _formula(table.require, vocabulary.symbols), vocabulary.where(table.where))
        return
    check_distinct("copy", table.copies)
    shared = vocabulary.columns(table.shared or ())
    several = vocabulary.of_copies(tuple(table.copies), shared)
    require = _formula(table.require, several.symbols)
    yield Linear(table.name, require, several.where(table.where), tuple(table.copies), shared)


def _formula(texts: Sequence[str], symbols: Callable[[str], Mapping[str, Symbol]]) -> Formula:
    """Read texts that hold together."""
    formulas = tuple(parse_formula(text, symbols(text)) for text in texts)
    return formulas[0] if len(formulas) == 1 else All(formulas)


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
    if table.band is not None and (table.class_ is not None or table.top > 1):
        raise PropertyError("a robust property keeps a class or a band, found both; leave one out")
    _check_band(table.band)
    outputs = len(vocabulary.frame.outputs)
    if outputs and table.top > 1 and table.top >= outputs:
        raise PropertyError(f"top must be less than the number of outputs, {outputs}, found {table.top}")
    radius = vocabulary.radius(table.radius)
    if table.norm == "l1" and len({value for value in radius if value}) > 1:
        raise PropertyError("the l1 norm needs one radius for all inputs that may change, found several")
    for label, point in _points(table, vocabulary):
        yield Robust(
            f"{table.name}{label}",
            vocabulary.point(point),
            radius,
            Norm(table.norm),
            _label(table.class_, vocabulary),
            table.band,
            vocabulary.where(table.where),
            table.top,
        )


def _points(table: RobustTable, vocabulary: Vocabulary) -> Iterator[tuple[str, Point]]:
    """Yield the points of a robust property, each with what tells its name from those of the others."""
    if (table.at is None) == (table.data is None):
        found = "neither" if table.at is None else "both"
        raise PropertyError(f"a robust property needs points in at, or a file of points as data, found {found}")
    if table.rows is not None and table.data is None:
        raise PropertyError("rows are those of a data file; add data or leave rows out")
    if table.data is not None:
        points = read_points(vocabulary.folder / table.data, vocabulary.frame, table.rows)
        yield from ((f" [{row}]", point) for row, point in points)
    elif table.at is not None:
        yield from ((f" [{k}]" if len(table.at) > 1 else "", point) for k, point in enumerate(table.at, start=1))


def _check_band(band: Fraction | None) -> None:
    if band is not None and band < 0:
        raise PropertyError(f"a band must be at least 0, found {approximate(band)}")


def _fair(table: FairTable, vocabulary: Vocabulary) -> Iterator[Property]:
    check_distinct("input", table.protected)
    _check_band(table.band)
    tolerance = vocabulary.radius(table.tolerance or {})
    for name in table.tolerance or {}:
        if name in table.protected:
            raise PropertyError(f"the protected input {quoted(name)} may change freely; leave its tolerance out")
    yield Fair(
        table.name,
        vocabulary.columns(table.protected),
        tolerance if any(tolerance) else (),
        table.band,
        vocabulary.where(table.where),
    )


def _range(table: RangeTable, vocabulary: Vocabulary) -> Iterator[Property]:
    if table.at_least is None and table.at_most is None:
        raise PropertyError("a range needs at_least, at_most or both, found neither")
    if table.at_least is not None and table.at_most is not None and table.at_least > table.at_most:
        low, high = approximate(table.at_least), approximate(table.at_most)
        raise PropertyError(f"a range needs at_least to be no more than at_most, found {low} and {high}")
    where = vocabulary.where(table.where)
    yield Range(table.name, vocabulary.output(table.output), table.at_least, table.at_most, where)


def _lipschitz(table: LipschitzTable, vocabulary: Vocabulary) -> Iterator[Property]:
    if table.constant < 0:
        raise PropertyError(f"a Lipschitz constant must be at least 0, found {approximate(table.constant)}")
    features = vocabulary.frame.features
    names = table.input or [feature.name for feature in features if not feature.values]
    check_distinct("input", names)
    if not names:
        raise PropertyError("a distance needs inputs that are numbers, found categorical ones only")
    for name in names:
        if vocabulary.feature(name).values:
            raise PropertyError(f"the categorical input {quoted(name)} has no distance; leave it out")
    yield Lipschitz(
        table.name,
        vocabulary.columns(names),
        vocabulary.output(table.output),
        table.constant,
        Norm(table.norm),
        vocabulary.where(table.where),
    )


def _equivalent(table: EquivalentTable, vocabulary: Vocabulary) -> Iterator[Property]:
    _check_band(table.band)
    yield Equivalent(table.name, table.reference, table.band, vocabulary.where(table.where))


def _rule(table: RuleTable, vocabulary: Vocabulary) -> Iterator[Property]:
    if table.then is None and table.class_ is None:
        raise PropertyError("a rule needs then, class or both, found neither")
    condition = _formula(table.if_, vocabulary.symbols)
    if any(atom.expression.indices(Side.OUTPUT) for case in disjunctive_form(condition) for atom in case):
        raise PropertyError("the condition of a rule may speak of inputs only; put outputs into then")
    labels = [_label(name, vocabulary) for name in table.class_ or ()]
    classes = tuple(label for label in labels if label is not None)
    if len(set(classes)) < len(classes):
        raise PropertyError(f"the classes of a rule must be distinct, found {table.class_}")
    conclusion = None if table.then is None else _formula(table.then, vocabulary.symbols)
    yield Rule(table.name, condition, conclusion, classes, vocabulary.where(table.where))


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
    FairTable: _fair,
    RangeTable: _range,
    LipschitzTable: _lipschitz,
    EquivalentTable: _equivalent,
    RuleTable: _rule,
}
"""How each kind of table becomes properties; the key is the type of the first argument."""

SUPPORTED_KINDS = tuple(get_args(table.model_fields["kind"].annotation)[0] for table in BUILDERS)
