"""The formulas of VNN-LIB assertions: linear terms, comparisons and connectives, evaluated exactly."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise

from verinet.errors import FileFormatError, InputError
from verinet.io.cases import Form, atomic, conjunction, disjunction
from verinet.io.decimals import checked, parse_decimal
from verinet.io.names import quoted
from verinet.io.s_expressions import Group, Source
from verinet.model import Atom, LinearExpression, Symbol

__all__ = ["COMPARISON_SIGNS", "evaluate_assertion", "operator_of"]

_ZERO, _ONE = Fraction(0), Fraction(1)


def operator_of(group: Group) -> str:
    """Return the first token of a group.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    if not group.items:
        raise FileFormatError("expected a command or an operator after the parenthesis, found ()")
    head = group.items[0]
    if isinstance(head, Group):
        raise FileFormatError("expected a command or an operator after the parenthesis, found another parenthesis")
    return head


class _Term:
    """A linear term that is used once, so that sums may be formed in place.

    Parameters
    ----------
    coefficients : dict of Symbol to Fraction
    constant : Fraction
    """

    __slots__ = ("coefficients", "constant")

    def __init__(self, coefficients: dict[Symbol, Fraction], constant: Fraction) -> None:
        self.coefficients = coefficients
        self.constant = constant

    def add(self, other: "_Term", sign: int = 1) -> None:
        for symbol, coefficient in other.coefficients.items():
            old = self.coefficients.get(symbol)
            self.coefficients[symbol] = sign * coefficient if old is None else checked(old + sign * coefficient)
        self.constant = checked(self.constant + sign * other.constant)

    def scale(self, factor: Fraction) -> None:
        self.coefficients = {symbol: checked(c * factor) for symbol, c in self.coefficients.items()}
        self.constant = checked(self.constant * factor)

    @property
    def is_constant(self) -> bool:
        return not any(self.coefficients.values())


_Value = _Term | Form


def _add(terms: list[_Term]) -> _Term:
    total = max(terms, key=lambda term: len(term.coefficients))
    for term in terms:
        if term is not total:
            total.add(term)
    return total


def _subtract(terms: list[_Term]) -> _Term:
    first, *rest = terms
    if not rest:
        first.scale(Fraction(-1))
    for term in rest:
        first.add(term, -1)
    return first


def _multiply(terms: list[_Term]) -> _Term:
    variable = [term for term in terms if not term.is_constant]
    if len(variable) > 1:
        raise FileFormatError("expected a linear term, found a product of two variables; only constants may multiply")
    total = variable[0] if variable else terms[0]
    for term in terms:
        if term is not total:
            total.scale(term.constant)
    return total


def _divide(terms: list[_Term]) -> _Term:
    first, *rest = terms
    if not rest:
        raise FileFormatError("expected / with at least two operands, found one")
    for term in rest:
        if not term.is_constant:
            raise FileFormatError("expected a linear term, found a division by a variable; only constants may divide")
        if not term.constant:
            raise FileFormatError("expected a divisor other than zero, found a division by zero")
        first.scale(1 / term.constant)
    return first


def _comparison(*relations: tuple[int, bool]) -> Callable[[list[_Term]], Form]:
    """Return the operator whose neighbours meet ``sign * (left - right) <= 0`` for each (sign, strict)."""

    def compare(terms: list[_Term]) -> Form:
        if len(terms) < 2:
            raise FileFormatError("expected a comparison of at least two terms, found one")
        return conjunction(
            [
                atomic(Atom(_difference(left, right) if sign > 0 else _difference(right, left), strict))
                for left, right in pairwise(terms)
                for sign, strict in relations
            ]
        )

    return compare


def _unequal(terms: list[_Term]) -> Form:
    if len(terms) != 2:
        raise FileFormatError(f"expected != with two terms, found {len(terms)}")
    difference = _difference(terms[0], terms[1])
    return disjunction([atomic(Atom(difference, strict=True)), atomic(Atom(-difference, strict=True))])


def _difference(left: _Term, right: _Term) -> LinearExpression:
    constant = left.constant - right.constant
    terms = list(left.coefficients.items())
    terms += [(symbol, -c) for symbol, c in right.coefficients.items()]
    if len(terms) == 1 and terms[0][1]:
        # The bound of a single variable, nearly all there is in a large file, needs no sorting.
        return LinearExpression((terms[0],), constant)
    return LinearExpression.from_terms(terms, constant)


_ARITHMETIC: Mapping[str, Callable[[list[_Term]], _Term]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
}
_COMPARISONS: Mapping[str, Callable[[list[_Term]], Form]] = {
    "<=": _comparison((1, False)),
    "<": _comparison((1, True)),
    ">=": _comparison((-1, False)),
    ">": _comparison((-1, True)),
    "=": _comparison((1, False), (-1, False)),
    "==": _comparison((1, False), (-1, False)),
    "!=": _unequal,
}
COMPARISON_SIGNS = frozenset(_COMPARISONS)
"""The comparisons of either version: 1 writes equality with one sign, 2 with two."""

_CONNECTIVES: Mapping[str, Callable[[list[Form]], Form]] = {"and": conjunction, "or": disjunction}


class _Frame:
    """A group that is being evaluated: its operator and the operands so far."""

    __slots__ = ("group", "operands", "operator", "rest")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.operator = ""
        self.rest: Iterator[str | Group] = iter(group.items)
        self.operands: list[_Value] = []


def evaluate_assertion(group: Group, symbols: Mapping[str, Symbol], source: Source) -> Form:
    """Return the form of ``(assert formula)``.

    Innermost groups are evaluated first, on a stack of this function's own, so that no depth is too deep.

    Parameters
    ----------
    group : Group
    symbols : mapping of str to Symbol
        The declared variables.
    source : Source
        For the line of an error.

    Raises
    ------
    FileFormatError
        If the formula is not one of linear comparisons.
    PropertyError
        If its disjunctive form is too large.
    """
    place = group
    try:
        if len(group.items) != 2 or not isinstance(group.items[1], Group):
            raise FileFormatError("expected (assert FORMULA) with one formula in parentheses")
        frames = [_opened(group.items[1])]
        while True:
            frame = frames[-1]
            place = frame.group
            for item in frame.rest:
                if isinstance(item, Group):
                    place = item
                    frames.append(_opened(item))
                    break
                frame.operands.append(_leaf(item, symbols))
            else:
                frames.pop()
                outer = frames[-1] if frames else None
                if outer and outer.operator == frame.operator and frame.operator in _CONNECTIVES and frame.operands:
                    # (and a (and b c)) is (and a b c): one flat list instead of a copy at each depth.
                    outer.operands += frame.operands
                    continue
                value = _applied(frame)
                if outer is None:
                    return _formula(value)
                outer.operands.append(value)
    except InputError as error:
        raise source.placed(error, place) from None


def _opened(group: Group) -> _Frame:
    frame = _Frame(group)
    frame.operator = operator_of(group)
    next(frame.rest)
    if not (frame.operator in _ARITHMETIC or frame.operator in _COMPARISONS or frame.operator in _CONNECTIVES):
        known = " ".join((*_CONNECTIVES, *_COMPARISONS, *_ARITHMETIC))
        raise FileFormatError(f"expected one of the operators {known}, found {quoted(frame.operator)}")
    return frame


def _leaf(token: str, symbols: Mapping[str, Symbol]) -> _Term:
    symbol = symbols.get(token)
    if symbol is not None:
        return _Term({symbol: _ONE}, _ZERO)
    if token[0] in "+-.0123456789":
        return _Term({}, parse_decimal(token))
    raise FileFormatError(f"expected a declared variable or a number, found {quoted(token)}; declare it or correct it")


def _applied(frame: _Frame) -> _Value:
    if not frame.operands:
        raise FileFormatError(f"expected {frame.operator} with operands, found none")
    if frame.operator in _CONNECTIVES:
        return _CONNECTIVES[frame.operator]([_formula(value) for value in frame.operands])
    terms = [_number(value, frame.operator) for value in frame.operands]
    if frame.operator in _COMPARISONS:
        return _COMPARISONS[frame.operator](terms)
    return _ARITHMETIC[frame.operator](terms)


def _formula(value: _Value) -> Form:
    if isinstance(value, Form):
        return value
    raise FileFormatError("expected a comparison such as (<= X_0 1.5), found a number")


def _number(value: _Value, operator: str) -> _Term:
    if isinstance(value, _Term):
        return value
    raise FileFormatError(f"expected numbers as the operands of {operator}, found a formula")
