"""Input domains as variables and rows, and a whole query as a programme."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.encode.network import Encoded, encode_network
from verinet.encode.rows import Places, add_atoms, linear_row
from verinet.model import Atom, Conjunction, Domain, LinearExpression, Network, Side, Symbol
from verinet.numeric import FloatArray, IntArray, float_down, float_up
from verinet.program import ExactRow, Expressions, Programme, ProgrammeBuilder, VariableKind

__all__ = ["QueryProgramme", "encode_domain", "encode_query"]


def encode_domain(builder: ProgrammeBuilder, domain: Domain) -> Encoded:
    """Write a domain as variables and rows.

    Parameters
    ----------
    builder : ProgrammeBuilder
    domain : Domain

    Returns
    -------
    Encoded
        The input vector. Bounds are rounded outward, so every point of the domain is feasible.
    """
    lower, upper = domain.box()
    integral = np.zeros(domain.size, dtype=bool)
    integral[list(domain.integral)] = True
    index = np.zeros(domain.size, dtype=np.int64)
    for kind, members in ((VariableKind.CONTINUOUS, ~integral), (VariableKind.INTEGER, integral)):
        index[members] = builder.variables(f"x_{kind.value}", lower[members], upper[members], kind)
    inputs = Expressions.variables(index)
    places = Places({Side.INPUT: inputs}, {Side.INPUT: lower}, {Side.INPUT: upper})
    add_atoms(builder, (*domain.conditions, *_rounded_bounds(domain)), places)
    for group in domain.groups:
        builder.rows(inputs[list(group)].total(), 1.0, 1.0)
    for ball in domain.balls:
        coordinates = list(ball.coordinates)
        radius = float_up(ball.radius)
        distance = builder.variables("distance", np.zeros(len(coordinates)), np.full(len(coordinates), radius))
        apart = Expressions.variables(distance)
        # Each side's centre is rounded so that the distance can only come out smaller than it is.
        above = inputs[coordinates].shifted(np.array([-float_up(c) for c in ball.centre]))
        below = inputs[coordinates].shifted(np.array([-float_down(c) for c in ball.centre]))
        builder.rows(above - apart, upper=0.0)
        builder.rows(-below - apart, upper=0.0)
        builder.rows(apart.total(), upper=radius)
        one = Fraction(1)
        for i, centre, d in zip(coordinates, ball.centre, distance, strict=True):
            builder.exact(ExactRow(((int(index[i]), one), (int(d), -one)), -centre))
            builder.exact(ExactRow(((int(index[i]), -one), (int(d), -one)), centre))
        builder.exact(ExactRow(tuple((int(d), one) for d in distance), -ball.radius))
    return Encoded(inputs, lower, upper)


def _rounded_bounds(domain: Domain) -> Iterator[Atom]:
    """Yield the bounds of the box that are no float64 numbers, as atoms."""
    for i, (low, high) in enumerate(zip(*domain.exact_box(), strict=True)):
        symbol = Symbol(Side.INPUT, i)
        if Fraction(float_down(low)) != low:
            yield Atom(LinearExpression(((symbol, Fraction(-1)),), low))
        if Fraction(float_up(high)) != high:
            yield Atom(LinearExpression(((symbol, Fraction(1)),), -high))


@dataclass(frozen=True, eq=False)
class QueryProgramme:
    """A network over a domain, and where its inputs and outputs are.

    Parameters
    ----------
    programme : Programme
        Without objective or output rows.
    places : Places
    inputs : ndarray of int, shape (size_in,)
        The variable of each input.
    """

    programme: Programme
    places: Places
    inputs: IntArray

    def violation(self, conjunction: Conjunction) -> Programme:
        """Return the programme that minimises the largest of the conjunction's expressions.

        Its optimum is at most zero if some point of the domain satisfies the conjunction; above zero, none does.
        """
        builder = ProgrammeBuilder.extending(self.programme)
        bounds = builder.all_bounds()
        rows = [linear_row(atom.expression, self.places, *bounds) for atom in conjunction]
        if len(rows) == 1:
            builder.objective = rows[0]
            return builder.build()
        stacked = Expressions.stack(rows or [Expressions.constants([-1.0])])
        low, high = builder.enclosure(stacked)
        worst = Expressions.variables(builder.variables("worst", [low.max()], [high.max()]))
        builder.rows(stacked - worst[[0] * stacked.size], upper=0.0)
        builder.objective = worst
        return builder.build()

    def steepness(self, conjunction: Conjunction) -> float:
        """Return the largest coefficient of the conjunction's expressions over the programme's variables, at least 1.

        A point that misses rows by a tolerance may miss an expression by about this many times as much.
        """
        bounds = ProgrammeBuilder.extending(self.programme).all_bounds()
        rows = [linear_row(atom.expression, self.places, *bounds) for atom in conjunction]
        return max((float(np.abs(row.matrix.data).max(initial=1.0)) for row in rows), default=1.0)

    def satisfaction(self, conjunction: Conjunction) -> Programme:
        """Return the programme whose feasible points satisfy the conjunction, strict where it is; no objective."""
        builder = ProgrammeBuilder.extending(self.programme)
        add_atoms(builder, conjunction, self.places)
        return builder.build()


def encode_query(
    network: Network,
    domain: Domain,
    intervals: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    phases: Mapping[str, IntArray] | None = None,
) -> QueryProgramme:
    """Write a network over a domain as a programme, ready for any violation.

    Parameters
    ----------
    network : Network
    domain : Domain
    intervals : Mapping or None
        Trusted bounds of each node, see `encode_network`.
    phases : Mapping or None
        Sides of zero that some nodes are restricted to, see `encode_network`.

    Returns
    -------
    QueryProgramme
    """
    builder = ProgrammeBuilder()
    inputs = encode_domain(builder, domain)
    outputs = encode_network(builder, network, inputs, intervals, phases)
    places = Places(
        {Side.INPUT: inputs.expressions, Side.OUTPUT: outputs.expressions},
        {Side.INPUT: inputs.lower, Side.OUTPUT: outputs.lower},
        {Side.INPUT: inputs.upper, Side.OUTPUT: outputs.upper},
    )
    return QueryProgramme(builder.build(), places, inputs.expressions.matrix.indices.astype(np.int64))
