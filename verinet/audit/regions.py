"""The linear regions of a network that rows of data fall in, exactly.

In a region every ReLU is on or off and every maximum has one winner, so the network is an affine function there. A unit
is on where its argument is above zero; of several largest members of a maximum the first wins: so every input lies in
exactly one region. Units that lead to no output are left aside: they part no regions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from verinet.audit.conditions import Condition, Rows
from verinet.audit.reach import reached_nodes
from verinet.model import Affine, Maximum, Network, Relu, walk
from verinet.model.evaluation import ExactAlgebra, ExactVector
from verinet.numeric import BoolArray, IntArray, ObjectArray, integers_over_power_of_two

__all__ = ["AffineForm", "LinearRegion", "linear_regions"]


@dataclass(frozen=True)
class AffineForm:
    """``coefficients . x + constant``.

    Parameters
    ----------
    coefficients : tuple of Fraction
        One for each input.
    constant : Fraction
    """

    coefficients: tuple[Fraction, ...]
    constant: Fraction

    def value(self, x: Sequence[Fraction]) -> Fraction:
        """Evaluate the form exactly."""
        return self.constant + sum((c * v for c, v in zip(self.coefficients, x, strict=True) if c), Fraction(0))


@dataclass(frozen=True, eq=False)
class LinearRegion:
    """Where a network is one affine function.

    Parameters
    ----------
    rows : ndarray of int
        The rows of data in it.
    conditions : tuple of Condition
        A point lies in the region if and only if all hold: one for each ReLU and each loser of a maximum that leads to
        an output.
    forms : tuple of AffineForm
        The network's outputs there, exactly.
    """

    rows: IntArray
    conditions: tuple[Condition, ...]
    forms: tuple[AffineForm, ...]


@dataclass(eq=False)
class _Patterns(ExactAlgebra):
    """Evaluates rows exactly and notes, operation by operation, which units are on and who wins."""

    found: list[IntArray] = field(default_factory=list)

    def relu(self, op: Relu, arguments: Sequence[ExactVector]) -> ExactVector:
        self.found.append((arguments[0].numerators > 0).astype(np.int64))
        return super().relu(op, arguments)

    def maximum(self, op: Maximum, arguments: Sequence[ExactVector]) -> ExactVector:
        values = arguments[0].numerators
        winners = [np.argmax(values[:, members], axis=1) for members in op.groups]
        self.found.append(np.stack(winners, axis=1).astype(np.int64))
        return super().maximum(op, arguments)


@dataclass(eq=False)
class _Forms:
    """Carries affine forms through a network whose pattern is given.

    A value holds one row for each input's coefficient and, last, one for the constant.

    Parameters
    ----------
    pattern : iterator of ndarray of int
        Operation by operation, which units are on and who wins.
    needed : iterator of ndarray of bool
        Operation by operation, which units lead to an output; conditions are noted for these.
    """

    pattern: Iterator[IntArray]
    needed: Iterator[BoolArray]
    conditions: list[Condition] = field(default_factory=list)

    def affine(self, op: Affine, arguments: Sequence[ExactVector]) -> ExactVector:
        bias, denominator = integers_over_power_of_two(op.bias)
        constants = np.zeros((len(arguments[0].numerators), op.size_out), dtype=object)
        constants[-1] = bias
        total = ExactVector(constants, denominator)
        for linear_map, x in zip(op.maps, arguments, strict=True):
            integers, scale = linear_map.as_integers
            total = _sum(total, ExactVector(integers.apply(x.numerators), scale * x.denominator))
        return total

    def relu(self, op: Relu, arguments: Sequence[ExactVector]) -> ExactVector:
        forms, is_on = arguments[0].numerators, next(self.pattern).astype(bool)
        for form, on, needed in zip(forms.T, is_on, next(self.needed), strict=True):
            if needed:
                self._require(form if on else -form, bool(on))
        return ExactVector(np.where(is_on, forms, 0), arguments[0].denominator)

    def maximum(self, op: Maximum, arguments: Sequence[ExactVector]) -> ExactVector:
        forms, places = arguments[0].numerators, next(self.pattern)
        winners = np.array([members[place] for members, place in zip(op.groups, places, strict=True)])
        for members, place, winner, needed in zip(op.groups, places, winners, next(self.needed), strict=True):
            for other, member in enumerate(members):
                if needed and member != winner:
                    self._require(forms[:, winner] - forms[:, member], other < place)
        return ExactVector(forms[:, winners], arguments[0].denominator)

    def _require(self, form: ObjectArray, strict: bool) -> None:
        """Note a condition, up to the common denominator, which is positive; one on constants holds everywhere."""
        if any(form[:-1]):
            self.conditions.append(Condition.of(form[:-1].tolist(), form[-1], strict))


def _sum(a: ExactVector, b: ExactVector) -> ExactVector:
    """Add over powers of two: the larger is a multiple of the smaller."""
    common = max(a.denominator, b.denominator)
    return ExactVector(a.scaled_to(common) + b.scaled_to(common), common)


def linear_regions(network: Network, rows: Rows) -> Iterator[LinearRegion]:
    """Find the linear regions that rows fall in.

    Parameters
    ----------
    network : Network
    rows : Rows

    Yields
    ------
    LinearRegion
        Most rows first, then in the order of their first rows; each row lies in one of them.

    Notes
    -----
    Soundness: patterns, conditions and forms come from rational arithmetic on the stored parameters and rows.
    """
    algebra = _Patterns()
    walk(network, algebra, [ExactVector(part, rows.denominator) for part in network.split_input(rows.numerators)])
    reached = reached_nodes(network)
    needed = [reached[node.name] for node in network.nodes if isinstance(node.op, Relu | Maximum)]
    # The constant column: numpy finds no distinct rows in a table without columns, as networks without units have it.
    told_apart = [np.where(units, part, 0) for units, part in zip(needed, algebra.found, strict=True)]
    table = np.concatenate([*told_apart, np.zeros((len(rows.x), 1), dtype=np.int64)], axis=1)
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    members = [np.flatnonzero(inverse.ravel() == k) for k in range(len(first))]
    order = sorted(range(len(first)), key=lambda k: (-len(members[k]), first[k]))
    for k in order:
        yield _region(network, [part[first[k]] for part in algebra.found], needed, members[k])


def _region(
    network: Network, pattern: Sequence[IntArray], needed: Sequence[BoolArray], members: IntArray
) -> LinearRegion:
    size = network.size_in
    algebra = _Forms(iter(pattern), iter(needed))
    identity = np.zeros((size + 1, size), dtype=object)
    np.fill_diagonal(identity, 1)
    values = walk(network, algebra, [ExactVector(part, 1) for part in network.split_input(identity)])
    forms = []
    for name in network.outputs:
        for column in values[name].numerators.T:
            entries = [Fraction(int(v), values[name].denominator) for v in column]
            forms.append(AffineForm(tuple(entries[:-1]), entries[-1]))
    return LinearRegion(members, tuple(dict.fromkeys(algebra.conditions)), tuple(forms))
