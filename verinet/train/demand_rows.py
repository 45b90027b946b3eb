"""Demands at counterexamples as float rows over the outputs of a network in scaled units.

Soundness: every row is loosened by more than the rounding of its points, coefficients and outputs, and tightened only
by the margin that is asked for. Without a margin a programme with these rows is a relaxation: its bound holds for
every network that meets the demands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from verinet.model import Demand, DemandRow
from verinet.numeric import FloatArray, IntArray
from verinet.program import Expressions, Indicator, ProgrammeBuilder
from verinet.train.data import Scaling

__all__ = ["LOOSENING", "ScaledDemands", "add_demands", "scaled_demands"]

LOOSENING = 1e-9
"""Relative to a row's terms and to the width of the target: a million times what rounding in float64 makes of networks
with weights of ordinary size."""


@dataclass(frozen=True, eq=False)
class _Row:
    """``weights . outputs[places] >= least``."""

    places: IntArray
    weights: FloatArray
    least: float

    def missing(self, outputs: FloatArray) -> float:
        """Return by how much flat outputs at all points miss the row; negative where they do not."""
        return self.least - float(self.weights @ outputs[self.places])


@dataclass(frozen=True, eq=False)
class ScaledDemands:
    """Points in scaled features, and clauses over the outputs there, of which some row holds each.

    Parameters
    ----------
    x : ndarray, shape (points, features)
    clauses : tuple of tuple of row
        Their places are ``point * outputs + output``.
    """

    x: FloatArray
    clauses: tuple[tuple[_Row, ...], ...] = ()

    @classmethod
    def none(cls, features: int) -> "ScaledDemands":
        """Return no demand at all."""
        return cls(np.zeros((0, features)))

    def excess(self, outputs: FloatArray) -> float:
        """Return by how much outputs, shape (points, outputs), miss the clauses in sum; zero where they meet them."""
        flat = outputs.ravel()
        return sum(max(0.0, min(row.missing(flat) for row in clause)) for clause in self.clauses)


def scaled_demands(demands: Sequence[Demand], scaling: Scaling, outputs: int, margin: float) -> ScaledDemands:
    """Write demands in scaled features and targets.

    Parameters
    ----------
    demands : sequence of Demand
        Each clause has a row.
    scaling : Scaling
    outputs : int
        Of the network.
    margin : float
        By how much rows are overfulfilled, in units of the scaled target and of a row's largest weight; zero for a
        relaxation.
    """
    points = np.array([[float(v) for v in point] for demand in demands for point in demand.points])
    clauses, first = [], 0
    for demand in demands:
        clauses += [
            tuple(_scaled_row(row, first, outputs, scaling, margin) for row in clause) for clause in demand.clauses
        ]
        first += len(demand.points)
    features = len(scaling.offset)
    return ScaledDemands(scaling.features(points.reshape(-1, features)), tuple(clauses))


def _scaled_row(row: DemandRow, first: int, outputs: int, scaling: Scaling, margin: float) -> _Row:
    """Divide a row by its largest weight and by the target's width."""
    largest = max(abs(term.weight) for term in row.terms)
    offset, width = Fraction(scaling.target_offset), Fraction(scaling.target_width)
    weights = [term.weight / largest for term in row.terms]
    # Raw outputs are offset + width * scaled ones.
    constant = (row.constant / largest + offset * sum(weights, Fraction(0))) / width
    places = np.array([(first + term.point) * outputs + term.output for term in row.terms])
    least = margin if margin else -LOOSENING * (1.0 + abs(float(constant)))
    return _Row(places, np.array([float(w) for w in weights]), least - float(constant))


def add_demands(
    builder: ProgrammeBuilder, demands: ScaledDemands, outputs: Expressions
) -> Callable[[FloatArray], None]:
    """Add the clauses to a programme: a row where there is no choice, a binary for each row where there is one.

    Parameters
    ----------
    builder : ProgrammeBuilder
    demands : ScaledDemands
    outputs : Expressions
        At the points, one after the other.

    Returns
    -------
    callable
        Sets the binaries at a point whose outputs are known.
    """
    chosen: list[tuple[tuple[_Row, ...], IntArray]] = []
    for clause in demands.clauses:
        lines = Expressions.stack([_expression(row, outputs) for row in clause])
        if len(clause) == 1:
            builder.rows(lines, lower=0.0)
            continue
        binaries = builder.binaries("choice", len(clause))
        _, upper = builder.enclosure(-lines)
        builder.semantic(Indicator(binaries, -lines, upper))
        builder.rows(Expressions.variables(binaries).total(), lower=1.0)
        chosen.append((clause, binaries))

    def complete(point: FloatArray) -> None:
        flat = outputs.value(point)
        for clause, binaries in chosen:
            missing = np.array([row.missing(flat) for row in clause])
            # Where none holds yet, the one that is nearest to it is what a search should aim at.
            point[binaries] = missing <= max(0.0, missing.min())

    return complete


def _expression(row: _Row, outputs: Expressions) -> Expressions:
    matrix = sp.csr_array(
        (row.weights, (np.zeros(len(row.places), dtype=np.int64), row.places)), shape=(1, outputs.size)
    )
    return outputs.linear(matrix).shifted(-row.least)
