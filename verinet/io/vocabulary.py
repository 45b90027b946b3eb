"""The names that the properties of a file may use, and what they stand for in the network."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

from verinet.errors import PropertyError
from verinet.io.conditions import parse_conditions
from verinet.io.decimals import approximate
from verinet.io.names import quoted, suggestion
from verinet.io.property_schema import Point, Value
from verinet.model import Atom, Feature, PropertySet, Side, Symbol, VariableType

__all__ = ["CopiesVocabulary", "Vocabulary", "check_distinct"]

_OUTPUT = re.compile(r"\bY_(0|[1-9][0-9]{0,8})\b")


def check_distinct(what: str, names: Sequence[str]) -> None:
    """Raise a `PropertyError` if a name is used twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PropertyError(f"the {what} name {quoted(name)} is used twice; choose distinct names")
        seen.add(name)


@dataclass(frozen=True)
class Vocabulary:
    """The names that a file's properties may use.

    Parameters
    ----------
    frame : PropertySet
        Features and outputs; its properties play no part.
    folder : Path
        Where files that it names are looked for.
    """

    frame: PropertySet
    folder: Path = Path()

    def symbols(self, text: str) -> Mapping[str, Symbol]:
        """Return the meaning of every name that a condition may use; unnamed outputs are Y_0, Y_1, ..."""
        symbols = {name: symbol for symbol, name in self.frame.names.items()}
        if not self.frame.outputs:
            for match in _OUTPUT.finditer(text):
                symbols.setdefault(match[0], Symbol(Side.OUTPUT, int(match[1])))
        return symbols

    def where(self, texts: Sequence[str] | None) -> tuple[Atom, ...]:
        """Return the atoms of conditions on the inputs."""
        return _input_conditions(texts, self.symbols)

    def columns(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the network inputs of some features."""
        return tuple(chain.from_iterable(self.frame.columns[self.feature(name).name] for name in names))

    def of_copies(self, copies: tuple[str, ...], shared: tuple[int, ...]) -> "CopiesVocabulary":
        """Return the names that a property of several inputs may use."""
        if not self.frame.outputs:
            raise PropertyError("copies need named outputs; add names to [outputs]")
        return CopiesVocabulary(self.frame, copies, shared)

    def feature(self, name: str) -> Feature:
        """Return the input of a name."""
        for feature in self.frame.features:
            if feature.name == name:
                return feature
        known = [feature.name for feature in self.frame.features]
        raise PropertyError(f"there is no input {quoted(name)} ({suggestion(name, known)})")

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
            raise PropertyError(f"there is no output {quoted(name)} {known}")
        return int(unnamed[1])

    def point(self, point: Point) -> tuple[Fraction, ...]:
        """Return a point's value for every network input."""
        features = self.frame.features
        if isinstance(point, Mapping):
            for name in point:
                self.feature(name)
            missing = next((feature.name for feature in features if feature.name not in point), None)
            if missing is not None:
                raise PropertyError(f"at gives no value for input {quoted(missing)}; add it")
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
                raise PropertyError(f"the categorical input {quoted(name)} cannot have a radius; leave it out")
            if value < 0:
                raise PropertyError(f"a radius must be at least 0, found {approximate(value)} for input {quoted(name)}")
        return tuple(chain.from_iterable([radius.get(f.name, Fraction(0))] * f.width for f in self.frame.features))


@dataclass(frozen=True)
class CopiesVocabulary:
    """The names for several inputs and their outputs: ``a.income``, ``b.score``; shared inputs keep their names.

    Parameters
    ----------
    frame : PropertySet
        With named outputs.
    copies : tuple of str
    shared : tuple of int
        Network inputs that all copies have in common.
    """

    frame: PropertySet
    copies: tuple[str, ...]
    shared: tuple[int, ...]

    def symbols(self, text: str) -> Mapping[str, Symbol]:
        """Return the meaning of every name that a condition may use."""
        # A shared input has one name and a symbol for each copy: the first one stands for all.
        symbols: dict[str, Symbol] = {}
        for symbol, name in self.frame.copy_names(self.copies, self.shared).items():
            symbols.setdefault(name, symbol)
        return symbols

    def where(self, texts: Sequence[str] | None) -> tuple[Atom, ...]:
        """Return the atoms of conditions on the inputs."""
        return _input_conditions(texts, self.symbols)


def _input_conditions(texts: Sequence[str] | None, symbols: Callable[[str], Mapping[str, Symbol]]) -> tuple[Atom, ...]:
    atoms: list[Atom] = []
    for text in texts or ():
        found = parse_conditions(text, symbols(text))
        if any(atom.expression.indices(Side.OUTPUT) for atom in found):
            raise PropertyError(f"the condition {text!r} in where may speak of inputs only; put outputs into require")
        atoms += found
    return tuple(atoms)


def _columns(feature: Feature, value: Value) -> list[Fraction]:
    """Return the network inputs that stand for a feature's value."""
    if feature.values:
        if value not in feature.values:
            raise PropertyError(
                f"at needs one of the values {', '.join(map(quoted, feature.values))} for input "
                f"{quoted(feature.name)}, found "
                f"{value if isinstance(value, str) else approximate(value)!r}"
            )
        return [Fraction(int(value == name)) for name in feature.values]
    if isinstance(value, str):
        raise PropertyError(f"at needs a number for input {quoted(feature.name)}, found {quoted(value)}")
    if not feature.lower <= value <= feature.upper:
        raise PropertyError(
            f"at gives {approximate(value)} for input {quoted(feature.name)}, outside of its range "
            f"[{approximate(feature.lower)}, {approximate(feature.upper)}]"
        )
    if feature.type is not VariableType.CONTINUOUS and value.denominator != 1:
        raise PropertyError(f"at needs a whole number for input {quoted(feature.name)}, found {approximate(value)}")
    return [value]
