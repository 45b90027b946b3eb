"""Backward linear relaxation (DeepPoly / CROWN) over any network, rounding-safe.

A linear functional of some nodes' values is pulled back through the network, each ReLU and maximum replaced by one of
its two lines, until it is a functional of the inputs; its minimum over the input set bounds it from below.

Soundness: the pulled-back coefficients are floats and are taken as the exact coefficients of the next functional; what
rounding changed is bounded by ``gamma_n * |A| @ (|M| @ magnitude)`` at each step and subtracted from the bound.

References
----------
Singh, Gehr, Pueschel, Vechev, An abstract domain for certifying neural networks, POPL 2019.
Zhang, Weng, Chen, Hsieh, Daniel, Efficient neural network robustness certification, NeurIPS 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verinet.bounds.inputs import InputSet
from verinet.bounds.interval import Interval, interval_bounds
from verinet.bounds.relaxation import Line, Relaxation, relax
from verinet.model import Affine, Input, Maximum, Network, Node, Relu
from verinet.numeric import SMALLEST_FLOAT, BoolArray, FloatArray, gamma

__all__ = ["NetworkBounds", "bound_network", "open_entries"]

ROWS_AT_ONCE = 256
"""Functionals pulled back together: large enough for fast products, small enough for the cache and for memory."""


@dataclass(frozen=True, eq=False)
class NetworkBounds:
    """Enclosures of every node over an input set.

    Parameters
    ----------
    network : Network
    inputs : InputSet
    intervals : Mapping
        Each node's enclosure under its name.
    """

    network: Network
    inputs: InputSet
    intervals: Mapping[str, Interval]

    @property
    def output(self) -> Interval:
        """The enclosure of the output vector."""
        parts = [self.intervals[name] for name in self.network.outputs]
        return Interval(np.concatenate([p.lower for p in parts]), np.concatenate([p.upper for p in parts]))

    @cached_property
    def unstable(self) -> int:
        """Number of ReLUs whose sign, and groups whose largest member, the bounds leave open."""
        count = 0
        for node in self.network.nodes:
            if isinstance(node.op, Relu | Maximum):
                count += int(open_entries(node.op, self.intervals[node.arguments[0]]).sum())
        return count

    def lower(self, rows: Mapping[str, FloatArray]) -> FloatArray:
        """Bound linear functionals of the nodes' values from below.

        Parameters
        ----------
        rows : Mapping
            Coefficients for each node that takes part, shape (functionals, size).

        Returns
        -------
        ndarray, shape (functionals,)
            Valid for the exact real function over the whole input set.
        """
        count = len(next(iter(rows.values())))
        parts = []
        for start in range(0, count, ROWS_AT_ONCE):
            chunk = {name: matrix[start : start + ROWS_AT_ONCE] for name, matrix in rows.items()}
            parts.append(_pull_back(self.network, self.inputs, self.intervals, chunk))
        return np.concatenate(parts) if parts else np.zeros(0)


def open_entries(op: Relu | Maximum, argument: Interval) -> BoolArray:
    """Return which entries of the result the argument's enclosure leaves undecided.

    Parameters
    ----------
    op : Relu or Maximum
    argument : Interval
    """
    if isinstance(op, Relu):
        return (argument.lower < 0) & (argument.upper > 0)
    lower, upper = argument.lower[op.members], argument.upper[op.members]
    best = np.maximum.reduceat(lower, op.offsets[:-1])
    rivals = np.add.reduceat((upper > np.repeat(best, np.diff(op.offsets))).astype(np.int64), op.offsets[:-1])
    return rivals > 1


class _Pullback:
    """The state of one backward pass: functionals of the nodes not yet passed, and what has been gathered."""

    def __init__(self, intervals: Mapping[str, Interval], rows: Mapping[str, FloatArray]) -> None:
        self.intervals = intervals
        self.pending: dict[str, FloatArray] = dict(rows)
        count = len(next(iter(rows.values())))
        self.bias = np.zeros(count)
        self.reach = np.zeros(count)
        self.error = np.zeros(count)

    def add(self, name: str, rows: FloatArray) -> None:
        """Add a functional of a node's value."""
        if name in self.pending:
            rows = self.pending[name] + rows
            self.error += gamma(1) * (np.abs(rows) @ self.intervals[name].magnitude)
        self.pending[name] = rows

    def constant(self, rows: FloatArray, values: FloatArray) -> None:
        """Add ``rows @ values`` to the gathered constant."""
        self.bias = self.bias + rows @ values
        self.reach += np.abs(rows) @ np.abs(values)

    def affine(self, node: Node, op: Affine, rows: FloatArray) -> None:
        """Pull the functional back through an affine operation."""
        self.constant(rows, op.bias)
        absolute = np.abs(rows)
        for name, linear_map in zip(node.arguments, op.maps, strict=True):
            reach = linear_map.absolute.apply(self.intervals[name].magnitude)
            self.error += gamma(linear_map.longest_column) * (absolute @ reach)
            self.add(name, linear_map.apply_transposed(rows))

    def relaxed(self, name: str, relaxation: Relaxation, rows: FloatArray) -> None:
        """Pull the functional back through the lines below (where it is positive) and above (where negative)."""
        result = np.zeros((len(rows), relaxation.size))
        reach = np.zeros_like(result)
        for line, part in (
            (relaxation.below, np.maximum(rows, 0.0)),
            (relaxation.above, np.minimum(rows, 0.0)),
        ):
            self.constant(part, line.intercept)
            _scatter(result, line, part * line.slope)
            _scatter(reach, line, np.abs(part) * line.slope)
        # Several results may lean on one entry of the argument; their sum rounds once for each.
        shared = int(np.bincount(np.concatenate([relaxation.below.index, relaxation.above.index])).max(initial=1))
        self.error += gamma(shared + 1) * (reach @ self.intervals[name].magnitude)
        self.add(name, result)


def _scatter(target: FloatArray, line: Line, terms: FloatArray) -> None:
    if len(line.index) == target.shape[1] and (line.index == np.arange(len(line.index))).all():
        target += terms
    else:
        np.add.at(target.T, line.index, terms.T)


def _pull_back(
    network: Network, inputs: InputSet, intervals: Mapping[str, Interval], rows: Mapping[str, FloatArray]
) -> FloatArray:
    state = _Pullback(intervals, rows)
    for node in reversed(network.nodes):
        if isinstance(node.op, Input) or node.name not in state.pending:
            continue
        functional = state.pending.pop(node.name)
        if isinstance(node.op, Affine):
            state.affine(node, node.op, functional)
        else:
            name = node.arguments[0]
            state.relaxed(name, relax(node.op, intervals[name]), functional)
    count = len(state.bias)
    widths = [network.by_name[name].op.size_out for name in network.inputs]
    parts = [
        state.pending.get(name, np.zeros((count, width))) for name, width in zip(network.inputs, widths, strict=True)
    ]
    minimum = inputs.minimum(np.concatenate(parts, axis=1))
    terms = sum(node.op.size_out * max(1, len(node.arguments)) for node in network.nodes)
    # The gathered constant is one long sum; its error and the last additions go by its absolute terms.
    slack = 2 * (state.error + gamma(terms + 4) * (state.reach + np.abs(minimum)))
    # Coefficients that underflow lose next to nothing, times what may be a huge input.
    largest = max(float(interval.magnitude.max(initial=0.0)) for interval in intervals.values())
    slack = slack + 4.0 * terms * terms * SMALLEST_FLOAT * largest
    return np.asarray(state.bias + minimum - slack - np.finfo(np.float64).tiny)


def _refined(
    network: Network, inputs: InputSet, node: Node, user: Relu | Maximum, intervals: Mapping[str, Interval]
) -> Interval:
    """Tighten a node's enclosure by backward passes for the entries that its user leaves open."""
    argument = intervals[node.name]
    undecided = open_entries(user, argument)
    if isinstance(user, Relu):
        entries = np.flatnonzero(undecided)
    else:
        entries = np.unique(user.members[np.repeat(undecided, np.diff(user.offsets))])
    lower, upper = argument.lower.copy(), argument.upper.copy()
    bounds = NetworkBounds(network, inputs, intervals)
    for start in range(0, len(entries), ROWS_AT_ONCE):
        chunk = entries[start : start + ROWS_AT_ONCE]
        rows = np.zeros((2 * len(chunk), len(lower)))
        rows[np.arange(len(chunk)), chunk] = 1.0
        rows[len(chunk) + np.arange(len(chunk)), chunk] = -1.0
        found = bounds.lower({node.name: rows})
        lower[chunk] = np.maximum(lower[chunk], found[: len(chunk)])
        upper[chunk] = np.minimum(upper[chunk], -found[len(chunk) :])
    return Interval(lower, upper)


def bound_network(network: Network, inputs: InputSet, *, relaxed: bool = True) -> NetworkBounds:
    """Enclose every node's value over an input set.

    Parameters
    ----------
    network : Network
    inputs : InputSet
    relaxed : bool
        Refine the arguments of ReLUs and maxima by backward relaxation; otherwise intervals only.

    Returns
    -------
    NetworkBounds
        Valid for the exact real function of the stored parameters over the exact domain.
    """
    users = {node.arguments[0]: node.op for node in network.nodes if isinstance(node.op, Relu | Maximum)}

    def refine(node: Node, value: Interval, so_far: Mapping[str, Interval]) -> Interval:
        # Over a plain box the interval of one affine map of the inputs is as tight as any bound of it.
        exact = not inputs.balls and all(isinstance(network.by_name[name].op, Input) for name in node.arguments)
        if not relaxed or exact or node.name not in users or not isinstance(node.op, Affine):
            return value
        return _refined(network, inputs, node, users[node.name], {**so_far, node.name: value})

    return NetworkBounds(network, inputs, interval_bounds(network, inputs.box, refine))
