"""Queries about two copies of a network that ask whether it is monotone: what derivatives have to show for a proof."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verinet.model import Atom, Conjunction, Domain, LinearExpression, Monotone, Network, Region, Side, Symbol

__all__ = ["Copies"]


@dataclass(frozen=True, eq=False)
class Copies:
    """Two copies of a network, which are all that a query's network holds.

    Parameters
    ----------
    network : Network
        The outputs of the query's network are the first copy's, then the second's.
    first, second : tuple of int
        Which of the query's inputs each copy takes.
    """

    network: Network
    first: tuple[int, ...]
    second: tuple[int, ...]

    def questions(self, regions: Sequence[Region]) -> tuple[tuple[Domain, Monotone], ...]:
        """Return properties of the network that together exclude all counterexamples; none if that is not in sight.

        Parameters
        ----------
        regions : sequence of Region
            Of the query, on continuous inputs.

        Notes
        -----
        Soundness: the conditions of a region demand that every input that differs rises from one copy to the other, and
        each of its conjunctions that some output falls, or rises, strictly on that way. The way lies in the box that
        holds both copies' inputs, and in every condition on inputs that both share. Other conditions and atoms only
        shrink the region.
        """
        found = [question for region in regions for question in self._of_region(region)]
        return () if None in found else tuple(dict.fromkeys(question for question in found if question is not None))

    def _of_region(self, region: Region) -> Iterator[tuple[Domain, Monotone] | None]:
        raised = tuple(k for k, (i, j) in enumerate(zip(self.first, self.second, strict=True)) if i != j)
        domain, size = self._domain(region), self.network.size_out
        orders = {pair for atom in region.domain.conditions for pair in _ordered(atom, Side.INPUT)}
        for low, high, is_second_high in ((self.first, self.second, True), (self.second, self.first, False)):
            if all((low[k], high[k]) in orders for k in raised):
                for conjunction in region.unsafe:
                    yield next(self._excluding(domain, raised, conjunction, size, is_second_high), None)
                return
        yield None

    def _excluding(
        self, domain: Domain, raised: tuple[int, ...], conjunction: Conjunction, size: int, is_second_high: bool
    ) -> Iterator[tuple[Domain, Monotone]]:
        """Yield properties that exclude an atom: one output of one copy strictly below that of the other."""
        for atom in conjunction:
            for less, more in _ordered(atom, Side.OUTPUT, strictly=True):
                if abs(less - more) == size:
                    falls = (less >= size) is is_second_high
                    yield domain, Monotone("copies", raised, less % size, increasing=falls)

    def _domain(self, region: Region) -> Domain:
        """Return the box of both copies' inputs, with the conditions on shared ones."""
        lower, upper = (
            tuple(choose(bounds[i], bounds[j]) for i, j in zip(self.first, self.second, strict=True))
            for choose, bounds in ((min, region.domain.lower), (max, region.domain.upper))
        )
        place = {i: k for k, (i, j) in enumerate(zip(self.first, self.second, strict=True)) if i == j}
        shared = [a for a in region.domain.conditions if all(s.index in place for s, _ in a.expression.terms)]
        return Domain(lower, upper, conditions=tuple(_renamed(atom, place) for atom in shared))


def _ordered(atom: Atom, side: Side, *, strictly: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the pair that an atom demands to be in order: the first at most, or strictly below, the second."""
    terms, constant = atom.expression.terms, atom.expression.constant
    if len(terms) != 2 or any(symbol.side is not side for symbol, _ in terms) or terms[0][1] != -terms[1][1]:
        return
    if constant > 0 or (constant == 0 and (atom.strict or not strictly)):
        (less, _), (more, _) = sorted(terms, key=lambda term: -term[1])
        yield less.index, more.index


def _renamed(atom: Atom, place: dict[int, int]) -> Atom:
    terms = tuple((Symbol(symbol.side, place[symbol.index]), weight) for symbol, weight in atom.expression.terms)
    return Atom(LinearExpression.from_terms(terms, atom.expression.constant), atom.strict)
