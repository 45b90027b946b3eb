"""Questions about two copies of a network, in variables and with nodes that know how near the copies are.

Two independent enclosures of a network at x and at x' say little about f(x') - f(x). Here an input that both sides have
of their own becomes a pair of variables, x and d = x' - x, and every layer gets a node for the difference of its
neurons: d goes through the weights as it is, and through a ReLU by lines of its own (`bounds.difference`). Atoms over
the second copy's outputs are then stated twice: by its own nodes, and by the first copy's plus the difference.

Source: Paulsen, Wang, Wang, ReluDiff: differential verification of deep neural networks (ICSE 2020).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import Interval, NetworkBounds
from verinet.bounds.difference import Difference
from verinet.errors import PropertyError
from verinet.model import (
    Affine,
    Atom,
    Conjunction,
    Dense,
    Domain,
    Input,
    LinearExpression,
    LinearMap,
    Network,
    Node,
    Region,
    Relu,
    Side,
    Sparse,
    Symbol,
    VariableType,
)
from verinet.numeric import FloatArray, IntArray
from verinet.verify.finding import Finding, OpenBox

__all__ = ["Pair", "pair_up"]


@dataclass(frozen=True, eq=False)
class Pair:
    """A region of two copies in variables of its own.

    Parameters
    ----------
    network : Network
        The two copies over the new variables; its outputs are those of the first, then of the second.
    region : Region
        The same points in the new variables.
    moved : Mapping
        Which entry of the input is the change of which other entry; all others are what they were.
    differences : Network
        The network with nodes that are differences of both copies; its outputs are followed by their differences.
    """

    network: Network
    region: Region
    moved: Mapping[int, int]
    differences: Network

    def restore(self, point: Sequence[Fraction]) -> tuple[Fraction, ...]:
        """Return a point in the old variables."""
        return tuple(v + point[self.moved[j]] if j in self.moved else v for j, v in enumerate(point))

    def restored(self, finding: Finding) -> Finding:
        """Return a finding about the old variables."""
        if finding.point is not None:
            finding = replace(finding, point=self.restore(finding.point))
        if isinstance(finding.box, OpenBox):
            finding = replace(finding, box=self._restored_box(finding.box))
        return finding

    def _restored_box(self, box: OpenBox) -> OpenBox:
        lower, upper = list(box.lower), list(box.upper)
        for j, i in self.moved.items():
            lower[j] = math.nextafter(box.lower[j] + box.lower[i], -math.inf)
            upper[j] = math.nextafter(box.upper[j] + box.upper[i], math.inf)
        return OpenBox(tuple(lower), tuple(upper))

    def bounds(self, bounds: NetworkBounds) -> NetworkBounds:
        """Extend bounds of the network by those of the differences of its outputs."""
        half = len(self.network.outputs) // 2
        intervals = dict(bounds.intervals)
        names = self.differences.outputs[2 * half :]
        for name, first, second in zip(names, self.network.outputs[:half], self.network.outputs[half:], strict=True):
            one, other = intervals[first], intervals[second]
            intervals[name] = Interval(
                np.nextafter(other.lower - one.upper, -np.inf), np.nextafter(other.upper - one.lower, np.inf)
            )
        return NetworkBounds(self.differences, bounds.inputs, intervals)

    def restated(self, case: Conjunction) -> Conjunction:
        """Add to a conjunction its atoms over the second copy's outputs, stated by the first one's and differences."""
        size = self.network.size_out // 2

        def by_difference(symbol: Symbol) -> LinearExpression:
            if symbol.side is Side.INPUT or symbol.index < size:
                return LinearExpression(((symbol, Fraction(1)),))
            first, change = (Symbol(Side.OUTPUT, symbol.index + shift) for shift in (-size, size))
            return LinearExpression.from_terms([(first, Fraction(1)), (change, Fraction(1))])

        again = (Atom(atom.expression.substitute(by_difference), atom.strict) for atom in case)
        return tuple(dict.fromkeys((*case, *again)))


def pair_up(network: Network, region: Region) -> Pair | None:
    """Return a region in variables of two copies and their differences; None if the network is no such pair.

    Parameters
    ----------
    network : Network
        Two networks of one form over selections of one input, one after the other, are a pair; see `join_networks`.
    region : Region
    """
    twins = _twins(network)
    if twins is None:
        return None
    moved = _moved(network, twins, region)
    changed = None if moved is None else _changed_region(region, moved)
    if moved is None or changed is None:
        return None
    shifted = _shifted_network(network, twins, moved)
    differences = _with_differences(shifted, twins, moved)
    return None if differences is None else Pair(shifted, changed, moved, differences)


Twins = Mapping[str, str]
"""For each node of the first copy the node of the second."""


def _twins(network: Network) -> Twins | None:
    """Match the nodes of two copies one by one; None if they are not of one form."""
    source, rest = network.nodes[0], network.nodes[1:]
    half = len(rest) // 2
    if len(network.inputs) != 1 or not isinstance(source.op, Input) or len(rest) % 2 or len(network.outputs) % 2:
        return None
    twins: dict[str, str] = {}
    for first, second in zip(rest[:half], rest[half:], strict=True):
        same = type(first.op) is type(second.op) and first.op.size_out == second.op.size_out
        arguments = [a if a == source.name else twins.get(a) for a in first.arguments]
        if not same or arguments != list(second.arguments):
            return None
        if source.name in first.arguments and not (_is_selection(first) and _is_selection(second)):
            return None
        twins[first.name] = second.name
    ends = len(network.outputs) // 2
    paired = [twins.get(name) for name in network.outputs[:ends]] == list(network.outputs[ends:])
    return twins if paired else None


def _is_selection(node: Node) -> bool:
    op = node.op
    if not (isinstance(op, Affine) and len(op.maps) == 1 and isinstance(op.maps[0], Sparse)):
        return False
    chosen = op.maps[0]
    return bool((np.diff(chosen.offsets) == 1).all() and (chosen.weights == 1.0).all() and not op.bias.any())


def _columns(node: Node) -> IntArray:
    """Return which input each entry of a selection is."""
    assert isinstance(node.op, Affine)
    chosen = node.op.maps[0]
    assert isinstance(chosen, Sparse)
    return chosen.columns


def _selections(network: Network, twins: Twins) -> list[tuple[Node, Node]]:
    source = network.nodes[0].name
    nodes = network.by_name
    return [(nodes[a], nodes[b]) for a, b in twins.items() if source in nodes[a].arguments]


def _moved(network: Network, twins: Twins, region: Region) -> dict[int, int] | None:
    """Return the entries that the second copy has of its own, numbers only, with their twins of the first."""
    first: set[int] = set()
    pairs: dict[int, int] = {}
    for one, other in _selections(network, twins):
        for i, j in zip(_columns(one).tolist(), _columns(other).tolist(), strict=True):
            first.add(i)
            if pairs.setdefault(j, i) != i:
                return None
    categorical = {i for group in region.domain.groups for i in group}
    balls = {i for ball in region.domain.balls for i in ball.coordinates}
    integral = set(region.domain.integral)
    return {
        j: i
        for j, i in pairs.items()
        if i != j
        and j not in first
        and not {i, j} & categorical
        and j not in balls
        and ((i in integral) == (j in integral))
    }


def _changed_region(region: Region, moved: Mapping[int, int]) -> Region | None:
    """State a region in the new variables; None if that shows it to be empty, which others report."""
    domain = region.domain

    def shifted(symbol: Symbol) -> LinearExpression:
        own = LinearExpression(((symbol, Fraction(1)),))
        if symbol.side is Side.OUTPUT or symbol.index not in moved:
            return own
        return own + LinearExpression(((Symbol(Side.INPUT, moved[symbol.index]), Fraction(1)),))

    def stated(atom: Atom) -> Atom:
        return Atom(atom.expression.substitute(shifted), atom.strict)

    old_lower, old_upper = domain.exact_box()
    lower, upper, types = list(old_lower), list(old_upper), list(domain.types)
    conditions = [stated(atom) for atom in domain.conditions]
    for j, i in moved.items():
        lower[j], upper[j] = old_lower[j] - old_upper[i], old_upper[j] - old_lower[i]
        if types[j] is VariableType.BINARY:
            types[j] = VariableType.INTEGER
        place = LinearExpression.from_terms([(Symbol(Side.INPUT, k), Fraction(1)) for k in (i, j)])
        conditions.append(Atom(place + LinearExpression((), -old_upper[j])))
        conditions.append(Atom(-place + LinearExpression((), old_lower[j])))
    kept = []
    for atom in conditions:
        terms = atom.expression.terms
        if len(terms) == 1 and not atom.strict:
            # A bound of one entry, such as 0 <= x' - x, belongs into the box.
            (symbol, weight), limit = terms[0], -atom.expression.constant / terms[0][1]
            if weight > 0:
                upper[symbol.index] = min(upper[symbol.index], limit)
            else:
                lower[symbol.index] = max(lower[symbol.index], limit)
        else:
            kept.append(atom)
    try:
        changed = Domain(tuple(lower), tuple(upper), tuple(types), domain.groups, tuple(kept), domain.balls)
    except PropertyError:
        return None
    if changed.has_empty_box:
        return None
    return Region(changed, tuple(tuple(stated(atom) for atom in case) for case in region.unsafe))


def _shifted_network(network: Network, twins: Twins, moved: Mapping[int, int]) -> Network:
    """Let the second copy read x + d where it has an entry of its own."""
    size = network.size_in
    second = {other.name for _, other in _selections(network, twins)}

    def shifted(node: Node) -> Node:
        if node.name not in second:
            return node
        rows = [[j, moved[j]] if j in moved else [j] for j in _columns(node).tolist()]
        return replace(node, op=Affine((_sparse([dict.fromkeys(row, 1.0) for row in rows], size),), _zeros(rows)))

    return replace(network, nodes=tuple(shifted(node) for node in network.nodes))


def _zeros(rows: Sequence[object]) -> FloatArray:
    return np.zeros(len(rows))


def _sparse(rows: Sequence[Mapping[int, float]], size_in: int) -> Sparse:
    entries = [(r, c, w) for r, row in enumerate(rows) for c, w in row.items()]
    numbers = np.array([entry[:2] for entry in entries], dtype=np.int64).reshape(-1, 2)
    weights = np.array([entry[2] for entry in entries], dtype=np.float64)
    return Sparse.from_entries(numbers[:, 0], numbers[:, 1], weights, len(rows), size_in)


def _with_differences(network: Network, twins: Twins, moved: Mapping[int, int]) -> Network | None:
    """Add a node for the difference of each pair of nodes; None if the outputs' differences cannot be had so."""
    nodes, source = network.by_name, network.nodes[0].name
    known: dict[str, Node] = {}
    size = network.size_in
    for first, second in twins.items():
        one, other = nodes[first], nodes[second]
        if source in one.arguments:
            node = _input_difference(first, source, one, _original_columns(other, moved), moved, size)
        elif isinstance(one.op, Relu):
            argument = one.arguments[0]
            if argument not in known:
                continue
            node = Node(_name(first), Difference(one.op.size), (_name(argument), argument, twins[argument]))  # type: ignore[arg-type]
        else:
            found = _affine_difference(one, other, known)
            if found is None:
                continue
            node = found
        known[first] = node
    half = network.outputs[: len(network.outputs) // 2]
    if any(name not in known for name in half):
        return None
    outputs = (*network.outputs, *(_name(name) for name in half))
    return Network((*network.nodes, *known.values()), outputs, network.notes)


def _name(name: str) -> str:
    return f"verinet/difference/{name}"


def _original_columns(node: Node, moved: Mapping[int, int]) -> list[int]:
    """Return which entry each one of a selection was, before another was added to it."""
    assert isinstance(node.op, Affine)
    chosen = node.op.maps[0]
    assert isinstance(chosen, Sparse)
    rows = np.split(chosen.columns, chosen.offsets[1:-1])
    return [next((c for c in row.tolist() if c in moved), int(row[0])) for row in rows]


def _input_difference(
    name: str, source: str, one: Node, columns: Sequence[int], moved: Mapping[int, int], size: int
) -> Node:
    rows: list[dict[int, float]] = []
    for i, j in zip(_columns(one).tolist(), columns, strict=True):
        rows.append({} if i == j else {j: 1.0} if j in moved else {j: 1.0, i: -1.0})
    return Node(_name(name), Affine((_sparse(rows, size),), _zeros(rows)), (source,))


def _affine_difference(one: Node, other: Node, known: Mapping[str, Node]) -> Node | None:
    """Return ``(M' - M) x + M' (x' - x) + (b' - b)``; None if a difference of weights is no float, or unknown."""
    if not (isinstance(one.op, Affine) and isinstance(other.op, Affine)):
        return None
    bias = _exact_difference(other.op.bias, one.op.bias)
    if bias is None:
        return None
    maps: list[LinearMap] = []
    arguments: list[str] = []
    for argument, own, theirs in zip(one.arguments, one.op.maps, other.op.maps, strict=True):
        if argument not in known:
            return None
        maps.append(theirs)
        arguments.append(_name(argument))
        if own is theirs:
            continue
        if not (isinstance(own, Dense) and isinstance(theirs, Dense)):
            return None
        change = _exact_difference(theirs.weights, own.weights)
        if change is None:
            return None
        if change.any():
            maps.append(Dense(change))
            arguments.append(argument)
    return Node(_name(one.name), Affine(tuple(maps), bias), tuple(arguments))


def _exact_difference(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """Return ``a - b`` if no entry of it is rounded."""
    # An overflow is no float, and seen below.
    with np.errstate(over="ignore", invalid="ignore"):
        difference = a - b
        # Knuth's two-sum: what rounding lost of each entry.
        back = difference - a
        lost = (a - (difference - back)) - (b + back)
    return difference if not lost.any() and np.isfinite(difference).all() else None
