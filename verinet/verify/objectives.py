"""What is minimised: sums of maxima of linear expressions, and prices of changed features, in rational arithmetic.

A linear expression, a distance, a cost of changes and the violation of a conjunction are all of this form. Each engine
reads it in its own way; its value at a point is exact.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

from verinet.errors import InputError
from verinet.model import Atom, Conjunction, Domain, LinearExpression, Region, Side, Symbol
from verinet.model.linear import LARGEST_NUMBER
from verinet.numeric import readable

__all__ = ["Case", "Change", "Distance", "Metric", "Objective", "region_cases", "shifted", "violation_cases", "whole"]


@dataclass(frozen=True)
class Change:
    """A price that is due as soon as one of some inputs differs from its reference.

    Parameters
    ----------
    coordinates : tuple of int
    centre : tuple of Fraction
        The reference of each coordinate.
    price : Fraction
        Not negative.
    """

    coordinates: tuple[int, ...]
    centre: tuple[Fraction, ...]
    price: Fraction = Fraction(1)


@dataclass(frozen=True)
class Objective:
    """``sum_j max_k expression_jk + sum of the prices of changes``.

    Parameters
    ----------
    parts : tuple of tuple of LinearExpression
        The members of each maximum, none empty.
    changes : tuple of Change
    """

    parts: tuple[tuple[LinearExpression, ...], ...]
    changes: tuple[Change, ...] = ()

    @classmethod
    def linear(cls, expression: LinearExpression) -> "Objective":
        """Return the objective that is one linear expression."""
        return cls(((expression,),))

    @property
    def expression(self) -> LinearExpression | None:
        """The linear expression that the objective is, if it is one."""
        return self.parts[0][0] if len(self.parts) == 1 == len(self.parts[0]) and not self.changes else None

    @property
    def steepest(self) -> Fraction:
        """Largest magnitude of a coefficient."""
        return max((abs(c) for part in self.parts for e in part for _, c in e.terms), default=Fraction(0))

    def value(self, inputs: Sequence[Fraction], outputs: Sequence[Fraction]) -> Fraction:
        """Evaluate the objective exactly."""
        total = sum((max(e.value(inputs, outputs) for e in part) for part in self.parts), Fraction(0))
        for change in self.changes:
            if any(inputs[i] != c for i, c in zip(change.coordinates, change.centre, strict=True)):
                total += change.price
        return total


@dataclass(frozen=True)
class Case:
    """Points at which a conjunction holds, and what is minimised over them.

    Parameters
    ----------
    conjunction : Conjunction
    objective : Objective
    """

    conjunction: Conjunction
    objective: Objective

    def value(self, inputs: Sequence[Fraction], outputs: Sequence[Fraction]) -> Fraction | None:
        """Evaluate the objective exactly where the conjunction holds; None elsewhere."""
        if not all(atom.holds(inputs, outputs) for atom in self.conjunction):
            return None
        return self.objective.value(inputs, outputs)


def region_cases(region: Region, objective: Objective) -> tuple[Case, ...]:
    """Return one case for each conjunction of a region, all with one objective."""
    return tuple(Case(conjunction, objective) for conjunction in dict.fromkeys(region.unsafe))


def violation_cases(region: Region) -> tuple[Case, ...]:
    """Return the cases whose least value, negated, is the largest violation within the region's domain.

    The violation of a conjunction is the least slack of its atoms, ``min over atoms of -expression``; that of a region
    the largest over its conjunctions.

    Raises
    ------
    InputError
        If a conjunction has no atoms: it holds by any margin.
    """
    if () in region.unsafe:
        raise InputError("a case without conditions is violated everywhere and by any margin; ask about another one")
    objectives = (Objective((tuple(atom.expression for atom in conjunction),)) for conjunction in region.unsafe)
    return tuple(Case((), objective) for objective in dict.fromkeys(objectives))


class Metric(Enum):
    """How the distance of two inputs is measured."""

    LINF = "linf"
    L1 = "l1"
    COUNT = "count"


@dataclass(frozen=True)
class Distance:
    """The distance of an input from a fixed one, possibly with a price for each unit of change.

    ``max_i p_i |x_i - c_i|`` for LINF, ``sum_i p_i |x_i - c_i|`` for L1, the price of the features that differ for
    COUNT; p_i is `up` where x_i exceeds c_i and `down` below.

    Parameters
    ----------
    metric : Metric
    centre : tuple of Fraction
        Need not lie in any domain.
    up, down : tuple of (Fraction or None)
        Price of a unit of change in either direction, not negative; None forbids it. Empty means 1 throughout. COUNT
        reads the larger of the two as the price of the input's feature.
    features : tuple of tuple of int
        For COUNT: the inputs that make up one feature, a one-hot group, say. Empty means that each input is one.

    Raises
    ------
    InputError
        If sizes do not fit or a price is negative.
    """

    metric: Metric
    centre: tuple[Fraction, ...]
    up: tuple[Fraction | None, ...] = ()
    down: tuple[Fraction | None, ...] = ()
    features: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        size = len(self.centre)
        ones = (Fraction(1),) * size
        object.__setattr__(self, "up", self.up or ones)
        object.__setattr__(self, "down", self.down or self.up)
        object.__setattr__(self, "features", self.features or tuple((i,) for i in range(size)))
        if not len(self.up) == len(self.down) == size:
            raise InputError(
                f"a distance needs one price for each of its {size} inputs, found {len(self.up)} and {len(self.down)}"
            )
        if sorted(i for feature in self.features for i in feature) != list(range(size)):
            raise InputError(f"the features of a distance need to name each of its {size} inputs once")
        for i, prices in enumerate(zip(self.up, self.down, strict=True)):
            for price in prices:
                if price is not None and not 0 <= price < LARGEST_NUMBER:
                    raise InputError(f"the price of input {i} needs to be at least 0, found {readable(price)}")

    @classmethod
    def between(
        cls,
        metric: Metric,
        centre: Iterable[float | Fraction],
        up: Iterable[float | Fraction] = (),
        down: Iterable[float | Fraction] = (),
        features: tuple[tuple[int, ...], ...] = (),
    ) -> "Distance":
        """Build a distance from numbers, floats taken exactly; an infinite price forbids the change."""
        return cls(metric, _finite(centre), _prices(up), _prices(down), features)

    @property
    def objective(self) -> Objective:
        """The distance as an objective; changes that are forbidden cost nothing, see `restrict`."""
        if self.metric is Metric.COUNT:
            return Objective((), tuple(self._change(feature) for feature in self.features))
        sides = [self._sides(i) for i in range(len(self.centre))]
        zero = LinearExpression(())
        if self.metric is Metric.LINF:
            members = dict.fromkeys(e for side in sides for e in side)
            return Objective(((zero, *(e for e in members if e != zero)),))
        return Objective(tuple((zero, *side) for side in sides if side))

    def restrict(self, domain: Domain) -> Domain | None:
        """Return the part of a domain that forbidden changes leave; None if its box is empty.

        Raises
        ------
        InputError
            If the domain has another number of inputs.
        """
        if domain.size != len(self.centre):
            raise InputError(f"the point needs {domain.size} numbers, one for each input, found {len(self.centre)}")
        lower, upper = list(domain.lower), list(domain.upper)
        for i, centre in enumerate(self.centre):
            # Counting, a price for one direction is one for both.
            both = self.metric is Metric.COUNT and None in (self.up[i], self.down[i])
            if both or self.up[i] is None:
                upper[i] = min(upper[i], centre)
            if both or self.down[i] is None:
                lower[i] = max(lower[i], centre)
            if lower[i] > upper[i] or (i in domain.integral and math.ceil(lower[i]) > math.floor(upper[i])):
                return None
        return replace(domain, lower=tuple(lower), upper=tuple(upper))

    def _sides(self, i: int) -> list[LinearExpression]:
        """Return the priced changes of an input, upward and downward, that may be positive."""
        symbol, centre = Symbol(Side.INPUT, i), self.centre[i]
        signed = [(price, sign) for price, sign in ((self.up[i], 1), (self.down[i], -1)) if price]
        return [LinearExpression(((symbol, sign * price),), -sign * price * centre) for price, sign in signed]

    def _change(self, feature: tuple[int, ...]) -> Change:
        prices = [price for i in feature for price in (self.up[i], self.down[i]) if price is not None]
        return Change(feature, tuple(self.centre[i] for i in feature), max(prices, default=Fraction(0)))


def _finite(values: Iterable[float | Fraction]) -> tuple[Fraction, ...]:
    numbers = tuple(values)
    for i, value in enumerate(numbers):
        if not math.isfinite(value):
            raise InputError(f"a point needs finite numbers, found {value} at place {i}")
    return tuple(Fraction(value) for value in numbers)


def _prices(values: Iterable[float | Fraction]) -> tuple[Fraction | None, ...]:
    numbers = tuple(values)
    for i, value in enumerate(numbers):
        if value != value:
            raise InputError(f"a price needs to be a number or infinite, found NaN at place {i}")
    return tuple(None if value == math.inf else Fraction(value) for value in numbers)


def shifted(atom: Atom, margin: Fraction) -> Atom:
    """Return an atom that holds by a margin at least."""
    return Atom(replace(atom.expression, constant=atom.expression.constant + margin))


def whole(atom: Atom, integral: Sequence[int]) -> Atom:
    """Return an atom that says the same of whole numbers and is not strict; others as they are.

    ``sum k_i x_i < c`` with whole k_i and x_i means ``sum k_i x_i <= ceil(c) - 1``.
    """
    expression = atom.expression
    if not expression.terms or any(s.side is not Side.INPUT or s.index not in integral for s, _ in expression.terms):
        return atom
    scaled = expression * Fraction(math.lcm(*(c.denominator for _, c in expression.terms)))
    limit = math.ceil(-scaled.constant) - 1 if atom.strict else math.floor(-scaled.constant)
    return Atom(replace(scaled, constant=Fraction(-limit)))
