"""Questions of any property file as VNN-LIB 2 text, in the strictest form: decimal points, no exponents, ``real``.

A comparison of two inputs becomes two networks, the second ``equal-to`` the first. What the language has no word for is
written out: an integer input as the alternatives of its values, a one-hot group as a sum, an L1 ball as the half-spaces
around it.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from math import ceil, floor, lcm, prod

from verinet.errors import PropertyError
from verinet.io.decimals import finite_decimal
from verinet.model import Atom, Domain, L1Ball, LinearExpression, Reduction, Side, Symbol

__all__ = ["format_query"]

MOST_VALUES = 100_000
"""Written-out values of one integer input, beyond which a question is refused."""

MOST_BALL_INPUTS = 12
"""An L1 ball has two to the power of its inputs half-spaces."""

Shapes = Sequence[tuple[int, ...]]


def format_query(reduction: Reduction, inputs: Shapes, outputs: Shapes, name: str = "") -> str:
    """Write a question as a VNN-LIB 2 query about exact real numbers.

    Parameters
    ----------
    reduction : Reduction
        The query and which of its inputs each compared copy of the network takes.
    inputs, outputs : sequence of tuple of int
        Shapes of the network file's tensors.
    name : str
        Goes into a comment at the top.

    Returns
    -------
    str
        ``sat`` if and only if the query has a counterexample.

    Raises
    ------
    PropertyError
        If an integer input has too many values, or an L1 ball too many inputs.
    """
    copies = reduction.copies
    names = _Names(copies, inputs, outputs)
    lines = [f"; {line}" for line in name.splitlines()] + ["(vnnlib-version <2.0>)"]
    for k in range(len(copies)):
        lines += [f"(declare-network {names.network(k)}"]
        lines += [f"    (equal-to {names.network(0)})"] if k else []
        lines += [f"    (declare-input {v} real {_shape(s)})" for v, s in zip(names.inputs(k), inputs, strict=True)]
        lines += [f"    (declare-output {v} real {_shape(s)})" for v, s in zip(names.outputs(k), outputs, strict=True)]
        lines += [")"]
    lines += [f"(assert (== {copy} {first}))" for copy, first in names.shared()]
    cases = [
        [*_domain(region.domain, names), *(_atom(atom, names) for atom in conjunction)]
        for region in reduction.query.regions
        for conjunction in region.unsafe
    ]
    if len(cases) == 1:
        lines += [f"(assert {literal})" for literal in cases[0]]
    elif cases:
        # What all cases have in common is asserted once.
        shared = set.intersection(*map(set, cases))
        lines += [f"(assert {literal})" for literal in dict.fromkeys(cases[0]) if literal in shared]
        own = [_joined("and", [literal for literal in case if literal not in shared]) for case in cases]
        if "" not in own:
            lines += ["(assert (or", *(f"    {case}" for case in own), "))"]
    else:
        first = names.of(Symbol(Side.INPUT, 0))
        lines += [f"(assert (!= {first} {first}))"]
    return "\n".join([*lines, ""])


class _Names:
    """How each entry of the query is written: as one of the first network that has it."""

    def __init__(self, copies: Sequence[Sequence[int]], inputs: Shapes, outputs: Shapes) -> None:
        self._many = len(copies) > 1
        self._counts = len(inputs), len(outputs)
        self._symbols: dict[Symbol, str] = {}
        self._shared: list[tuple[str, str]] = []
        size = sum(prod(shape) for shape in outputs)
        for k, copy in enumerate(copies):
            for index, entry in zip(copy, _entries(self.inputs(k), inputs), strict=True):
                first = self._symbols.setdefault(Symbol(Side.INPUT, index), entry)
                if first != entry:
                    self._shared.append((entry, first))
            for index, entry in enumerate(_entries(self.outputs(k), outputs), start=k * size):
                self._symbols[Symbol(Side.OUTPUT, index)] = entry

    def network(self, k: int) -> str:
        return f"N{k + 1}" if self._many else "N"

    def inputs(self, k: int) -> list[str]:
        return self._tensors("X", k, self._counts[0])

    def outputs(self, k: int) -> list[str]:
        return self._tensors("Y", k, self._counts[1])

    def _tensors(self, letter: str, k: int, count: int) -> list[str]:
        stem = f"{letter}{k + 1}" if self._many else letter
        return [stem] if count == 1 else [f"{stem}_{i}" for i in range(count)]

    def of(self, symbol: Symbol) -> str:
        return self._symbols[symbol]

    def shared(self) -> list[tuple[str, str]]:
        """Return the entries of later copies with those that they equal."""
        return self._shared


def _entries(names: Sequence[str], shapes: Shapes) -> Iterator[str]:
    for name, shape in zip(names, shapes, strict=True):
        for index in product(*map(range, shape)):
            yield f"{name}[{','.join(map(str, index))}]" if shape else name


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _domain(domain: Domain, names: _Names) -> list[str]:
    literals: list[str] = []
    for i, (low, high) in enumerate(zip(domain.lower, domain.upper, strict=True)):
        entry = LinearExpression(((Symbol(Side.INPUT, i), Fraction(1)),))
        literals.append(_atom(Atom(LinearExpression((), low) - entry), names))
        literals.append(_atom(Atom(entry + LinearExpression((), -high)), names))
    for i in domain.integral:
        values = range(ceil(domain.lower[i]), floor(domain.upper[i]) + 1)
        if len(values) > MOST_VALUES:
            raise PropertyError(
                f"VNN-LIB has no integers, and input {i} has {len(values)} values, more than the {MOST_VALUES} that "
                "can be written out; narrow its range"
            )
        name = names.of(Symbol(Side.INPUT, i))
        literals.append(_joined("or", [f"(== {name} {_literal(Fraction(value))})" for value in values]))
    for group in domain.groups:
        total = LinearExpression.from_terms(((Symbol(Side.INPUT, i), Fraction(1)) for i in group), Fraction(-1))
        literals += [_atom(Atom(total), names), _atom(Atom(-total), names)]
    literals += [_atom(atom, names) for atom in domain.conditions]
    literals += [_atom(atom, names) for ball in domain.balls for atom in _half_spaces(ball)]
    return literals


def _half_spaces(ball: L1Ball) -> Iterator[Atom]:
    if len(ball.coordinates) > MOST_BALL_INPUTS:
        raise PropertyError(
            f"VNN-LIB has no absolute values, and an L1 ball over {len(ball.coordinates)} inputs has too many faces to "
            f"write out; at most {MOST_BALL_INPUTS} inputs can be written"
        )
    for signs in product((Fraction(1), Fraction(-1)), repeat=len(ball.coordinates)):
        offset = sum((s * c for s, c in zip(signs, ball.centre, strict=True)), ball.radius)
        terms = [(Symbol(Side.INPUT, i), sign) for i, sign in zip(ball.coordinates, signs, strict=True)]
        yield Atom(LinearExpression.from_terms(terms, -offset))


def _atom(atom: Atom, names: _Names) -> str:
    expression = _scaled(atom.expression)
    sign = "<" if atom.strict else "<="
    if len(expression.terms) == 1 and expression.terms[0][1] == -1:
        # A lower bound reads better with its own sign.
        return f"({sign.replace('<', '>')} {names.of(expression.terms[0][0])} {_literal(expression.constant)})"
    products = [
        names.of(symbol) if coefficient == 1 else f"(* {_literal(coefficient)} {names.of(symbol)})"
        for symbol, coefficient in expression.terms
    ]
    if not products:
        # A comparison of literals has no type; the sum of an entry and its negative has.
        name = names.of(Symbol(Side.INPUT, 0))
        return f"({sign} (- {name} {name}) {_literal(-expression.constant)})"
    return f"({sign} {_joined('+', products)} {_literal(-expression.constant)})"


def _joined(operator: str, parts: Sequence[str]) -> str:
    return f"({operator} {' '.join(parts)})" if len(parts) > 1 else "".join(parts)


def _scaled(expression: LinearExpression) -> LinearExpression:
    """Multiply by the common denominator unless all numbers have finite decimals already."""
    numbers = [expression.constant, *(coefficient for _, coefficient in expression.terms)]
    if all(finite_decimal(number) is not None for number in numbers):
        return expression
    return expression * Fraction(lcm(*(number.denominator for number in numbers)))


def _literal(value: Fraction) -> str:
    digits = str(finite_decimal(value))
    return digits if "." in digits else f"{digits}.0"
