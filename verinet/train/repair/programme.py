"""The smallest change of a layer's weights under demands at points, as a programme.

At a point the layer's results are ``a + E d`` for the change d of its parameters, with E from what enters the layer
there; what follows is the network itself, over these expressions. Without a ReLU behind the layer all is linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.encode import Encoded, encode_network
from verinet.model import Demand, evaluate_exact
from verinet.numeric import FloatArray, IntArray
from verinet.program import Expressions, Programme, ProgrammeBuilder
from verinet.train.data import Scaling
from verinet.train.demand_rows import add_demands, scaled_demands
from verinet.train.repair.layer import RepairLayer

__all__ = ["RepairProgramme", "build_repair"]


@dataclass(frozen=True, eq=False)
class RepairProgramme:
    """A programme, and where the change is in it.

    Parameters
    ----------
    programme : Programme
    """

    programme: Programme
    _up: IntArray
    _down: IntArray

    def change(self, point: FloatArray) -> FloatArray:
        """Read the change of each parameter at a point."""
        return np.asarray(point[self._up] - point[self._down])


def build_repair(
    layer: RepairLayer, demands: Sequence[Demand], margin: float, reach: float, *, counted: bool
) -> RepairProgramme:
    """Write the smallest change under demands as a programme.

    Parameters
    ----------
    layer : RepairLayer
    demands : sequence of Demand
        At least one.
    margin : float
        By how much they are overfulfilled, in units of the largest output at their points; zero for a relaxation.
    reach : float
        The largest change of a parameter.
    counted : bool
        Whether changed parameters are counted, rather than changes added up.
    """
    builder = ProgrammeBuilder()
    size = len(layer.current)
    zeros, most = np.zeros(size), np.full(size, reach)
    up, down = builder.variables("up", zeros, most), builder.variables("down", zeros, most)
    change = Expressions.variables(up) - Expressions.variables(down)
    magnitude = Expressions.variables(up) + Expressions.variables(down)
    network = layer.network
    largest = max(
        (abs(float(v)) for demand in demands for point in demand.points for v in evaluate_exact(network, point)),
        default=1.0,
    )
    scale = largest if largest > 0 else 1.0
    features = network.size_in
    rows = scaled_demands(demands, Scaling(np.zeros(features), np.ones(features), 0.0, scale), network.size_out, margin)
    outputs = []
    for demand in demands:
        for point in demand.points:
            entering, results, others = layer.entering(point)
            moved = change.linear(layer.effect(entering)).shifted(results)
            inputs = Expressions.stack([moved, Expressions.constants(others)]) if len(others) else moved
            lower, upper = builder.enclosure(inputs)
            outputs.append(encode_network(builder, layer.tail, Encoded(inputs, lower, upper)).expressions)
    add_demands(builder, rows, Expressions.stack(outputs).scaled(1.0 / scale))
    if counted:
        changed = builder.binaries("changed", size)
        builder.rows(magnitude - Expressions.variables(changed).scaled(reach), upper=0.0)
        builder.objective = Expressions.variables(changed).total()
    else:
        builder.objective = magnitude.total()
    return RepairProgramme(builder.build(), up, down)
