"""Property files from property sets, readable and with exact decimals."""

import json
import keyword
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from verinet.errors import PropertyError
from verinet.io.decimals import exact_decimal, finite_decimal
from verinet.io.files import write_atomically
from verinet.model import (
    All,
    Atom,
    Equivalent,
    Fair,
    Feature,
    Formula,
    Linear,
    LinearExpression,
    Lipschitz,
    Monotone,
    Norm,
    PropertySet,
    Range,
    Robust,
    Rule,
    Side,
    Symbol,
    VariableType,
)

__all__ = ["write_property_file"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_property_file(path: str | os.PathLike[str], property_set: PropertySet) -> None:
    """Write a property file that `read_property_file` reads as the same property set.

    Parameters
    ----------
    path : path-like
    property_set : PropertySet

    Raises
    ------
    InputError
        If a number has no finite decimal outside of a condition.
    PropertyError
        If a property cannot be said in a property file, such as a formula that always holds.

    Notes
    -----
    Soundness: numbers are written with all their digits. A condition with a coefficient like 1/3 is multiplied by the
    denominators first, which keeps its meaning.
    """
    blocks = [_feature_block(feature) for feature in property_set.features]
    if property_set.outputs:
        blocks.append(["[outputs]", f"names = {_list(map(_text, property_set.outputs))}"])
    blocks += [
        ["[[property]]", f"name = {_text(prop.name)}", *BUILDERS[type(prop)](prop, property_set)]
        for prop in property_set.properties
    ]
    write_atomically(path, "\n\n".join("\n".join(block) for block in blocks) + "\n")


def _feature_block(feature: Feature) -> list[str]:
    header = f"[inputs.{_key(feature.name)}]"
    if feature.values:
        return [header, 'type = "categorical"', f"values = {_list(map(_text, feature.values))}"]
    limits = f"range = [{exact_decimal(feature.lower)}, {exact_decimal(feature.upper)}]"
    kind = [] if feature.type is VariableType.CONTINUOUS else [f"type = {_text(feature.type.value)}"]
    return [header, *kind, limits]


def _linear(prop: Linear, property_set: PropertySet) -> list[str]:
    names = property_set.copy_names(prop.copies, prop.shared) if prop.copies else property_set.names
    lines = ['kind = "linear"', *_conditions("require", prop.require, names)]
    lines += [f"copies = {_list(map(_text, prop.copies))}"] if prop.copies else []
    lines += [f"shared = {_texts(property_set.feature_names(prop.shared))}"] if prop.shared else []
    return lines + _where(prop.where, names)


def _conditions(key: str, formula: Formula, names: Mapping[Symbol, str]) -> list[str]:
    parts = formula.parts if isinstance(formula, All) and len(formula.parts) > 1 else (formula,)
    return [f"{key} = {_texts([_formula(part, names) for part in parts])}"]


def _monotone(prop: Monotone, property_set: PropertySet) -> list[str]:
    inputs = [property_set.names[Symbol(Side.INPUT, index)] for index in prop.inputs]
    return [
        'kind = "monotone"',
        f"input = {_texts(inputs)}",
        _output(prop.output, property_set),
        f"direction = {_text('increasing' if prop.increasing else 'decreasing')}",
        *_where(prop.where, property_set.names),
    ]


def _robust(prop: Robust, property_set: PropertySet) -> list[str]:
    centre, radius = [], []
    for feature in property_set.features:
        columns = property_set.columns[feature.name]
        centre.append(f"{_key(feature.name)} = {_value(feature, [prop.centre[i] for i in columns])}")
        change = [prop.radius[i] for i in columns]
        if feature.values and any(change):
            raise PropertyError(f"{prop.name!r}: a property file cannot change the categorical input {feature.name!r}")
        if change[0]:
            radius.append(f"{_key(feature.name)} = {exact_decimal(change[0])}")
    lines = ['kind = "robust"', f"at = {{ {', '.join(centre)} }}", f"radius = {{ {', '.join(radius)} }}"]
    lines += [] if prop.norm is Norm.LINF else [f"norm = {_text(prop.norm.value)}"]
    lines += [] if prop.label is None else [f"class = {prop.label}"]
    lines += [] if prop.top == 1 else [f"top = {prop.top}"]
    return lines + _number("band", prop.band) + _where(prop.where, property_set.names)


def _number(key: str, value: Fraction | None) -> list[str]:
    return [] if value is None else [f"{key} = {exact_decimal(value)}"]


def _fair(prop: Fair, property_set: PropertySet) -> list[str]:
    lines = ['kind = "fair"', f"protected = {_texts(property_set.feature_names(prop.protected))}"]
    tolerance = [
        f"{_key(name)} = {exact_decimal(most)}"
        for name, most in zip(property_set.input_names, prop.tolerance, strict=False)
        if most
    ]
    lines += [f"tolerance = {{ {', '.join(tolerance)} }}"] if tolerance else []
    return lines + _number("band", prop.band) + _where(prop.where, property_set.names)


def _output(index: int, property_set: PropertySet) -> str:
    return f"output = {_text(_name(Symbol(Side.OUTPUT, index), property_set.names))}"


def _range(prop: Range, property_set: PropertySet) -> list[str]:
    lines = ['kind = "range"', _output(prop.output, property_set)]
    lines += _number("at_least", prop.lower) + _number("at_most", prop.upper)
    return lines + _where(prop.where, property_set.names)


def _lipschitz(prop: Lipschitz, property_set: PropertySet) -> list[str]:
    return [
        'kind = "lipschitz"',
        f"input = {_texts([property_set.input_names[i] for i in prop.inputs])}",
        _output(prop.output, property_set),
        *_number("constant", prop.constant),
        *([] if prop.norm is Norm.LINF else [f"norm = {_text(prop.norm.value)}"]),
        *_where(prop.where, property_set.names),
    ]


def _equivalent(prop: Equivalent, property_set: PropertySet) -> list[str]:
    lines = ['kind = "equivalent"', f"reference = {_text(prop.reference)}"]
    return lines + _number("band", prop.band) + _where(prop.where, property_set.names)


def _rule(prop: Rule, property_set: PropertySet) -> list[str]:
    lines = ['kind = "rule"', *_conditions("if", prop.condition, property_set.names)]
    if prop.conclusion is not None:
        lines += _conditions("then", prop.conclusion, property_set.names)
    if prop.classes:
        lines.append(f"class = {_list(map(str, prop.classes))}")
    return lines + _where(prop.where, property_set.names)


BUILDERS: Mapping[type, Callable[[Any, PropertySet], list[str]]] = {
    Linear: _linear,
    Monotone: _monotone,
    Robust: _robust,
    Fair: _fair,
    Range: _range,
    Lipschitz: _lipschitz,
    Equivalent: _equivalent,
    Rule: _rule,
}
"""How each kind is written; the key is the type of the first argument."""


def _value(feature: Feature, columns: list[Fraction]) -> str:
    if not feature.values:
        return exact_decimal(columns[0])
    if sorted(columns) != [0] * (len(columns) - 1) + [1]:
        raise PropertyError(
            f"the columns of the categorical input {feature.name!r} need one 1 and zeros, found another"
        )
    return _text(feature.values[columns.index(Fraction(1))])


def _where(atoms: Sequence[Atom], names: Mapping[Symbol, str]) -> list[str]:
    return [f"where = {_list(_text(_atom(atom, names)) for atom in atoms)}"] if atoms else []


def _formula(formula: Formula, names: Mapping[Symbol, str]) -> str:
    if isinstance(formula, Atom):
        return _atom(formula, names)
    if not formula.parts:
        raise PropertyError("a property file cannot say that something holds always or never; leave that part out")
    word = " and " if isinstance(formula, All) else " or "
    return word.join(
        _atom(part, names) if isinstance(part, Atom) else f"({_formula(part, names)})" for part in formula.parts
    )


def _atom(atom: Atom, names: Mapping[Symbol, str]) -> str:
    """Write a comparison with positive coefficients on either side."""
    if not atom.expression.terms:
        raise PropertyError("a property file cannot say that something holds always or never; leave that part out")
    expression = _scaled(atom.expression)
    left, right = (_sum(expression, sign, names) for sign in (1, -1))
    less, greater = ("<", ">") if atom.strict else ("<=", ">=")
    if not left:
        return f"{' + '.join(right)} {greater} {exact_decimal(expression.constant)}"
    if not right:
        return f"{' + '.join(left)} {less} {exact_decimal(-expression.constant)}"
    if expression.constant:
        (left if expression.constant > 0 else right).append(exact_decimal(abs(expression.constant)))
    return f"{' + '.join(left)} {less} {' + '.join(right)}"


def _sum(expression: LinearExpression, sign: int, names: Mapping[Symbol, str]) -> list[str]:
    """Return the terms with coefficients of the given sign, as positive products."""
    return [_product(abs(c), _quoted(_name(symbol, names))) for symbol, c in expression.terms if sign * c > 0]


def _product(coefficient: Fraction, name: str) -> str:
    return name if coefficient == 1 else f"{exact_decimal(coefficient)} * {name}"


def _scaled(expression: LinearExpression) -> LinearExpression:
    """Multiply by the common denominator unless all numbers have finite decimals already."""
    numbers = [expression.constant, *(coefficient for _, coefficient in expression.terms)]
    if all(finite_decimal(number) is not None for number in numbers):
        return expression
    return expression * Fraction(math.lcm(*(number.denominator for number in numbers)))


def _name(symbol: Symbol, names: Mapping[Symbol, str]) -> str:
    if symbol not in names and (symbol.side is Side.INPUT or any(s.side is Side.OUTPUT for s in names)):
        raise PropertyError(f"the property speaks of {symbol}, which has no name in its property set")
    return names.get(symbol, str(symbol))


def _quoted(name: str) -> str:
    """Write a name as conditions have it: plain if Python's parser takes it for a name, else in quotes."""
    parts = name.split(".")
    plain = len(parts) <= 2 and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return name if plain else repr(name)


def _texts(values: Sequence[str]) -> str:
    return _text(values[0]) if len(values) == 1 else _list(map(_text, values))


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # JSON's strings are TOML's, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
