"""What the arithmetic of an assertion looks like before it is evaluated: the types in it, and how plain it is.

A float type rounds each sum and product of an assertion. Where a comparison is a plain sum, every rounding is bounded
by the final coefficients; where terms were added up or cancelled while the file was read, the coefficients no longer
tell.
"""

from collections.abc import Iterator, Mapping

from verinet.errors import FileFormatError
from verinet.io.names import quoted
from verinet.io.s_expressions import Group, Source
from verinet.io.vnnlib_formula import COMPARISON_SIGNS
from verinet.model import Arithmetic, Side, Symbol

__all__ = ["arithmetic_of", "check_types"]


def _comparisons(group: Group) -> Iterator[Group]:
    pending = [group]
    while pending:
        found = pending.pop()
        if found.items and found.items[0] in COMPARISON_SIGNS:
            yield found
        else:
            pending += [item for item in found.items if isinstance(item, Group)]


def _words(group: Group) -> Iterator[str]:
    pending = [group]
    while pending:
        for item in pending.pop().items:
            if isinstance(item, Group):
                pending.append(item)
            else:
                yield item


def check_types(group: Group, types: Mapping[str, str], source: Source) -> None:
    """Check that no comparison mixes variables of different element types.

    Parameters
    ----------
    group : Group
        An assertion.
    types : mapping of str to str
        The element type of each declared tensor.
    source : Source

    Raises
    ------
    FileFormatError
        With the line.
    """
    if len(set(types.values())) < 2:
        return
    for comparison in _comparisons(group):
        found = {types[name] for word in _words(comparison) if (name := word.split("[", 1)[0]) in types}
        if len(found) > 1:
            mixed = " and ".join(map(quoted, sorted(found)))
            error = FileFormatError(f"expected variables of one element type in a comparison, found {mixed}")
            raise source.placed(error, comparison)


def arithmetic_of(group: Group, symbols: Mapping[str, Symbol]) -> Arithmetic:
    """Return what arithmetic the comparisons of an assertion hold.

    Parameters
    ----------
    group : Group
    symbols : mapping of str to Symbol
        The names of entries.
    """
    found = Arithmetic.DIRECT
    for comparison in _comparisons(group):
        if not _is_direct(comparison, symbols):
            found = max(found, Arithmetic.PLAIN if _is_plain_comparison(comparison, symbols) else Arithmetic.OTHER)
    return found


def _is_direct(comparison: Group, symbols: Mapping[str, Symbol]) -> bool:
    leaves = [_leaf(operand) for operand in comparison.items[1:]]
    names = [leaf for leaf in leaves if leaf in symbols]
    return len(leaves) == 2 and "" not in leaves and len(set(names)) == len(names) > 0


def _leaf(operand: str | Group) -> str:
    """Return the entry or literal that an operand is, or is the negative of; nothing if it is neither."""
    if isinstance(operand, Group) and len(operand.items) == 2 and operand.items[0] == "-":
        operand = operand.items[1]
    return operand if isinstance(operand, str) else ""


def _is_plain_comparison(comparison: Group, symbols: Mapping[str, Symbol]) -> bool:
    if len(comparison.items) != 3:
        return False
    names: list[str] = []
    literals = 0
    for operand in comparison.items[1:]:
        summands = operand.items[1:] if isinstance(operand, Group) and operand.items[0] in ("+", "-") else [operand]
        for summand in summands:
            parts = [summand]
            if isinstance(summand, Group):
                if (summand.items[0] == "-" and len(summand.items) == 2) or summand.items[0] == "*":
                    parts = summand.items[1:]
                else:
                    return False
            if any(isinstance(part, Group) for part in parts) or len(parts) > 2:
                return False
            found = [part for part in parts if isinstance(part, str) and part in symbols]
            if len(found) > 1:
                return False
            names += found
            literals += not found
    # A multiple of a single input would turn into a bound, from which the multiplication can no longer be seen.
    is_bound = len(names) == 1 and symbols[names[0]].side is Side.INPUT
    return len(set(names)) == len(names) and literals <= 1 and not is_bound
