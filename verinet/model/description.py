"""Properties in plain sentences."""

from collections.abc import Callable, Mapping
from fractions import Fraction

from verinet.model.formula import All, Any, Formula
from verinet.model.linear import Atom, LinearExpression, Side, Symbol
from verinet.model.property import Linear, Monotone, Norm, Property, PropertySet, Robust
from verinet.numeric import readable

__all__ = ["describe"]


def _atom(atom: Atom, names: Mapping[Symbol, str]) -> str:
    """Write the atom with its positive terms on the left and the rest on the right."""
    zero = Fraction(0)
    expression = atom.expression
    left = LinearExpression(tuple((s, c) for s, c in expression.terms if c > 0), max(expression.constant, zero))
    right = LinearExpression(tuple((s, -c) for s, c in expression.terms if c < 0), max(-expression.constant, zero))
    return f"{left.render(names)} {'<' if atom.strict else '<='} {right.render(names)}"


def _formula(formula: Formula, names: Mapping[Symbol, str]) -> str:
    match formula:
        case Atom():
            return _atom(formula, names)
        case All(parts):
            return " and ".join(_bracketed(part, names) for part in parts) or "true"
        case Any(parts):
            return " or ".join(_bracketed(part, names) for part in parts) or "false"


def _bracketed(formula: Formula, names: Mapping[Symbol, str]) -> str:
    text = _formula(formula, names)
    return text if isinstance(formula, Atom) else f"({text})"


def _where(conditions: tuple[Atom, ...], names: Mapping[Symbol, str]) -> str:
    return f" wherever {' and '.join(_atom(atom, names) for atom in conditions)}" if conditions else ""


def _output(index: int, properties: PropertySet) -> str:
    return properties.names.get(Symbol(Side.OUTPUT, index), f"Y_{index}")


def _linear(prop: Linear, properties: PropertySet) -> str:
    return f"always {_formula(prop.require, properties.names)}{_where(prop.where, properties.names)}"


def _monotone(prop: Monotone, properties: PropertySet) -> str:
    raised = " and ".join(properties.input_names[i] for i in prop.inputs)
    effect = "lowers" if prop.increasing else "raises"
    where = _where(prop.where, properties.names)
    return f"raising {raised}, all else equal, never {effect} {_output(prop.output, properties)}{where}"


def _robust(prop: Robust, properties: PropertySet) -> str:
    moving = [i for i, radius in enumerate(prop.radius) if radius]
    radii = {prop.radius[i] for i in moving}
    if prop.norm is Norm.L1 or len(radii) <= 1:
        size = readable(max(radii, default=Fraction(0)))
        change = f"changes of at most {size}{' in total' if prop.norm is Norm.L1 else ' an input'}"
    else:
        parts = (f"{properties.input_names[i]} by {readable(prop.radius[i])}" for i in moving)
        change = f"changes of at most {', '.join(parts)}"
    kept = "keep the class" if prop.band is None else f"move no output by more than {readable(prop.band)}"
    return f"{change} {kept}{_where(prop.where, properties.names)}"


SENTENCES: Mapping[type, Callable[..., str]] = {Linear: _linear, Monotone: _monotone, Robust: _robust}
"""How each kind of property reads."""


def describe(prop: Property, properties: PropertySet) -> str:
    """Say in one sentence what a property demands.

    Parameters
    ----------
    prop : Property
    properties : PropertySet
        Gives the names.
    """
    return SENTENCES[type(prop)](prop, properties)
