"""What training of a stack of layers must meet beside its goals: rows at counterexamples, and networks left out.

A quantised network that fails where rounding decides, such as by an output of one and 1e-17 where at most one is
allowed, meets every row that floating point can write down. It is left out as such: there are finitely many.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from verinet.numeric import FloatArray
from verinet.program import Expressions, Indicator
from verinet.train.demand_rows import ScaledDemands, add_demands
from verinet.train.layered.architecture import Architecture, LayerValues, Quantised
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.walk import Walk

__all__ = ["LayeredDemands", "demand_of_walk"]

Values = Mapping[int, LayerValues]


@dataclass(frozen=True, eq=False)
class LayeredDemands:
    """Rows at counterexamples, and networks left out.

    Parameters
    ----------
    rows : ScaledDemands
    excluded : tuple of Mapping
        Weights of networks of quantised layers, by position.
    """

    rows: ScaledDemands
    excluded: tuple[Values, ...] = ()

    @classmethod
    def none(cls, features: int) -> "LayeredDemands":
        """Return no demand at all."""
        return cls(ScaledDemands.none(features))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is demanded."""
        return not (self.rows.clauses or self.excluded)

    def excess(self, architecture: Architecture, values: Values) -> float:
        """Return by how much weights miss what is demanded, in float64; zero where they meet it."""
        if any(_flat(values).tobytes() == _flat(other).tobytes() for other in self.excluded):
            return 1.0
        if not self.rows.clauses:
            return 0.0
        return self.rows.excess(outputs_of(architecture, self.rows.x, values))


def _flat(values: Values) -> FloatArray:
    """Write all weights, biases and gates in one row; adding zero makes one zero of two."""
    parts = [np.concatenate([v.weights.ravel(), v.biases, [float(v.gate)]]) for _, v in sorted(values.items())]
    return np.asarray(np.concatenate(parts) + 0.0)


def demand_of_walk(walk: Walk, demands: LayeredDemands, outputs: Expressions) -> None:
    """Add what is demanded to a programme whose layers were walked.

    Parameters
    ----------
    walk : Walk
    demands : LayeredDemands
    outputs : Expressions
        At the points of the rows, one after the other.
    """
    chosen = add_demands(walk.builder, demands.rows, outputs)
    walk.completions.append(lambda point, _: chosen(point))
    for values in demands.excluded:
        _leave_out(walk, values)


def _leave_out(walk: Walk, values: Values) -> None:
    """Demand that some weight differs from its value by at least one step, up or down."""
    lines, steps = [], []
    for position, variables in walk.layers.items():
        weights, own = walk.architecture.weights_of(position), values[position]
        assert isinstance(weights, Quantised), "networks of real weights cannot be left out one by one"
        blocks = [(variables.weights.value, own.weights.ravel()), (variables.biases.value, own.biases)]
        if variables.gate is not None:
            blocks.append((Expressions.variables([variables.gate]), np.array([float(own.gate)])))
        for value, known in blocks:
            lines.append(value.shifted(-known))
            steps.append(np.full(len(known), weights.scale * weights.step))
        if variables.gate is not None:
            steps[-1] = np.ones(1)
    change, half = Expressions.stack(lines), 0.5 * np.concatenate(steps)
    # A change of at least half a step; by less than that nothing quantised moves.
    short = Expressions.stack([(-change).shifted(half), change.shifted(half)])
    lower, upper = walk.builder.enclosure(short)
    possible = np.flatnonzero(lower <= 0)
    moved = walk.builder.binaries("moved", len(possible))
    walk.builder.semantic(Indicator(moved, short[possible], upper[possible]))
    walk.builder.rows(Expressions.variables(moved).total(), lower=1.0)

    def complete(point: FloatArray, _: Values) -> None:
        point[moved] = short[possible].value(point) <= 0

    walk.completions.append(complete)
