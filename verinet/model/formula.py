"""Boolean combinations of linear atoms: negation and disjunctive form."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from verinet.errors import PropertyError
from verinet.model.linear import Atom, Conjunction

__all__ = ["All", "Any", "Formula", "disjunctive_form", "negate"]

MOST_DISJUNCTS = 200_000
"""A disjunctive form larger than this is refused: it would take longer to write down than to rephrase."""


@dataclass(frozen=True)
class All:
    """Every part holds; no part at all holds always."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True)
class Any:
    """Some part holds; no part at all never holds."""

    parts: tuple["Formula", ...]


Formula = Atom | All | Any


def negate(formula: Formula) -> Formula:
    """Return the formula that holds exactly where the given one does not."""
    match formula:
        case Atom():
            return Atom(-formula.expression, strict=not formula.strict)
        case All():
            return Any(tuple(negate(part) for part in formula.parts))
        case Any():
            return All(tuple(negate(part) for part in formula.parts))


def disjunctive_form(formula: Formula) -> tuple[Conjunction, ...]:
    """Write a formula as a disjunction of conjunctions of atoms.

    Raises
    ------
    PropertyError
        If more than `MOST_DISJUNCTS` conjunctions are needed.
    """
    match formula:
        case Atom():
            return ((formula,),)
        case Any():
            return tuple(chain.from_iterable(disjunctive_form(part) for part in formula.parts))
        case All():
            return _conjoin(disjunctive_form(part) for part in formula.parts)


def _conjoin(forms: Iterable[tuple[Conjunction, ...]]) -> tuple[Conjunction, ...]:
    total: tuple[Conjunction, ...] = ((),)
    for form in forms:
        if len(total) * len(form) > MOST_DISJUNCTS:
            raise PropertyError(
                f"a formula needs at most {MOST_DISJUNCTS} cases once its 'or's are written out, found "
                f"{len(total) * len(form)} or more; split the property"
            )
        total = tuple((*left, *right) for left in total for right in form)
    return total
