"""Networks as flat arrays, for compiled kernels.

All values of all nodes stand in one vector; inputs come first. A node is a slice of it and a kind; an affine node has
maps, each dense or sparse, that read other slices.
"""

from collections import Counter
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from verinet.bounds.difference import Difference
from verinet.model import Affine, Convolution, Dense, Input, LinearMap, Maximum, Network, Node, Relu, Sparse
from verinet.numeric import SMALLEST_FLOAT, FloatArray, IntArray, gamma

__all__ = ["MapKind", "NodeKind", "Tape", "make_tape"]


class NodeKind(IntEnum):
    """What a slice of the vector holds."""

    INPUT = 0
    AFFINE = 1
    MAXIMUM = 2
    """The largest of a group of entries and, for a ReLU, of zero."""
    DIFFERENCE = 3
    """``max(0, b) - max(0, a)`` for groups of three entries: b - a, a and b; see `bounds.difference`."""


class MapKind(IntEnum):
    """How a map's weights are stored."""

    DENSE = 0
    SPARSE = 1
    PATCH = 2
    """A convolution: one row of weights for each filter, one row of columns for each position."""


class Tape(NamedTuple):
    """A network for the kernels; every field is an array or a number, so that compiled code can take it.

    Attributes
    ----------
    kind, start, size : ndarray of int, shape (nodes,)
        Kind of each node, and its slice of the vector.
    refine : ndarray of int, shape (nodes,)
        For an affine node: the node that takes its maximum, or has lines in it, whose open entries are worth a backward
        pass; -1 for none.
    sole_user : ndarray of int, shape (nodes,)
        The maximum that takes a node, if nothing else does, it is no output, and no maximum follows; -1 otherwise.
    floor : ndarray of float, shape (nodes,)
        For a maximum: zero for a ReLU, ``-inf`` otherwise.
    first_map : ndarray of int, shape (nodes + 1,)
        Maps ``first_map[j]:first_map[j + 1]`` belong to node j.
    map_kind, map_source, map_width, map_weights : ndarray of int, shape (maps,)
        Kind; slice that the map reads; where its weights begin.
    map_columns, map_offsets : ndarray of int, shape (maps,)
        Where its columns begin, and for a sparse map its row offsets; unused by dense maps.
    map_filters, map_positions, map_window : ndarray of int, shape (maps,)
        For a patch map: how many filters, how many positions of each, and how many weights in each. A dense map has its
        rows for filters, and neither of the others.
    weights : ndarray of float
        Row by row for dense maps, entry by entry for sparse ones, filter by filter for patches.
    columns : ndarray of int
        Column of each weight of a sparse map's row or of a patch; -1 where a patch reaches into the padding.
    offsets : ndarray of int
        Row offsets of sparse maps and group offsets of maxima.
    group : ndarray of int, shape (nodes,)
        For a maximum: where its group offsets begin in `offsets`; they count from the beginning of `members`.
    members : ndarray of int
        Entries of the vector, group after group.
    bias : ndarray of float, shape (total,)
    inputs, total : int
        Length of the input vector and of the whole.
    gamma : float
        A bound on the relative rounding error of any sum that the kernels take.
    underflow : float
        A bound on what products that underflow can lose of a functional, for each unit of the largest magnitude.
    """

    kind: IntArray
    start: IntArray
    size: IntArray
    refine: IntArray
    sole_user: IntArray
    floor: FloatArray
    first_map: IntArray
    map_kind: IntArray
    map_source: IntArray
    map_width: IntArray
    map_weights: IntArray
    map_columns: IntArray
    map_offsets: IntArray
    map_filters: IntArray
    map_positions: IntArray
    map_window: IntArray
    weights: FloatArray
    columns: IntArray
    offsets: IntArray
    group: IntArray
    members: IntArray
    bias: FloatArray
    inputs: int
    total: int
    gamma: float
    underflow: float


MAP_FIELDS = tuple(field for field in Tape._fields if field.startswith("map_"))
"""The fields that hold one number for each map, in the order in which they are written."""


class _Writer:
    """Gathers the flat arrays of a tape."""

    def __init__(self, starts: dict[str, int]) -> None:
        self.starts = starts
        self.maps: list[tuple[int, ...]] = []
        self.weights: list[FloatArray] = []
        self.columns: list[IntArray] = []
        self.offsets: list[IntArray] = []
        self.members: list[IntArray] = []
        self.weight_count, self.column_count, self.offset_count, self.member_count = 0, 0, 0, 0

    def add_map(self, linear_map: LinearMap, source: str) -> None:
        kind, filters, positions, window = MapKind.DENSE, linear_map.size_out, 0, 0
        columns = offsets = np.zeros(0, dtype=np.int64)
        if isinstance(linear_map, Dense):
            weights = linear_map.weights
        elif isinstance(linear_map, Convolution) and linear_map.groups == 1:
            kind, columns, weights = MapKind.PATCH, linear_map.patches, linear_map.weights
            filters = len(weights)
            positions, window = linear_map.patches.shape
        else:
            sparse = linear_map.to_sparse()
            kind, weights, columns, offsets = MapKind.SPARSE, sparse.weights, sparse.columns, sparse.offsets
            filters = 0
        places = (self.weight_count, self.column_count, self.offset_count)
        self.maps.append((kind, self.starts[source], linear_map.size_in, *places, filters, positions, window))
        self.weights.append(np.ascontiguousarray(weights, dtype=np.float64).ravel())
        self.columns.append(np.ascontiguousarray(columns, dtype=np.int64).ravel())
        self.offsets.append(offsets)
        self.weight_count += weights.size
        self.column_count += columns.size
        self.offset_count += len(offsets)

    def add_groups(self, offsets: IntArray, members: IntArray) -> int:
        at = self.offset_count
        self.offsets.append(np.asarray(offsets, dtype=np.int64) + self.member_count)
        self.members.append(np.asarray(members, dtype=np.int64))
        self.offset_count += len(offsets)
        self.member_count += len(members)
        return at


def _groups(node: Node, source: int) -> tuple[IntArray, IntArray, float]:
    """Return a maximum's group offsets, members as entries of the vector, and its floor."""
    if isinstance(node.op, Relu):
        size = node.op.size
        return np.arange(size + 1), source + np.arange(size), 0.0
    assert isinstance(node.op, Maximum)
    return node.op.offsets, source + node.op.members, -np.inf


def _triples(op: Difference, starts: list[int]) -> tuple[IntArray, IntArray]:
    """Return a difference's offsets and members: each entry's three arguments."""
    members = np.stack([start + np.arange(op.size) for start in starts], axis=1).ravel()
    return 3 * np.arange(op.size + 1), members


def _is_placed(network: Network, name: str) -> bool:
    """Return whether a node is an input, or entries of one input, each in one place only."""
    node = network.by_name[name]
    if isinstance(node.op, Input):
        return True
    if not (isinstance(node.op, Affine) and len(node.op.maps) == 1 and isinstance(node.op.maps[0], Sparse)):
        return False
    columns = node.op.maps[0].columns
    return isinstance(network.by_name[node.arguments[0]].op, Input) and len(np.unique(columns)) == len(columns)


def make_tape(network: Network) -> Tape:
    """Flatten a network.

    Parameters
    ----------
    network : Network

    Returns
    -------
    Tape
        Its nodes are the network's, inputs first.
    """
    nodes = sorted(network.nodes, key=lambda node: not isinstance(node.op, Input))
    number = {node.name: j for j, node in enumerate(nodes)}
    pooled = {node.arguments[0] for node in nodes if isinstance(node.op, Relu | Maximum)}
    uses = Counter(name for node in nodes for name in node.arguments)
    starts: dict[str, int] = {}
    total = 0
    for node in nodes:
        starts[node.name] = total
        total += node.op.size_out
    writer = _Writer(starts)
    count = len(nodes)
    kind, refine, sole_user, group = (np.full(count, v, dtype=np.int64) for v in (NodeKind.AFFINE, -1, -1, 0))
    floor, bias = np.full(count, -np.inf), np.zeros(total)
    first_map = np.zeros(count + 1, dtype=np.int64)
    addends = {node.name: 1 for node in nodes}
    for j, node in enumerate(nodes):
        op, start = node.op, starts[node.name]
        if isinstance(op, Input):
            kind[j] = NodeKind.INPUT
        elif isinstance(op, Affine):
            bias[start : start + op.size_out] = op.bias
            for linear_map, source in zip(op.maps, node.arguments, strict=True):
                writer.add_map(linear_map, source)
                addends[source] += linear_map.longest_column
        else:
            source = node.arguments[0]
            if isinstance(op, Difference):
                kind[j] = NodeKind.DIFFERENCE
                offsets, members = _triples(op, [starts[name] for name in node.arguments])
            else:
                kind[j] = NodeKind.MAXIMUM
                offsets, members, floor[j] = _groups(node, starts[source])
            group[j] = writer.add_groups(offsets, members)
            addends[source] += len(members)
            argument = network.by_name[source]
            if uses[source] == 1 and source not in network.outputs and node.name not in pooled:
                sole_user[number[source]] = j
            reads_inputs = all(_is_placed(network, name) for name in argument.arguments)
            # The interval of one affine map of the inputs is exact already.
            if isinstance(argument.op, Affine) and not reads_inputs:
                refine[number[source]] = j
        first_map[j + 1] = len(writer.maps)
    rows = [node.op.longest_row for node in nodes if isinstance(node.op, Affine)]
    longest = max(*addends.values(), *rows, 1)
    maps = np.array(writer.maps, dtype=np.int64).reshape(-1, len(MAP_FIELDS))
    return Tape(
        kind=kind,
        start=np.array([starts[node.name] for node in nodes]),
        size=np.array([node.op.size_out for node in nodes]),
        refine=refine,
        sole_user=sole_user,
        floor=floor,
        first_map=first_map,
        weights=np.concatenate([np.zeros(0), *writer.weights]),
        columns=_joined(writer.columns),
        offsets=_joined(writer.offsets),
        group=group,
        members=_joined(writer.members),
        bias=bias,
        inputs=network.size_in,
        total=total,
        # Twice what the longest sum of products needs: sums of error terms are rounded too.
        gamma=2.0 * gamma(total + longest + 8),
        underflow=2.0 * total * longest * SMALLEST_FLOAT,
        **{field: np.ascontiguousarray(column) for field, column in zip(MAP_FIELDS, maps.T, strict=True)},
    )


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
