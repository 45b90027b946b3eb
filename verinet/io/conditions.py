"""Linear conditions of property files, such as ``debt <= 3 * income and not 'mean radius' > 3``.

Python's own parser reads the text, so precedence, chained comparisons and brackets are what everybody expects; nothing
is executed. Numbers are taken from the text and never from the parser, which would round them to floats.

::

    formula    := comparison | not formula | formula and formula | formula or formula | ( formula )
    comparison := term (<= | < | >= | > | == | !=) term ...
    term       := number | name | 'quoted name' | + - term | term + - term | term * term | term / number

One factor of a product is constant.

A categorical input is compared by ``color == 'red'`` or ``color != 'red'``.
"""

import ast
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from verinet.errors import InputError, PropertyError
from verinet.io.decimals import checked, parse_decimal
from verinet.io.names import quoted, suggestion
from verinet.model import All, Any, Atom, Formula, LinearExpression, Symbol, negate

__all__ = ["parse_conditions", "parse_formula"]

MOST_CHARACTERS = 100_000
"""A longer condition is refused: Python's parser takes memory and depth in proportion."""

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_HINT = "write products with *, equality with ==, and names that are not plain words in quotes"


def parse_formula(text: str, symbols: Mapping[str, Symbol]) -> Formula:
    """Return the formula that a text states.

    Parameters
    ----------
    text : str
    symbols : mapping of str to Symbol
        The names that it may use. The columns of a categorical input are named ``feature=value``.

    Returns
    -------
    Formula
        ``a == b`` becomes two atoms, ``a != b`` either of two strict ones.

    Raises
    ------
    PropertyError
        If it is not a condition, is not linear, or uses an unknown name; with the text and the part in question.
    """
    return _Reader(text.strip(), symbols).formula()


def parse_conditions(text: str, symbols: Mapping[str, Symbol]) -> tuple[Atom, ...]:
    """Return the atoms of a text that states a conjunction. See `parse_formula`.

    Raises
    ------
    PropertyError
        Also if it needs an ``or``.
    """
    atoms: list[Atom] = []
    parts = [parse_formula(text, symbols)]
    while parts:
        match parts.pop(0):
            case Atom() as atom:
                atoms.append(atom)
            case All(inner):
                parts[:0] = inner
            case Any():
                raise PropertyError(
                    f"the condition {_shortened(text.strip())!r} needs an 'or' ('!=' is one too), which is not "
                    "possible here; state one property for each alternative"
                )
    return tuple(atoms)


@dataclass(frozen=True)
class _Reader:
    """A walk over the syntax tree of one text."""

    text: str
    symbols: Mapping[str, Symbol]

    def formula(self) -> Formula:
        try:
            return self._formula(self._tree())
        except (RecursionError, MemoryError):
            raise self._error("is nested too deeply; split it") from None

    def _tree(self) -> ast.expr:
        if len(self.text) > MOST_CHARACTERS:
            raise PropertyError(
                f"a condition may have at most {MOST_CHARACTERS} characters, found {len(self.text)}; split it"
            )
        if "#" in _STRING.sub("", self.text):
            raise self._error(f"has a '#' outside of quotes, where Python would begin a comment; {_HINT}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                warnings.simplefilter("ignore", DeprecationWarning)
                return ast.parse(self.text, mode="eval").body
        except (SyntaxError, ValueError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise self._error(f"cannot be read ({reason}); {_HINT}") from None

    def _formula(self, node: ast.expr) -> Formula:
        match node:
            case ast.BoolOp(ast.And(), values):
                return All(tuple(self._formula(value) for value in values))
            case ast.BoolOp(ast.Or(), values):
                return Any(tuple(self._formula(value) for value in values))
            case ast.UnaryOp(ast.Not(), operand):
                return negate(self._formula(operand))
            case ast.Compare(left, operators, rights):
                lefts = [left, *rights[:-1]]
                parts = [self._comparison(*pair, node) for pair in zip(lefts, operators, rights, strict=True)]
                return parts[0] if len(parts) == 1 else All(tuple(parts))
        raise self._error("is expected to be comparisons, joined by and, or, not", node)

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, node: ast.expr) -> Formula:
        relation = _RELATIONS.get(type(operator))
        if relation is None:
            raise self._error("is expected to compare by <=, <, >=, >, == or !=", node)
        column = self._column(left, right) or self._column(right, left)
        if column is not None:
            if not isinstance(operator, ast.Eq | ast.NotEq):
                raise self._error("may compare a categorical input by == and != only", node)
            # Exactly one column of the group is 1 and the others are 0.
            is_chosen = Atom(LinearExpression(((column, Fraction(-1)),), Fraction(1)))
            is_other = Atom(LinearExpression(((column, Fraction(1)),)))
            return is_chosen if isinstance(operator, ast.Eq) else is_other
        difference = self._term(left) - self._term(right)
        if not difference.terms:
            raise self._error("compares constants only, so that it holds always or never", node)
        for value in (difference.constant, *(coefficient for _, coefficient in difference.terms)):
            self._checked(value, node)
        return relation(difference)

    def _column(self, left: ast.expr, right: ast.expr) -> Symbol | None:
        """Return the column meant by a categorical input and one of its values; None if `left` is no such input."""
        feature = self._name(left)
        if feature is None or feature in self.symbols:
            return None
        values = [name.removeprefix(f"{feature}=") for name in self.symbols if name.startswith(f"{feature}=")]
        if not values:
            return None
        match right:
            case ast.Constant(str(value)) if value in values:
                return self.symbols[f"{feature}={value}"]
        listed = ", ".join(map(quoted, values))
        raise self._error(f"compares the categorical input {quoted(feature)}, which has the values {listed}, to", right)

    def _term(self, node: ast.expr) -> LinearExpression:
        """Return the linear term that a node states; long sums are walked in a loop, for their trees are deep."""
        terms: list[tuple[Symbol, Fraction]] = []
        constant = Fraction(0)
        pending = [(node, 1)]
        while pending:
            part, sign = pending.pop()
            match part:
                case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
                    pending += [(right, sign if isinstance(operator, ast.Add) else -sign), (left, sign)]
                case ast.UnaryOp(ast.UAdd() | ast.USub() as operator, operand):
                    pending.append((operand, sign if isinstance(operator, ast.UAdd) else -sign))
                case _:
                    factor = self._factor(part)
                    terms += [(symbol, sign * coefficient) for symbol, coefficient in factor.terms]
                    constant += sign * factor.constant
        return LinearExpression.from_terms(terms, constant)

    def _factor(self, node: ast.expr) -> LinearExpression:
        match node:
            case ast.BinOp(left, ast.Mult(), right):
                first, second = self._term(left), self._term(right)
                if first.terms and second.terms:
                    raise self._error("is not linear: it multiplies two variables in", node)
                return second * first.constant if second.terms else first * second.constant
            case ast.BinOp(left, ast.Div(), right):
                divisor = self._term(right)
                if divisor.terms or not divisor.constant:
                    raise self._error("may divide by constants other than zero only, found", node)
                return self._term(left) * (1 / divisor.constant)
            case ast.Constant(bool() | complex()):
                pass
            case ast.Constant(int() | float()):
                return LinearExpression((), self._number(node))
        name = self._name(node)
        if name is None:
            raise self._error(f"is expected to have linear terms of names and numbers ({_HINT}), found", node)
        if name not in self.symbols:
            raise self._error(f"uses an unknown name ({suggestion(name, self.symbols)})", node)
        return LinearExpression(((self.symbols[name], Fraction(1)),))

    def _name(self, node: ast.expr) -> str | None:
        match node:
            case ast.Constant(str(name)):
                return name
            case ast.Name() | ast.Attribute(ast.Name()):
                # The latter is the input of a copy: a.income. Python changes some characters of names to equivalent
                # ones; the text has what the file says.
                return self._source(node)
        return None

    def _number(self, node: ast.expr) -> Fraction:
        try:
            return parse_decimal(self._source(node).replace("_", ""))
        except InputError:
            raise self._error("is expected to have decimal numbers of a float's range, found", node) from None

    def _checked(self, value: Fraction, node: ast.expr) -> None:
        try:
            checked(value)
        except InputError:
            raise self._error("has numbers beyond the range of a float in", node) from None

    def _source(self, node: ast.expr) -> str:
        """Return the text of a node, of its first line if it has several; names and numbers have one."""
        line = self._lines[node.lineno - 1]
        end = node.end_col_offset if node.end_lineno == node.lineno else None
        return line[node.col_offset : end].decode()

    @cached_property
    def _lines(self) -> list[bytes]:
        # The parser counts lines by these ends and columns in bytes.
        return [line.encode() for line in re.split(r"\r\n|\r|\n", self.text)]

    def _error(self, problem: str, node: ast.expr | None = None) -> PropertyError:
        part = "" if node is None else f": {_shortened(self._source(node))!r}"
        return PropertyError(f"the condition {_shortened(self.text)!r} {problem}{part}")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


_RELATIONS: Mapping[type[ast.cmpop], Callable[[LinearExpression], Formula]] = {
    ast.LtE: lambda difference: Atom(difference),
    ast.Lt: lambda difference: Atom(difference, strict=True),
    ast.GtE: lambda difference: Atom(-difference),
    ast.Gt: lambda difference: Atom(-difference, strict=True),
    ast.Eq: lambda difference: All((Atom(difference), Atom(-difference))),
    ast.NotEq: lambda difference: Any((Atom(difference, strict=True), Atom(-difference, strict=True))),
}
