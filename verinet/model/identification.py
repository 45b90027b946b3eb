"""Inputs that every region demands to be equal become one: a query over fewer inputs with the same counterexamples.

A comparison of two copies of a network over separate inputs, most of which are demanded equal, is the search over
shared inputs that engines are made for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from verinet.model.domain import Domain
from verinet.model.linear import Atom, Conjunction, LinearExpression, Side, Symbol
from verinet.model.query import Region

__all__ = ["Identification", "identify_equal_inputs"]


@dataclass(frozen=True)
class Identification:
    """Regions over fewer inputs, and the way back.

    Parameters
    ----------
    regions : tuple of Region
        Those that are left; a region in which equal inputs have no common value holds no point and is dropped.
    columns : tuple of int
        For each input from before: which input it has become.
    size : int
        Number of inputs now.
    """

    regions: tuple[Region, ...]
    columns: tuple[int, ...]
    size: int

    def invert(self, point: Sequence[Fraction]) -> tuple[Fraction, ...]:
        """Return the inputs from before that a point stands for."""
        return tuple(point[column] for column in self.columns)


def identify_equal_inputs(regions: Sequence[Region], size: int) -> Identification:
    """Make one input of those that are demanded equal in every region.

    Parameters
    ----------
    regions : sequence of Region
        Continuous boxes with conditions.
    size : int
        Number of inputs.

    Returns
    -------
    Identification
    """
    pairs = set.intersection(*(_equal_pairs(region) for region in regions)) if regions else set()
    leader = list(range(size))
    for i, j in sorted(pairs):
        # The smaller leader wins, so that a leader always leads itself.
        low, high = sorted((leader[i], leader[j]))
        leader = [low if lead == high else lead for lead in leader] if low != high else leader
    kept = sorted(set(leader))
    place = {lead: position for position, lead in enumerate(kept)}
    columns = tuple(place[lead] for lead in leader)
    merged = (_merged(region, columns, len(kept)) for region in regions)
    return Identification(tuple(region for region in merged if region is not None), columns, len(kept))


def _equal_pairs(region: Region) -> set[tuple[int, int]]:
    """Return the pairs of inputs whose difference two conditions force to zero from both sides."""
    bounded: set[tuple[int, int]] = set()
    for atom in region.domain.conditions:
        terms = atom.expression.terms
        if len(terms) == 2 and not atom.expression.constant and terms[0][1] == -terms[1][1]:
            positive = 0 if terms[0][1] > 0 else 1
            bounded.add((terms[positive][0].index, terms[1 - positive][0].index))
    return {(i, j) for i, j in bounded if i < j and (j, i) in bounded}


def _merged(region: Region, columns: Sequence[int], size: int) -> Region | None:
    if size == len(columns):
        return region
    lower: list[Fraction | None] = [None] * size
    upper: list[Fraction | None] = [None] * size
    for column, low, high in zip(columns, region.domain.lower, region.domain.upper, strict=True):
        best_low, best_high = lower[column], upper[column]
        lower[column] = low if best_low is None else max(best_low, low)
        upper[column] = high if best_high is None else min(best_high, high)
    bounds = [(low, high) for low, high in zip(lower, upper, strict=True) if low is not None and high is not None]
    conditions = _substituted(region.domain.conditions, columns)
    if any(low > high for low, high in bounds) or conditions is None:
        return None
    domain = Domain(tuple(low for low, _ in bounds), tuple(high for _, high in bounds), conditions=conditions)
    unsafe = [_substituted(conjunction, columns) for conjunction in region.unsafe]
    return Region(domain, tuple(dict.fromkeys(conjunction for conjunction in unsafe if conjunction is not None)))


def _substituted(atoms: Conjunction, columns: Sequence[int]) -> Conjunction | None:
    """Rewrite atoms over the new inputs, without those that always hold; None if one never holds."""

    def renamed(symbol: Symbol) -> LinearExpression:
        if symbol.side is Side.INPUT:
            symbol = Symbol(Side.INPUT, columns[symbol.index])
        return LinearExpression(((symbol, Fraction(1)),))

    found: dict[Atom, None] = {}
    for atom in atoms:
        new = Atom(atom.expression.substitute(renamed), atom.strict)
        if new.expression.terms:
            found[new] = None
        elif not new.holds(()):
            return None
    return tuple(found)
