"""What a property requires of outputs at single points: the step from a counterexample back to the network.

A property says that no point of a domain has unsafe outputs. With the point fixed, what is left of that is a condition
on the outputs of the network there, linear in them: every network with the property meets it, whatever its weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from verinet.errors import PropertyError
from verinet.model.classes import class_changes, class_outranked
from verinet.model.domain import Domain
from verinet.model.evaluation import evaluate_exact
from verinet.model.kinds import Property, Robust
from verinet.model.linear import Atom, Conjunction, LinearExpression, Side, Symbol
from verinet.model.network import Network
from verinet.model.reduction import reduce_property

__all__ = ["Demand", "DemandRow", "OutputTerm", "Requirement", "requirement_of"]


@dataclass(frozen=True)
class OutputTerm:
    """A multiple of one output at one point.

    Parameters
    ----------
    point, output : int
    weight : Fraction
    """

    point: int
    output: int
    weight: Fraction


@dataclass(frozen=True)
class DemandRow:
    """``sum of weight * output + constant >= 0``, or ``> 0`` if strict.

    Parameters
    ----------
    terms : tuple of OutputTerm
        At least one; their weights are whole numbers.
    constant : Fraction
    strict : bool
    """

    terms: tuple[OutputTerm, ...]
    constant: Fraction
    strict: bool

    def value(self, outputs: Sequence[Sequence[Fraction]]) -> Fraction:
        """Return the left side, from the outputs at each point."""
        return sum((t.weight * outputs[t.point][t.output] for t in self.terms), self.constant)

    def holds(self, outputs: Sequence[Sequence[Fraction]]) -> bool:
        """Decide the row, exactly."""
        value = self.value(outputs)
        return value > 0 if self.strict else value >= 0


@dataclass(frozen=True)
class Demand:
    """A condition on outputs at some points.

    Parameters
    ----------
    points : tuple of tuple of Fraction
    clauses : tuple of tuple of DemandRow
        Of each clause some row holds. A clause without rows cannot be met by any network.
    """

    points: tuple[tuple[Fraction, ...], ...]
    clauses: tuple[tuple[DemandRow, ...], ...]

    def met_by(self, network: Network) -> bool:
        """Decide whether a network meets it, by exact evaluation."""
        outputs = [evaluate_exact(network, point) for point in self.points]
        return all(any(row.holds(outputs) for row in clause) for clause in self.clauses)


@dataclass(frozen=True, eq=False)
class Requirement:
    """What a property requires at any point of its query's domain.

    Parameters
    ----------
    copies : tuple of tuple of int
        For each compared input: which entry of the point each of its entries is.
    fixed : tuple of tuple of Fraction
        Inputs that are compared with them at every point.
    networks : tuple of (Network or None)
        What takes each of them, then each fixed one; None for the network that the property is about.
    sizes : tuple of int
        Outputs of each.
    unsafe : tuple of Conjunction
        Over the point and the outputs of all, one after the other.
    """

    copies: tuple[tuple[int, ...], ...]
    fixed: tuple[tuple[Fraction, ...], ...]
    networks: tuple[Network | None, ...]
    sizes: tuple[int, ...]
    unsafe: tuple[Conjunction, ...]

    @property
    def has_choices(self) -> bool:
        """Whether it may ask for one of several rows, rather than for each of them."""
        return any(sum(self._is_free(atom) for atom in case) > 1 for case in self.unsafe)

    def _place(self, symbol: Symbol) -> tuple[int, int]:
        """Return which input an output belongs to, and which output of it that is."""
        index, which = symbol.index, 0
        while index >= self.sizes[which]:
            index -= self.sizes[which]
            which += 1
        return which, index

    def _is_free(self, atom: Atom) -> bool:
        """Tell whether an atom depends on the network that the property is about."""
        outputs = [s for s, _ in atom.expression.terms if s.side is Side.OUTPUT]
        return any(self.networks[self._place(symbol)[0]] is None for symbol in outputs)

    def at(self, point: Sequence[Fraction]) -> Demand:
        """Return what is required at a point of the query's domain."""
        points = (*(tuple(point[i] for i in copy) for copy in self.copies), *self.fixed)
        known = {
            which: evaluate_exact(network, points[which])
            for which, network in enumerate(self.networks)
            if network is not None
        }
        clauses: list[tuple[DemandRow, ...]] = []
        for case in self.unsafe:
            clause = self._clause(case, point, known)
            if clause is not None:
                clauses.append(clause)
        return Demand(points, tuple(dict.fromkeys(clauses)))

    def _clause(
        self, case: Conjunction, point: Sequence[Fraction], known: Mapping[int, Sequence[Fraction]]
    ) -> tuple[DemandRow, ...] | None:
        """Negate a conjunction at a point; None where it cannot hold there anyway."""
        rows = []
        for atom in case:
            terms, constant = [], atom.expression.constant
            for symbol, weight in atom.expression.terms:
                which, output = self._place(symbol) if symbol.side is Side.OUTPUT else (-1, symbol.index)
                if symbol.side is Side.INPUT:
                    constant += weight * point[output]
                elif which in known:
                    constant += weight * known[which][output]
                else:
                    terms.append(OutputTerm(which, output, weight))
            if terms:
                rows.append(_whole(terms, constant, strict=not atom.strict))
            elif constant > 0 or (atom.strict and constant == 0):
                return None
        return tuple(dict.fromkeys(rows))


def _whole(terms: Sequence[OutputTerm], constant: Fraction, *, strict: bool) -> DemandRow:
    """Scale a row so that its weights are whole numbers without a common factor."""
    factor = Fraction(
        math.lcm(*(t.weight.denominator for t in terms)), math.gcd(*(abs(t.weight.numerator) for t in terms))
    )
    scaled = tuple(OutputTerm(t.point, t.output, t.weight * factor) for t in terms)
    return DemandRow(scaled, constant * factor, strict)


def requirement_of(
    network: Network, domain: Domain, prop: Property, references: Mapping[str, Network] | None = None
) -> Requirement:
    """Return what a property requires of any network with the inputs and outputs of the given one.

    Parameters
    ----------
    network : Network
        Only its numbers of inputs and outputs matter.
    domain : Domain
    prop : Property
    references : Mapping or None
        Other networks that the property may compare with, by name.

    Raises
    ------
    PropertyError
        If the property does not fit the network.
    """
    reduction = reduce_property(network, domain, prop, references)
    takers = reduction.networks or (network,) * len(reduction.copies)
    networks = tuple(None if taker is network else taker for taker in takers)
    sizes = tuple(taker.size_out for taker in takers)
    if isinstance(prop, Robust) and (prop.band is not None or prop.label is None):
        # The reduction holds the outputs at the centre as numbers; here they are the network's to choose.
        unsafe = _relative_to_centre(network.size_out, prop)
        return Requirement(reduction.copies, (prop.centre,), (None, None), (*sizes, *sizes), unsafe)
    cases = tuple(case for region in reduction.query.regions for case in region.unsafe)
    return Requirement(reduction.copies, (), networks, sizes, cases)


def _relative_to_centre(size: int, prop: Robust) -> tuple[Conjunction, ...]:
    """Return what must not happen between a point and the centre.

    Soundness: where two outputs tie at the centre, networks with the property may be asked for less than they keep,
    never for more.
    """
    here, centre = (
        tuple(LinearExpression.from_terms([(Symbol(Side.OUTPUT, first + i), Fraction(1))]) for i in range(size))
        for first in (0, size)
    )
    if prop.band is not None:
        band = LinearExpression((), prop.band)
        pairs = zip(here, centre, strict=True)
        return tuple((Atom(band - difference, strict=True),) for a, b in pairs for difference in (a - b, b - a))
    if size == 1:
        return (*class_changes(centre, here), (Atom(centre[0]), Atom(-here[0], strict=True)))
    if prop.top == 1:
        return class_changes(centre, here)
    if not 1 <= prop.top < size:
        raise PropertyError(f"{prop.name!r}: top may be 1 to {size - 1} of {size}, found {prop.top}")
    return tuple(
        (*(Atom(centre[i] - centre[label], strict=True) for i in range(size) if i != label), *case)
        for label in range(size)
        for case in class_outranked(here, label, prop.top)
    )
