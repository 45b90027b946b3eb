"""Universal constraints as the training loop sees them: a network in, a verdict and rows at counterexamples out.

Soundness: a row is a condition at one or two inputs of the constraint's domain that every network with the constraint
meets. Where it was found, and whether a network violates it there, does not matter for that; that its inputs lie in
the domain is checked exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from verinet.errors import InputError
from verinet.model import (
    Atom,
    Demand,
    DemandRow,
    Domain,
    LinearExpression,
    Lipschitz,
    Monotone,
    Network,
    Query,
    Region,
    Side,
    Symbol,
    dense_network,
    product_network,
    reduce_property,
    requirement_of,
)
from verinet.numeric import FloatArray
from verinet.train.data import Scaling, TrainingData
from verinet.train.demand_rows import LOOSENING
from verinet.train.examination import CROSS_CHECK_SECONDS, examine_property, worst_point
from verinet.train.specification import (
    PointCondition,
    UniversalConstraint,
    UniversalFair,
    UniversalMonotone,
    UniversalProperty,
)
from verinet.verify import (
    Answer,
    Deadline,
    Verdict,
    VerifyOptions,
    falling_pieces,
    verify_property,
    verify_query,
)

__all__ = ["Constraint", "Examination", "constraints_of"]

SHORTEST = 1e-5
"""Pairs nearer to one another than this share of the domain's width say too little in floating point."""

ROWS_A_ROUND = 10
"""Counterexamples of one constraint that one round adds, at most."""

WORST_SECONDS = 5.0
"""For the search for the worst counterexample, once one is known."""


@dataclass(frozen=True, eq=False)
class Examination:
    """What the verifier says about a network.

    Parameters
    ----------
    verdict : Verdict or None
        None where rows were found before anybody asked for one.
    rows : tuple of PointCondition
        Met by every network that keeps the constraint; broken by this one, up to rounding.
    """

    verdict: Verdict | None
    rows: tuple[PointCondition, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the constraint holds."""
        return self.verdict is not None and self.verdict.answer in (Answer.VERIFIED, Answer.VACUOUS)


class Constraint(Protocol):
    """What the loop asks of a constraint."""

    @property
    def name(self) -> str:
        """In words."""

    @property
    def mixes(self) -> bool:
        """Whether networks that break it are worth mixing with one that keeps it, until both together keep it."""

    def examine(self, network: Network, deadline: Deadline) -> Examination:
        """Verify a network; where it fails, return rows that it breaks."""


@dataclass(frozen=True, eq=False)
class MonotoneEverywhere:
    """A monotone constraint over a domain.

    Parameters
    ----------
    prop : Monotone
        Of one input.
    domain : Domain
    solver : str
    threads : int
    """

    prop: Monotone
    domain: Domain
    solver: str
    threads: int
    mixes: bool = False

    @property
    def name(self) -> str:
        """In words."""
        return self.prop.name

    def examine(self, network: Network, deadline: Deadline) -> Examination:
        """Verify a network; rows compare the ends of the falling stretches through its falling pieces."""
        report = falling_pieces(network, self.domain, self.prop, deadline)
        rows = [self._row(*piece.pair) for piece in report.pieces] if report is not None else []
        known = tuple(dict.fromkeys(row for row in rows if row is not None))[:ROWS_A_ROUND]
        if known:
            return Examination(None, known)
        # Pieces without an inside worth mentioning are nothing that a search for pairs decides.
        patience = deadline.within(WORST_SECONDS).left if report is not None and report.pieces else deadline.left
        verdict = verify_property(network, self.domain, self.prop, _options(self.solver, patience, self.threads))
        if verdict.witness is None:
            return Examination(verdict)
        reduction = reduce_property(network, self.domain, self.prop)
        pair = reduction.invert(worst_point(reduction.query, verdict, deadline, self.threads))
        row = self._row(*(np.array(point, dtype=np.float64) for point in pair))
        return Examination(verdict, () if row is None else (row,))

    def _row(self, first: FloatArray, second: FloatArray) -> PointCondition | None:
        """Demand that the output does not fall from the first input to the second, for a rise over the whole domain."""
        feature = self.prop.inputs[0]
        width = float(self.domain.upper[feature] - self.domain.lower[feature])
        rise = float(second[feature] - first[feature])
        if not rise > SHORTEST * width or not _contains(self.domain, first, second):
            return None
        weight = width / rise if self.prop.increasing else -width / rise
        return PointCondition((tuple(map(float, first)), tuple(map(float, second))), (-weight, weight), low=0.0)


@dataclass(frozen=True, eq=False)
class FairEverywhere:
    """Individual fairness over a domain.

    Parameters
    ----------
    name : str
    features : tuple of int
    tolerance : Fraction
    domain : Domain
    solver : str
    threads : int
    """

    name: str
    features: tuple[int, ...]
    tolerance: Fraction
    domain: Domain
    solver: str
    threads: int
    mixes: bool = True

    def query(self, network: Network) -> Query:
        """Ask for two inputs, alike but for the protected features, of which one has a larger output by too much."""
        domain, size = self.domain, self.domain.size
        second = {i: size + k for k, i in enumerate(self.features)}
        copies = (tuple(range(size)), tuple(second.get(i, i) for i in range(size)))
        doubled = Domain(
            domain.lower + tuple(domain.lower[i] for i in self.features),
            domain.upper + tuple(domain.upper[i] for i in self.features),
            domain.types + tuple(domain.types[i] for i in self.features),
        )
        terms = [(Symbol(Side.OUTPUT, 0), Fraction(-1)), (Symbol(Side.OUTPUT, 1), Fraction(1))]
        excess = LinearExpression.from_terms(terms) + LinearExpression((), self.tolerance)
        # Exchanging the two inputs exchanges the outputs, so one direction stands for both.
        return Query(product_network(network, copies), (Region(doubled, ((Atom(excess, strict=True),),)),))

    def examine(self, network: Network, deadline: Deadline) -> Examination:
        """Verify a network; the row is at the pair of inputs that differ most."""
        query = self.query(network)
        # The best network touches its tolerance, where splitting boxes tells nothing.
        options = replace(_options(self.solver, deadline.left, self.threads), engine="milp")
        verdict = verify_query(query.network, query, options)
        if verdict.witness is None:
            return Examination(verdict)
        point = worst_point(query, verdict, deadline, self.threads)
        size = self.domain.size
        first = np.array([float(v) for v in point[:size]])
        second = first.copy()
        second[list(self.features)] = [float(v) for v in point[size:]]
        if not _contains(self.domain, first, second):
            return Examination(verdict)
        pair = tuple(map(float, first)), tuple(map(float, second))
        tolerance = float(self.tolerance)
        row = PointCondition(pair, (1.0, -1.0), -tolerance, tolerance)
        return Examination(verdict, (row,))


@dataclass(frozen=True, eq=False)
class PropertyEverywhere:
    """Any property whose demands are rows: one condition at a counterexample, or several that all hold.

    Parameters
    ----------
    wanted : UniversalProperty
    scaling : Scaling
    solver : str
    threads : int
    """

    wanted: UniversalProperty
    scaling: Scaling
    solver: str
    threads: int
    mixes: bool = True

    @property
    def name(self) -> str:
        """In words."""
        return self.wanted.prop.name

    def examine(self, network: Network, deadline: Deadline) -> Examination:
        """Verify a network; rows are what the counterexample found and the worst one ask for."""
        examined = examine_property(network, self.wanted, deadline, self.solver, self.threads)
        rows = (self._row(demand, row) for demand in examined.demands for clause in demand.clauses for row in clause)
        return Examination(examined.verdict, tuple(dict.fromkeys(row for row in rows if row is not None)))

    def _row(self, demand: Demand, row: DemandRow) -> PointCondition | None:
        """Write a demand at the nearest float points; None where its two points are too near to one another.

        Soundness: it is loosened by far more than the rounding of points, numbers and outputs makes of a network whose
        path norm, in scaled units, is of ordinary size; one of a larger norm is no optimum at the price of weights.
        """
        points = np.array([[float(v) for v in demand.points[term.point]] for term in row.terms])
        distance = 1.0
        if isinstance(self.wanted.prop, Monotone | Lipschitz):
            # What such a pair demands is a slope.
            distance = float(np.abs(np.diff(self.scaling.features(points), axis=0)).max(initial=0.0))
            if not distance > SHORTEST:
                return None
        weights = tuple(float(term.weight) / distance for term in row.terms)
        least = -float(row.constant) / distance
        low = least - LOOSENING * (abs(least) + sum(map(abs, weights)) * self._size)
        return PointCondition(tuple(tuple(map(float, point)) for point in points), weights, low=low)

    @property
    def _size(self) -> float:
        return abs(self.scaling.target_offset) + self.scaling.target_width


def _options(solver: str, timeout: float, threads: int) -> VerifyOptions:
    return VerifyOptions(
        solver=solver, timeout=timeout, threads=threads, cross_check_neurons=0, cross_check_seconds=CROSS_CHECK_SECONDS
    )


def _contains(domain: Domain, *points: FloatArray) -> bool:
    return all(domain.contains([Fraction(float(v)) for v in point]) for point in points)


def _monotone(wanted: UniversalMonotone, domain: Domain, data: TrainingData, solver: str, threads: int) -> Constraint:
    verb = "lowers" if wanted.direction > 0 else "raises"
    name = f"more {data.names[wanted.feature]} never {verb} the output"
    prop = Monotone(name, (wanted.feature,), 0, wanted.direction > 0)
    return MonotoneEverywhere(prop, domain, solver, threads)


def _fair(wanted: UniversalFair, domain: Domain, data: TrainingData, solver: str, threads: int) -> Constraint:
    listed = ", ".join(data.names[j] for j in wanted.features)
    name = f"{listed} alone move the output by at most {wanted.tolerance:g}"
    return FairEverywhere(name, tuple(wanted.features), Fraction(wanted.tolerance), domain, solver, threads)


def _of_file(wanted: UniversalProperty, domain: Domain, data: TrainingData, solver: str, threads: int) -> Constraint:
    """Prepare a property of a property file."""
    prop = wanted.prop
    network = dense_network([np.zeros((1, len(data.names)))], [np.zeros(1)])
    if requirement_of(network, domain, prop, wanted.references).has_choices:
        raise InputError(
            f"the property {prop.name!r} leaves a choice of what to demand at a counterexample (an 'or'), which no "
            "linear row says; train a stack of layers or with method = 'milp', where a binary decides"
        )
    is_box = not (domain.groups or domain.conditions or domain.balls)
    if isinstance(prop, Monotone) and len(prop.inputs) == 1 and is_box and not prop.where:
        return MonotoneEverywhere(prop, domain, solver, threads)
    return PropertyEverywhere(wanted, data.scaling, solver, threads)


BUILDERS: Mapping[type, Callable[..., Constraint]] = {
    UniversalMonotone: _monotone,
    UniversalFair: _fair,
    UniversalProperty: _of_file,
}
"""How each kind of constraint is examined."""


def constraints_of(
    wanted: Sequence[UniversalConstraint], data: TrainingData, solver: str, threads: int
) -> tuple[Constraint, ...]:
    """Prepare constraints for the features of some data.

    Raises
    ------
    InputError
        If one names a feature that the data does not have, or its domain has another number of features.
    """
    size = len(data.names)
    whole = Domain.from_box(data.x.min(axis=0), data.x.max(axis=0))
    found = []
    for each in wanted:
        domain = whole if each.domain is None else each.domain
        unknown = next((j for j in each.features if not 0 <= j < size), None)
        if unknown is not None:
            raise InputError(f"a universal constraint names feature {unknown}, the data has {size}")
        if domain.size != size:
            raise InputError(f"a universal constraint's domain has {domain.size} features, the data has {size}")
        found.append(BUILDERS[type(each)](each, domain, data, solver, threads))
    return tuple(found)
