"""Removing affine nodes from a network under construction where the result is the same function, exactly.

An affine node takes in the affine node it reads when one of their two maps only copies entries or flips their sign: the
combined matrix then holds the very numbers of the other map, and nothing rounds. Two maps that both hold other numbers
are never multiplied. Biases are added only where the float64 sum is exact.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from verinet.io.exact import exact_sum
from verinet.io.onnx_graph import is_identity
from verinet.model import Affine, Convolution, Dense, Input, LinearMap, Maximum, Node, Sparse
from verinet.numeric import FloatArray, IntArray

__all__ = ["fold"]


def fold(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Return an equivalent list of nodes, with fewer affine ones.

    Parameters
    ----------
    nodes : sequence of Node
        Every node after its arguments.
    outputs : sequence of str
        Nodes that stay.

    Returns
    -------
    tuple of Node
        Each with the name and the value of a given node; inputs all stay.
    """
    current = _reachable(nodes, outputs)
    while True:
        # A node that is taken in may leave another one with a single reader: again, until nothing changes.
        folded = _folded_once(current, outputs)
        if [node.arguments for node in folded] == [node.arguments for node in current]:
            return folded
        current = folded


def _folded_once(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    uses = Counter([name for node in nodes for name in node.arguments] + list(outputs))
    folded: dict[str, Node] = {}
    for node in nodes:
        folded[node.name] = _folded(node, folded, uses)
    return _reachable(tuple(folded.values()), outputs)


def _reachable(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.arguments)
    return tuple(node for node in nodes if node.name in needed or isinstance(node.op, Input))


def _folded(node: Node, earlier: Mapping[str, Node], uses: Counter[str]) -> Node:
    if isinstance(node.op, Maximum):
        return _folded_maximum(node, node.op, earlier, uses)
    if not isinstance(node.op, Affine):
        return _reading_past_identity(node, earlier, uses)
    changed = True
    while changed:
        changed = False
        for position, name in enumerate(node.arguments):
            inner = earlier[name]
            if isinstance(inner.op, Affine) and (uses[name] == 1 or _only_copies(inner.op)):
                merged = _substituted(node, position, inner)
                if merged is not None:
                    _read_instead(inner, uses)
                    node, changed = merged, True
                    break
    return _with_merged_arguments(node)


def _read_instead(inner: Node, uses: Counter[str]) -> None:
    """Count one reader less for a node, and one more for its arguments if it keeps other readers."""
    uses[inner.name] -= 1
    if uses[inner.name]:
        uses.update(inner.arguments)


def _only_copies(op: Affine) -> bool:
    """Whether every entry of the result is one entry of an argument or zero, so that doing it twice costs nothing.

    Sums are left out: taking them in twice would double the arguments, and a chain of them would never end.
    """
    if op.bias.any() or not all(_is_unit(m) for m in op.maps):
        return False
    rows = np.concatenate([m.rows for m in op.maps if isinstance(m, Sparse)])
    return bool(np.bincount(rows, minlength=1).max() <= 1)


def _reading_past_identity(node: Node, earlier: Mapping[str, Node], uses: Counter[str]) -> Node:
    """Let a node read what an affine node that changes nothing reads."""
    arguments = []
    for name in node.arguments:
        inner = earlier[name]
        if isinstance(inner.op, Affine) and len(inner.op.maps) == 1 and _changes_nothing(inner.op):
            _read_instead(inner, uses)
            name = inner.arguments[0]
        arguments.append(name)
    return replace(node, arguments=tuple(arguments))


def _changes_nothing(op: Affine) -> bool:
    return is_identity(op.maps[0]) and not op.bias.any()


# One affine operation inside another


def _substituted(outer: Node, position: int, inner: Node) -> Node | None:
    """Return the outer node with one argument replaced by what the inner node computes, or None if that rounds."""
    if not (isinstance(outer.op, Affine) and isinstance(inner.op, Affine)):
        return None
    outer_map = outer.op.maps[position]
    bias = _combined_bias(outer.op.bias, outer_map, inner.op.bias)
    products = [_product(outer_map, inner_map) for inner_map in inner.op.maps]
    maps = tuple(m for m in products if m is not None)
    if bias is None or len(maps) < len(products):
        return None
    op = Affine((*outer.op.maps[:position], *maps, *outer.op.maps[position + 1 :]), bias)
    arguments = (*outer.arguments[:position], *inner.arguments, *outer.arguments[position + 1 :])
    return replace(outer, op=op, arguments=arguments)


def _combined_bias(bias: FloatArray, outer: LinearMap, inner_bias: FloatArray) -> FloatArray | None:
    if not inner_bias.any():
        return bias
    if not _is_unit_monomial(outer) or _leaves_gaps(outer):
        return None
    total, exact = exact_sum(bias, outer.apply(inner_bias))
    return total if exact else None


def _is_monomial(linear_map: LinearMap) -> bool:
    """Whether every row holds at most one entry."""
    return isinstance(linear_map, Sparse) and linear_map.longest_row <= 1


def _is_unit(linear_map: LinearMap) -> bool:
    """Whether every stored entry is 1 or -1."""
    return isinstance(linear_map, Sparse) and bool((np.abs(linear_map.weights) == 1).all())


def _is_unit_monomial(linear_map: LinearMap) -> bool:
    return _is_monomial(linear_map) and _is_unit(linear_map)


def _leaves_gaps(linear_map: LinearMap) -> bool:
    """Whether a map is a part of a concatenation.

    Such a map takes in copies only: its reader can then still take in the concatenation, piece by piece.
    """
    return isinstance(linear_map, Sparse) and _is_monomial(linear_map) and len(linear_map.columns) < linear_map.size_out


def _product(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """Return ``outer inner`` if each of its entries is one entry of either, up to sign; otherwise None."""
    if is_identity(outer):
        return inner
    if is_identity(inner):
        return outer
    if _leaves_gaps(outer) and not _is_unit(inner):
        return None
    if isinstance(inner, Sparse) and _is_monomial(inner) and (_is_unit(inner) or _is_unit(outer)):
        product = _moved_columns(outer, inner)
        if product is not None:
            return product
    if isinstance(outer, Sparse) and _is_monomial(outer) and (_is_unit(outer) or _is_unit(inner)):
        return _chosen_rows(outer, inner)
    return None


def _entry_of_row(linear_map: Sparse) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the rows of a monomial map that hold an entry, and its column and weight."""
    return linear_map.rows, linear_map.columns, linear_map.weights


def _moved_columns(outer: LinearMap, inner: Sparse) -> LinearMap | None:
    """Multiply from the right by a monomial map: columns change places, unless two would meet in a row."""
    rows, columns, weights = _entry_of_row(inner)
    distinct = len(np.unique(columns)) == len(columns)
    if isinstance(outer, Dense) and distinct and 2 * len(columns) >= inner.size_in:
        matrix = np.zeros((outer.size_out, inner.size_in))
        matrix[:, columns] = outer.weights[:, rows] * weights
        return Dense(matrix)
    if isinstance(outer, Convolution) or (isinstance(outer, Dense) and not distinct):
        return None
    source = outer.to_sparse()
    place, factor = np.full(inner.size_out, -1), np.zeros(inner.size_out)
    place[rows], factor[rows] = columns, weights
    kept = place[source.columns] >= 0
    old, row = source.columns[kept], source.rows[kept]
    if not distinct and len(np.unique(row * inner.size_in + place[old])) < len(row):
        return None
    return Sparse.from_entries(row, place[old], source.weights[kept] * factor[old], outer.size_out, inner.size_in)


def _chosen_rows(outer: Sparse, inner: LinearMap) -> LinearMap | None:
    """Multiply from the left by a monomial map: rows are chosen, put in order, and scaled."""
    rows, columns, weights = _entry_of_row(outer)
    distinct = len(np.unique(columns)) == len(columns)
    if isinstance(inner, Dense) and distinct and len(rows) == outer.size_out:
        return Dense(inner.weights[columns] * weights[:, None])
    if not isinstance(inner, Sparse) or not (distinct or _is_monomial(inner)):
        # Repeated rows of numbers would cost more than the node that is saved.
        return None
    lengths = np.diff(inner.offsets)[columns]
    starts = np.repeat(inner.offsets[columns] - np.cumsum(lengths) + lengths, lengths)
    taken = starts + np.arange(lengths.sum())
    return Sparse.from_entries(
        np.repeat(rows, lengths),
        inner.columns[taken],
        inner.weights[taken] * np.repeat(weights, lengths),
        outer.size_out,
        inner.size_in,
    )


# Arguments that stand twice


def _with_merged_arguments(node: Node) -> Node:
    """Add up the sparse maps of an argument that stands several times, where none of their entries meet."""
    if not isinstance(node.op, Affine) or len(set(node.arguments)) == len(node.arguments):
        return node
    maps: list[LinearMap] = []
    arguments: list[str] = []
    for linear_map, name in zip(node.op.maps, node.arguments, strict=True):
        for i, known in enumerate(arguments):
            merged = _disjoint_sum(maps[i], linear_map) if known == name else None
            if merged is not None:
                maps[i] = merged
                break
        else:
            maps.append(linear_map)
            arguments.append(name)
    return replace(node, op=Affine(tuple(maps), node.op.bias), arguments=tuple(arguments))


def _disjoint_sum(first: LinearMap, second: LinearMap) -> Sparse | None:
    if not (isinstance(first, Sparse) and isinstance(second, Sparse)):
        return None
    rows = np.concatenate([first.rows, second.rows])
    columns = np.concatenate([first.columns, second.columns])
    if len(np.unique(rows * first.size_in + columns)) < len(rows):
        return None
    weights = np.concatenate([first.weights, second.weights])
    return Sparse.from_entries(rows, columns, weights, first.size_out, first.size_in)


# Maxima


def _folded_maximum(node: Node, op: Maximum, earlier: Mapping[str, Node], uses: Counter[str]) -> Node:
    """Let a maximum read through a selection, and drop members that stand twice in a group."""
    inner = earlier[node.arguments[0]]
    if isinstance(inner.op, Affine) and len(inner.op.maps) == 1 and not inner.op.bias.any():
        selection = inner.op.maps[0]
        if isinstance(selection, Sparse) and _copies_all(selection):
            _read_instead(inner, uses)
            op = Maximum(selection.columns[op.members], op.offsets, selection.size_in)
            node = replace(node, op=op, arguments=inner.arguments)
    group = np.repeat(np.arange(op.size_out), np.diff(op.offsets))
    _, first = np.unique(group * op.size + op.members, return_index=True)
    if len(first) == len(op.members):
        return node
    kept = np.sort(first)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group[kept], minlength=op.size_out))]).astype(np.int64)
    return replace(node, op=Maximum(op.members[kept], offsets, op.size))


def _copies_all(linear_map: Sparse) -> bool:
    """Whether every entry of the result is an entry of the argument."""
    rows = linear_map.offsets
    return _is_monomial(linear_map) and bool((linear_map.weights == 1).all()) and bool((np.diff(rows) == 1).all())
