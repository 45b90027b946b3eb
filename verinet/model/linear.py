"""Linear expressions, atoms and conditions over a network's inputs and outputs, with rational coefficients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from verinet.numeric import readable

__all__ = ["LARGEST_NUMBER", "Atom", "Conjunction", "LinearExpression", "Side", "Symbol"]


LARGEST_NUMBER = 2**1023
"""Bounds, coefficients and constants stay below it, so that each has a finite float64 next to it."""


class Side(Enum):
    """Where a symbol lives."""

    INPUT = "X"
    OUTPUT = "Y"


@dataclass(frozen=True)
class Symbol:
    """One entry of the input or output vector.

    Parameters
    ----------
    side : Side
    index : int
        From zero.
    """

    side: Side
    index: int

    def __str__(self) -> str:
        return f"{self.side.value}_{self.index}"


@dataclass(frozen=True)
class LinearExpression:
    """``sum of coefficient * symbol + constant``.

    Parameters
    ----------
    terms : tuple of (Symbol, Fraction)
        Each symbol at most once, no zero coefficient, sorted; `from_terms` sees to it.
    constant : Fraction
    """

    terms: tuple[tuple[Symbol, Fraction], ...]
    constant: Fraction = Fraction(0)

    @classmethod
    def from_terms(
        cls, terms: Iterable[tuple[Symbol, Fraction]], constant: Fraction = Fraction(0)
    ) -> "LinearExpression":
        """Build an expression, adding up repeated symbols and dropping zeros."""
        total: dict[Symbol, Fraction] = {}
        for symbol, coefficient in terms:
            total[symbol] = total.get(symbol, Fraction(0)) + coefficient
        ordered = sorted(((s, c) for s, c in total.items() if c), key=lambda term: (term[0].side.value, term[0].index))
        return cls(tuple(ordered), Fraction(constant))

    def __add__(self, other: "LinearExpression") -> "LinearExpression":
        return self.from_terms((*self.terms, *other.terms), self.constant + other.constant)

    def __sub__(self, other: "LinearExpression") -> "LinearExpression":
        return self + other * Fraction(-1)

    def __mul__(self, factor: Fraction) -> "LinearExpression":
        return self.from_terms(((s, c * factor) for s, c in self.terms), self.constant * factor)

    def __neg__(self) -> "LinearExpression":
        return self * Fraction(-1)

    def value(self, inputs: Sequence[Fraction], outputs: Sequence[Fraction] = ()) -> Fraction:
        """Evaluate the expression exactly."""
        vectors = {Side.INPUT: inputs, Side.OUTPUT: outputs}
        return sum((c * vectors[s.side][s.index] for s, c in self.terms), self.constant)

    def substitute(self, replacement: Callable[[Symbol], "LinearExpression"]) -> "LinearExpression":
        """Replace every symbol by an expression."""
        total = LinearExpression((), self.constant)
        for symbol, coefficient in self.terms:
            total = total + replacement(symbol) * coefficient
        return total

    def indices(self, side: Side) -> tuple[int, ...]:
        """Return the indices of the symbols on one side."""
        return tuple(s.index for s, _ in self.terms if s.side is side)

    def render(self, names: Mapping[Symbol, str]) -> str:
        """Write the expression with the given names."""
        parts = []
        for symbol, coefficient in self.terms:
            size = "" if abs(coefficient) == 1 else f"{readable(abs(coefficient))} "
            parts.append(f"{'-' if coefficient < 0 else '+'} {size}{names.get(symbol, str(symbol))}")
        if self.constant or not parts:
            parts.append(f"{'-' if self.constant < 0 else '+'} {readable(abs(self.constant))}")
        text = " ".join(parts)
        return text[2:] if text.startswith("+") else "-" + text[2:]

    def __str__(self) -> str:
        return self.render({})


@dataclass(frozen=True)
class Atom:
    """``expression <= 0``, or ``expression < 0`` if strict.

    Parameters
    ----------
    expression : LinearExpression
    strict : bool
    """

    expression: LinearExpression
    strict: bool = False

    @property
    def largest(self) -> Fraction:
        """Largest magnitude of a coefficient or the constant."""
        return max((abs(c) for _, c in self.expression.terms), default=Fraction(0)) + abs(self.expression.constant)

    def holds(self, inputs: Sequence[Fraction], outputs: Sequence[Fraction] = ()) -> bool:
        """Decide the atom at a point, exactly."""
        value = self.expression.value(inputs, outputs)
        return value < 0 if self.strict else value <= 0

    def __str__(self) -> str:
        return f"{self.expression} {'<' if self.strict else '<='} 0"


Conjunction = tuple[Atom, ...]
"""Atoms that hold together; the empty conjunction holds always."""
