"""Properties in plain sentences."""

from collections.abc import Callable, Mapping
from fractions import Fraction

from verinet.model.formula import All, Any, Formula
from verinet.model.kinds import Equivalent, Fair, Linear, Lipschitz, Monotone, Norm, Property, Range, Robust, Rule
from verinet.model.linear import Atom, LinearExpression, Side, Symbol
from verinet.model.property import PropertySet
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
    if not prop.copies:
        return f"always {_formula(prop.require, properties.names)}{_where(prop.where, properties.names)}"
    names = properties.copy_names(prop.copies, prop.shared)
    alike = f" alike in {_listed(properties.feature_names(prop.shared))}" if prop.shared else ""
    inputs = f"for any inputs {_listed(prop.copies)}{alike}"
    return f"{inputs}, {_formula(prop.require, names)}{_where(prop.where, names)}"


def _monotone(prop: Monotone, properties: PropertySet) -> str:
    raised = _listed(tuple(properties.input_names[i] for i in prop.inputs))
    effect = "lowers" if prop.increasing else "raises"
    where = _where(prop.where, properties.names)
    return f"raising {raised}, all else equal, never {effect} {_output(prop.output, properties)}{where}"


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _fair(prop: Fair, properties: PropertySet) -> str:
    moved = [f"changing {_listed(properties.feature_names(prop.protected))}"] if prop.protected else []
    moved += [
        f"moving {name} by at most {readable(most)}"
        for name, most in zip(properties.input_names, prop.tolerance, strict=False)
        if most
    ]
    kept = "changes the class" if prop.band is None else f"moves an output by more than {readable(prop.band)}"
    return f"{', '.join(moved) or 'nothing'}, all else equal, never {kept}{_where(prop.where, properties.names)}"


def _range(prop: Range, properties: PropertySet) -> str:
    name = _output(prop.output, properties)
    if prop.lower is None or prop.upper is None:
        limit = f">= {readable(prop.lower)}" if prop.lower is not None else f"<= {readable(prop.upper or Fraction(0))}"
        return f"{name} is always {limit}{_where(prop.where, properties.names)}"
    limits = f"from {readable(prop.lower)} to {readable(prop.upper)}"
    return f"{name} is always {limits}{_where(prop.where, properties.names)}"


def _lipschitz(prop: Lipschitz, properties: PropertySet) -> str:
    moving = _listed(properties.feature_names(prop.inputs))
    distance = f"the largest change among {moving}" if prop.norm is Norm.LINF else f"the sum of changes of {moving}"
    name = _output(prop.output, properties)
    if len(prop.inputs) == 1:
        distance = f"the change of {moving}"
    where = _where(prop.where, properties.names)
    return f"all else equal, {name} changes by at most {readable(prop.constant)} times {distance}{where}"


def _equivalent(prop: Equivalent, properties: PropertySet) -> str:
    kept = "has the class" if prop.band is None else f"is within {readable(prop.band)} of the outputs"
    return f"the network always {kept} of {prop.reference}{_where(prop.where, properties.names)}"


def _rule(prop: Rule, properties: PropertySet) -> str:
    then = [] if prop.conclusion is None else [_formula(prop.conclusion, properties.names)]
    if prop.classes:
        then.append(f"the class is {' or '.join(_class(label, properties) for label in prop.classes)}")
    premise = _formula(prop.condition, properties.names)
    return f"if {premise} then {' and '.join(then)}{_where(prop.where, properties.names)}"


def _class(label: int, properties: PropertySet) -> str:
    """Name a class: outputs give names where there are several of them."""
    return properties.outputs[label] if len(properties.outputs) > 1 else str(label)


def _robust(prop: Robust, properties: PropertySet) -> str:
    moving = [i for i, radius in enumerate(prop.radius) if radius]
    radii = {prop.radius[i] for i in moving}
    if prop.norm is Norm.L1 or len(radii) <= 1:
        size = readable(max(radii, default=Fraction(0)))
        change = f"changes of at most {size}{' in total' if prop.norm is Norm.L1 else ' an input'}"
    else:
        parts = (f"{properties.input_names[i]} by {readable(prop.radius[i])}" for i in moving)
        change = f"changes of at most {', '.join(parts)}"
    if prop.band is not None:
        kept = f"move no output by more than {readable(prop.band)}"
    elif prop.top > 1:
        kept = f"keep the class among the {prop.top} largest outputs"
    else:
        kept = "keep the class"
    return f"{change} {kept}{_where(prop.where, properties.names)}"


SENTENCES: Mapping[type, Callable[..., str]] = {
    Linear: _linear,
    Monotone: _monotone,
    Robust: _robust,
    Fair: _fair,
    Range: _range,
    Lipschitz: _lipschitz,
    Equivalent: _equivalent,
    Rule: _rule,
}
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
