"""Property files: TOML to named inputs and outputs, and properties of them, with exact numbers."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Any, get_args

from verinet.errors import PropertyError
from verinet.io.conditions import parse_conditions, parse_formula
from verinet.io.decimals import approximate, parse_decimal
from verinet.io.names import suggestion
from verinet.io.property_schema import (
    InputTable,
    LinearTable,
    MonotoneTable,
    NumberedInputs,
    Point,
    PropertyFile,
    PropertyTable,
    RobustTable,
    Value,
)
from verinet.io.toml_file import read_toml, validated
from verinet.model import (
    All,
    Atom,
    Feature,
    Linear,
    Monotone,
    Norm,
    Property,
    PropertySet,
    Robust,
    Side,
    Symbol,
    VariableType,
)

__all__ = ["read_property_file"]

PLANNED_KINDS = ("equivalent", "fair", "lipschitz", "range", "rule")
"""Kinds of property that the language knows and this version cannot decide."""

_OUTPUT = re.compile(r"\bY_(0|[1-9][0-9]{0,8})\b")


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
            raise PropertyError(f"property[{number}]: kind {kind!r} is not supported yet; {supported}")
        raise PropertyError(f"property[{number}]: kind {kind!r} is unknown; {supported}")


def _property_set(file: PropertyFile) -> PropertySet:
    frame = PropertySet(_features(file.inputs), tuple(file.outputs.names if file.outputs else ()), ())
    _check_names(frame)
    for feature in frame.features:
        if feature.lower > feature.upper:
            raise PropertyError(
                f"the range of input {feature.name!r} is empty: {approximate(feature.lower)} exceeds "
                f"{approximate(feature.upper)}; swap them"
            )
    _ = frame.domain  # It raises if a range leaves an input no value.
    vocabulary = Vocabulary(frame)
    properties: list[Property] = []
    for table in file.property:
        try:
            properties += BUILDERS[type(table)](table, vocabulary)
        except PropertyError as error:
            raise PropertyError(f"property {table.name!r}: {error}") from None
    _check_distinct("property", [prop.name for prop in properties])
    return replace(frame, properties=tuple(properties))


def _features(inputs: NumberedInputs | Mapping[str, InputTable]) -> tuple[Feature, ...]:
    if isinstance(inputs, NumberedInputs):
        low, high = inputs.range
        return tuple(Feature(f"X_{i}", low, high, VariableType(inputs.type)) for i in range(inputs.count))
    return tuple(_feature(name, table) for name, table in inputs.items())


def _feature(name: str, table: InputTable) -> Feature:
    if table.type == "categorical":
        if table.values is None or table.range is not None:
            raise PropertyError(f"input {name!r}: a categorical input needs values, a list of names, and no range")
        return Feature(name, Fraction(0), Fraction(1), VariableType.BINARY, tuple(table.values))
    if table.values is not None:
        raise PropertyError(f"input {name!r}: values are for a categorical input; give a range or type = 'categorical'")
    if table.range is None and table.type != "binary":
        raise PropertyError(f"input {name!r}: a range is missing; add range = [smallest, largest]")
    low, high = table.range or (Fraction(0), Fraction(1))
    return Feature(name, low, high, VariableType(table.type))


def _check_names(frame: PropertySet) -> None:
    for feature in frame.features:
        _check_distinct(f"value of input {feature.name!r}", feature.values)
    categorical = [feature.name for feature in frame.features if feature.values]
    _check_distinct("input or output", [*frame.names.values(), *categorical])


def _check_distinct(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PropertyError(f"the {what} name {name!r} is used twice; choose distinct names")
        seen.add(name)


@dataclass(frozen=True)
class Vocabulary:
    """The names that a file's properties may use.

    Parameters
    ----------
    frame : PropertySet
        Features and outputs; its properties play no part.
    """

    frame: PropertySet

    def symbols(self, text: str) -> Mapping[str, Symbol]:
        """Return the meaning of every name that a condition may use; unnamed outputs are Y_0, Y_1, ..."""
        symbols = {name: symbol for symbol, name in self.frame.names.items()}
        if not self.frame.outputs:
            for match in _OUTPUT.finditer(text):
                symbols.setdefault(match[0], Symbol(Side.OUTPUT, int(match[1])))
        return symbols

    def where(self, texts: Sequence[str] | None) -> tuple[Atom, ...]:
        """Return the atoms of conditions on the inputs."""
        atoms: list[Atom] = []
        for text in texts or ():
            found = parse_conditions(text, self.symbols(text))
            if any(atom.expression.indices(Side.OUTPUT) for atom in found):
                raise PropertyError(
                    f"the condition {text!r} in where may speak of inputs only; put outputs into require"
                )
            atoms += found
        return tuple(atoms)

    def feature(self, name: str) -> Feature:
        """Return the input of a name."""
        for feature in self.frame.features:
            if feature.name == name:
                return feature
        known = [feature.name for feature in self.frame.features]
        raise PropertyError(f"there is no input {name!r} ({suggestion(name, known)})")

    def output(self, name: str | None) -> int:
        """Return the output of a name, by default the only one."""
        outputs = self.frame.outputs
        if name is None:
            if len(outputs) != 1:
                raise PropertyError(
                    f"output is missing; it may be left out with one named output, found {len(outputs)}"
                )
            return 0
        if name in outputs:
            return outputs.index(name)
        unnamed = None if outputs else _OUTPUT.fullmatch(name)
        if unnamed is None:
            known = (
                f"({suggestion(name, outputs)})" if outputs else "(outputs without [outputs] names are Y_0, Y_1, ...)"
            )
            raise PropertyError(f"there is no output {name!r} {known}")
        return int(unnamed[1])

    def point(self, point: Point) -> tuple[Fraction, ...]:
        """Return a point's value for every network input."""
        features = self.frame.features
        if isinstance(point, Mapping):
            for name in point:
                self.feature(name)
            missing = next((feature.name for feature in features if feature.name not in point), None)
            if missing is not None:
                raise PropertyError(f"at gives no value for input {missing!r}; add it")
            values = [point[feature.name] for feature in features]
        else:
            values = list(point)
        if len(values) != len(features):
            raise PropertyError(f"at needs {len(features)} values, one for each input, found {len(values)}")
        return tuple(chain.from_iterable(_columns(f, value) for f, value in zip(features, values, strict=True)))

    def radius(self, radius: Fraction | Mapping[str, Fraction]) -> tuple[Fraction, ...]:
        """Return the radius of every network input; without names, continuous inputs change and others do not."""
        if not isinstance(radius, Mapping):
            moving = [f.name for f in self.frame.features if f.type is VariableType.CONTINUOUS]
            if not moving:
                raise PropertyError("one radius is for the continuous inputs, found none; name inputs in a table")
            radius = dict.fromkeys(moving, radius)
        for name, value in radius.items():
            if self.feature(name).values:
                raise PropertyError(f"the categorical input {name!r} cannot have a radius; leave it out")
            if value < 0:
                raise PropertyError(f"a radius must be at least 0, found {approximate(value)} for input {name!r}")
        return tuple(chain.from_iterable([radius.get(f.name, Fraction(0))] * f.width for f in self.frame.features))


def _columns(feature: Feature, value: Value) -> list[Fraction]:
    """Return the network inputs that stand for a feature's value."""
    if feature.values:
        if value not in feature.values:
            raise PropertyError(
                f"at needs one of the values {', '.join(map(repr, feature.values))} for input {feature.name!r}, found "
                f"{value if isinstance(value, str) else approximate(value)!r}"
            )
        return [Fraction(int(value == name)) for name in feature.values]
    if isinstance(value, str):
        raise PropertyError(f"at needs a number for input {feature.name!r}, found {value!r}")
    if not feature.lower <= value <= feature.upper:
        raise PropertyError(
            f"at gives {approximate(value)} for input {feature.name!r}, outside of its range "
            f"[{approximate(feature.lower)}, {approximate(feature.upper)}]"
        )
    if feature.type is not VariableType.CONTINUOUS and value.denominator != 1:
        raise PropertyError(f"at needs a whole number for input {feature.name!r}, found {approximate(value)}")
    return [value]


def _linear(table: LinearTable, vocabulary: Vocabulary) -> Iterator[Property]:
    formulas = tuple(parse_formula(text, vocabulary.symbols(text)) for text in table.require)
    require = formulas[0] if len(formulas) == 1 else All(formulas)
    yield Linear(table.name, require, vocabulary.where(table.where))


def _monotone(table: MonotoneTable, vocabulary: Vocabulary) -> Iterator[Property]:
    _check_distinct("input", table.input)
    for name in table.input:
        if vocabulary.feature(name).values:
            raise PropertyError(f"the categorical input {name!r} has no order to be monotone in")
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
