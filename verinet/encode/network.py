"""Networks as programmes: the one walk, over affine expressions of a programme's variables.

Constant weights meet variable inputs here (verification); `variable_affine` is the other half of the same idea,
variable weights over constant inputs (training). Both give expressions, and both go through `relu` and `maximum`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verinet.model import Affine, LinearMap, Maximum, Network, Node, Relu, walk
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Expressions, ProgrammeBuilder
from verinet.program import Maximum as MaximumConstraint

__all__ = ["Encoded", "encode_network", "maximum", "relu", "variable_affine"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Expressions with bounds that hold for every feasible point.

    Parameters
    ----------
    expressions : Expressions
    lower, upper : ndarray of float, shape (size,)
        Infinite where nothing is known.
    """

    expressions: Expressions
    lower: FloatArray
    upper: FloatArray


def relu(builder: ProgrammeBuilder, name: str, argument: Encoded) -> Encoded:
    """Encode ``max(0, argument)``, entry by entry.

    A stable entry needs no variable: it is the argument itself, or zero. Every other gets a variable and a semantic
    maximum.

    Parameters
    ----------
    builder : ProgrammeBuilder
    name : str
        Prefix of the new variables' names.
    argument : Encoded
        Pre-activations and their bounds.

    Returns
    -------
    Encoded
    """
    low, high = argument.lower, argument.upper
    lower, upper = np.maximum(low, 0.0), np.maximum(high, 0.0)
    unstable = np.flatnonzero((low < 0) & (high > 0))
    results = builder.variables(name, lower[unstable], upper[unstable])
    if len(unstable):
        inner = argument.expressions[unstable]
        builder.semantic(MaximumConstraint.relu(results, inner, low[unstable], high[unstable]))
    parts = Expressions.stack(
        [argument.expressions, Expressions.variables(results), Expressions.constants(np.zeros(1))]
    )
    size = len(low)
    choice = np.where(low >= 0, np.arange(size), size + len(unstable))
    choice[unstable] = size + np.arange(len(unstable))
    return Encoded(parts[choice], lower, upper)


def maximum(builder: ProgrammeBuilder, name: str, argument: Encoded, op: Maximum) -> Encoded:
    """Encode the largest member of each group.

    A group that one member dominates needs no variable: it is that member.

    Parameters
    ----------
    builder : ProgrammeBuilder
    name : str
        Prefix of the new variables' names.
    argument : Encoded
    op : verinet.model.Maximum
        The groups.

    Returns
    -------
    Encoded
    """
    low, high = argument.lower[op.members], argument.upper[op.members]
    starts, sizes = op.offsets[:-1], np.diff(op.offsets)
    lower, upper = np.maximum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    group = np.repeat(np.arange(op.size_out), sizes)
    order = np.lexsort((low, group))
    best = order[op.offsets[1:] - 1]
    kept = high > lower[group]
    kept[best] = True
    rivals = np.bincount(group[kept], minlength=op.size_out)
    unsettled = np.flatnonzero(rivals > 1)
    results = builder.variables(name, lower[unsettled], upper[unsettled])
    if len(unsettled):
        chosen = np.flatnonzero(kept & np.isin(group, unsettled))
        offsets = np.concatenate([[0], np.cumsum(rivals[unsettled])])
        members = argument.expressions[op.members[chosen]]
        builder.semantic(MaximumConstraint(results, members, offsets, low[chosen], high[chosen]))
    parts = Expressions.stack([argument.expressions, Expressions.variables(results)])
    choice = op.members[best].copy()
    choice[unsettled] = argument.expressions.size + np.arange(len(unsettled))
    return Encoded(parts[choice], lower, upper)


def variable_affine(weights: Expressions, bias: Expressions, x: FloatArray) -> Expressions:
    """Return ``w . x_n + b`` for constant inputs and variable weights: linear in the weights.

    Parameters
    ----------
    weights : Expressions, size inputs
        The weights of one unit.
    bias : Expressions, size 1
    x : ndarray, shape (samples, inputs)

    Returns
    -------
    Expressions, size samples
    """
    return weights.linear(x) + bias.linear(np.ones((len(x), 1)))


class _EncodingAlgebra:
    """Expressions under the network's operations.

    Soundness: products of weights with expressions that are single variables are exact. Where an affine operation
    meets a longer expression, multiplying out would round, so that expression first becomes a variable of its own.
    """

    def __init__(self, builder: ProgrammeBuilder) -> None:
        self.builder = builder

    def affine(self, op: Affine, arguments: Sequence[Encoded]) -> Encoded:
        """Return ``sum_i M_i x_i + bias``."""
        if len(op.maps) == 1 and _copies(op.maps[0]) and not op.bias.any():
            total: Expressions | None = arguments[0].expressions.linear(_csr(op.maps[0]))
        else:
            prepared = [self._as_variables(x, ~x.expressions.is_selection) for x in arguments]
            total = _exact_sum(op, prepared)
            if total is None:
                # Two arguments share a variable: variables of their own keep both coefficients as they are.
                total = _exact_sum(op, [self._as_variables(x, np.full(len(x.lower), True)) for x in prepared])
        assert total is not None
        lower, upper = self.builder.enclosure(total)
        return Encoded(total, lower, upper)

    def relu(self, op: Relu, arguments: Sequence[Encoded]) -> Encoded:
        """Return ``max(0, x)``."""
        return relu(self.builder, "relu", arguments[0])

    def maximum(self, op: Maximum, arguments: Sequence[Encoded]) -> Encoded:
        """Return the largest member of each group."""
        return maximum(self.builder, "maximum", arguments[0], op)

    def _as_variables(self, x: Encoded, where: BoolArray) -> Encoded:
        """Give some expressions a variable of their own."""
        chosen = np.flatnonzero(where)
        if not len(chosen):
            return x
        fresh = Expressions.variables(self.builder.variables("affine", x.lower[chosen], x.upper[chosen]))
        self.builder.rows(x.expressions[chosen] - fresh, 0.0, 0.0)
        choice = np.arange(len(x.lower))
        choice[chosen] = len(x.lower) + np.arange(len(chosen))
        return Encoded(Expressions.stack([x.expressions, fresh])[choice], x.lower, x.upper)


def _exact_sum(op: Affine, arguments: Sequence[Encoded]) -> Expressions | None:
    """Return ``sum_i M_i x_i + bias`` of single variables, or None if two coefficients would have to be added."""
    total, entries = Expressions.constants(op.bias), 0
    for linear_map, x in zip(op.maps, arguments, strict=True):
        total = total + x.expressions.linear(_csr(linear_map))
        counts = np.diff(x.expressions.matrix.indptr)
        sparse = linear_map.to_sparse()
        entries += int(counts[sparse.columns[sparse.weights != 0]].sum())
    return total if total.matrix.nnz == entries else None


def _csr(linear_map: LinearMap) -> object:
    return linear_map.to_sparse().matrix


def _copies(linear_map: LinearMap) -> bool:
    """Return whether every entry of the result is plus or minus one entry of the argument, or zero."""
    return linear_map.longest_row <= 1 and bool((np.abs(linear_map.weights) == 1).all())


def _restricted(builder: ProgrammeBuilder, value: Encoded, phase: IntArray) -> Encoded:
    """Keep entries on one side of zero."""
    on, off = np.flatnonzero(phase > 0), np.flatnonzero(phase < 0)
    if len(on):
        builder.rows(value.expressions[on], lower=0.0)
    if len(off):
        builder.rows(value.expressions[off], upper=0.0)
    lower, upper = value.lower.copy(), value.upper.copy()
    lower[on], upper[off] = np.maximum(lower[on], 0.0), np.minimum(upper[off], 0.0)
    # Where bounds already exclude the side, the rows say so; crossed bounds would be no interval.
    return Encoded(
        value.expressions, np.minimum(lower, np.maximum(upper, 0.0)), np.maximum(upper, np.minimum(lower, 0.0))
    )


def encode_network(
    builder: ProgrammeBuilder,
    network: Network,
    inputs: Encoded,
    intervals: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    phases: Mapping[str, IntArray] | None = None,
) -> Encoded:
    """Write a network with constant weights over a programme's expressions.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Receives variables, rows and semantic constraints.
    network : Network
    inputs : Encoded
        The input vector.
    intervals : Mapping or None
        Lower and upper bounds of each node's value over the inputs' domain, trusted; None uses the bounds that the
        programme itself implies.
    phases : Mapping or None
        For some nodes, which entries are restricted: 1 to values that are not negative, -1 to values that are not
        positive, 0 not at all.

    Returns
    -------
    Encoded
        The output vector.
    """

    def refine(node: Node, value: Encoded, _: Mapping[str, Encoded]) -> Encoded:
        if phases is not None and node.name in phases:
            value = _restricted(builder, value, phases[node.name])
        if intervals is None:
            return value
        low, high = intervals[node.name]
        # Meeting bounds that were rounded apart would leave a variable without a value: keep the wider ones then.
        lower, upper = np.maximum(value.lower, low), np.minimum(value.upper, high)
        crossed = lower > upper
        return Encoded(value.expressions, np.where(crossed, value.lower, lower), np.where(crossed, value.upper, upper))

    parts = [
        Encoded(inputs.expressions[place], inputs.lower[place], inputs.upper[place])
        for place in network.split_input(np.arange(network.size_in))
    ]
    values = walk(network, _EncodingAlgebra(builder), parts, refine)
    outputs = [values[name] for name in network.outputs]
    return Encoded(
        Expressions.stack([v.expressions for v in outputs]),
        np.concatenate([v.lower for v in outputs]),
        np.concatenate([v.upper for v in outputs]),
    )
