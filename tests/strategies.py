"""Random small networks, domains and queries, and an exact oracle for them.

Every generator comes twice: as a hypothesis strategy (`networks`, `boxes`, `domains`, `queries`), which shrinks, and as
a function of a seed (`random_network`, `random_box`, `random_domain`, `random_query`), which is quick and may be large.
Both make the same choices, through one `Choice`. `decide_by_enumeration` of `tests.oracle` is at hand here too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Any, Protocol, TypeVar

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from tests.oracle import Point, decide_by_enumeration
from verinet.model import (
    Affine,
    Atom,
    Convolution,
    Dense,
    Domain,
    Input,
    L1Ball,
    LinearExpression,
    LinearMap,
    Maximum,
    Network,
    Node,
    Query,
    Region,
    Relu,
    Side,
    Sparse,
    Symbol,
    VariableType,
    evaluate_exact,
)
from verinet.numeric import FloatArray

__all__ = [
    "Weights",
    "boxes",
    "decide_by_enumeration",
    "domains",
    "judged_query",
    "matrix_of",
    "networks",
    "points_in",
    "queries",
    "random_box",
    "random_domain",
    "random_network",
    "random_query",
]

Option = TypeVar("Option")


class Weights(Enum):
    """Which numbers a network's weights are: quarters keep exact checks quick, floats use every bit."""

    QUARTERS = "quarters"
    FLOATS = "floats"


# ---------------------------------------------------------------------------------------------------------- choices


class Choice(Protocol):
    """Where the generators take their decisions from."""

    def integer(self, low: int, high: int) -> int:
        """Choose an integer between `low` and `high`, both included."""

    def weights(self, shape: tuple[int, ...], kind: Weights) -> FloatArray:
        """Choose an array of weights."""


@dataclass(frozen=True)
class DrawnChoice:
    """Choices that hypothesis makes and shrinks."""

    draw: Callable[[st.SearchStrategy[Any]], Any]

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def weights(self, shape: tuple[int, ...], kind: Weights) -> FloatArray:
        quarters = st.integers(-8, 8).map(lambda k: k / 4)
        floats = st.floats(-4.0, 4.0)
        elements = {Weights.QUARTERS: quarters, Weights.FLOATS: floats}[kind]
        array: FloatArray = self.draw(hnp.arrays(np.float64, shape, elements=elements))
        return array


@dataclass(frozen=True)
class SeededChoice:
    """Choices from a seed."""

    rng: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def weights(self, shape: tuple[int, ...], kind: Weights) -> FloatArray:
        if kind is Weights.QUARTERS:
            return self.rng.integers(-8, 9, shape) / 4
        return np.asarray(self.rng.normal(size=shape))


def _among(choice: Choice, options: Sequence[Option]) -> Option:
    return options[choice.integer(0, len(options) - 1)]


def _rarely(choice: Choice) -> bool:
    return choice.integer(0, 3) == 3


# --------------------------------------------------------------------------------------------------------- networks


@dataclass
class _Plan:
    """A network that grows block by block within a budget of neurons."""

    choice: Choice
    kind: Weights
    width: int
    budget: int
    nodes: list[Node] = field(default_factory=list)

    def add(self, op: Any, *arguments: str) -> str:
        name = f"{type(op).__name__.lower()}_{len(self.nodes)}"
        self.nodes.append(Node(name, op, arguments))
        return name

    def size(self, name: str) -> int:
        return next(node.op.size_out for node in self.nodes if node.name == name)

    def some_node(self) -> str:
        return _among(self.choice, self.nodes[::-1]).name

    def some_size(self) -> int:
        return self.choice.integer(1, self.width)

    def affine(self, maps: Sequence[LinearMap], *arguments: str) -> str:
        return self.add(Affine(tuple(maps), self.choice.weights((maps[0].size_out,), self.kind)), *arguments)


def _dense_map(plan: _Plan, size_in: int, size_out: int) -> Dense:
    """Draw a dense map; now and then one neuron is constant or repeats another."""
    weights = plan.choice.weights((size_out, size_in), plan.kind)
    if _rarely(plan.choice):
        weights[plan.choice.integer(0, size_out - 1)] = 0.0
    if _rarely(plan.choice):
        weights[plan.choice.integer(0, size_out - 1)] = weights[0]
    return Dense(weights)


def _sparse_map(plan: _Plan, size_in: int, size_out: int) -> Sparse:
    """Draw a sparse map of any kind that fits: a pattern of entries, empty rows included, or a selection."""
    if _rarely(plan.choice):
        return Sparse.selection(np.array([plan.choice.integer(0, size_in - 1) for _ in range(size_out)]), size_in)
    places = np.array([[plan.choice.integer(0, 1) for _ in range(size_in)] for _ in range(size_out)])
    rows, columns = np.nonzero(places)
    return Sparse.from_entries(rows, columns, plan.choice.weights((len(rows),), plan.kind), size_out, size_in)


def _convolution_map(plan: _Plan, size_in: int) -> Convolution | None:
    """Draw a convolution over some reading of the vector as channels, height and width; None if it gets too large."""
    choice = plan.choice
    shapes = [
        (c, h, size_in // c // h)
        for c in range(1, size_in + 1)
        if size_in % c == 0
        for h in range(1, size_in // c + 1)
        if (size_in // c) % h == 0
    ]
    channels, height, width = _among(choice, shapes)
    groups = _among(choice, [g for g in (1, 2) if channels % g == 0])
    filters = groups * choice.integer(1, 2)
    kernel = (choice.integer(1, min(2, height)), choice.integer(1, min(2, width)))
    pads = (choice.integer(0, 1), choice.integer(0, 1), choice.integer(0, 1), choice.integer(0, 1))
    strides = (choice.integer(1, 2), choice.integer(1, 2))
    down, across = (
        1 if k > 1 and n < 3 else choice.integer(1, 2) for k, n in zip(kernel, (height, width), strict=True)
    )
    weights = choice.weights((filters, channels // groups, *kernel), plan.kind)
    result = Convolution(weights, (channels, height, width), strides, pads, (down, across), groups)
    return result if result.size_out <= 2 * plan.width else None


def _affine(plan: _Plan, last: str) -> str:
    return plan.affine([_dense_map(plan, plan.size(last), plan.some_size())], last)


def _relu(plan: _Plan, last: str) -> str:
    size = plan.size(last)
    if size > plan.budget:
        return last
    plan.budget -= size
    return plan.add(Relu(size), last)


def _dense_layer(plan: _Plan, last: str) -> str:
    return _relu(plan, _affine(plan, last))


def _sparse_layer(plan: _Plan, last: str) -> str:
    return _relu(plan, plan.affine([_sparse_map(plan, plan.size(last), plan.some_size())], last))


def _convolution_layer(plan: _Plan, last: str) -> str:
    convolution = _convolution_map(plan, plan.size(last))
    return _relu(plan, plan.affine([convolution], last)) if convolution else _dense_layer(plan, last)


def _maximum(plan: _Plan, last: str) -> str:
    """Add groups of one to four members, overlapping as they like."""
    size, count = plan.size(last), plan.choice.integer(1, min(3, plan.width))
    if count > plan.budget:
        return last
    plan.budget -= count
    groups = []
    for _ in range(count):
        start, length = plan.choice.integer(0, size - 1), plan.choice.integer(1, min(4, size))
        stride = plan.choice.integer(1, 2)
        groups.append(sorted({(start + stride * k) % size for k in range(length)}))
    offsets = np.cumsum([0, *(len(group) for group in groups)])
    return plan.add(Maximum(np.concatenate(groups), offsets, size), last)


def _residual(plan: _Plan, last: str) -> str:
    """Add another node to this one; the other goes through a map where sizes differ."""
    other, size = plan.some_node(), plan.size(last)
    same = plan.size(other) == size
    shortcut: LinearMap = Sparse.identity(size) if same else _dense_map(plan, plan.size(other), size)
    return plan.affine([Sparse.identity(size), shortcut], last, other)


def _concatenation(plan: _Plan, last: str) -> str:
    other = plan.some_node()
    sizes = plan.size(last), plan.size(other)
    total = sum(sizes)
    if total > 2 * plan.width:
        return _residual(plan, last)
    maps = Sparse.placement(np.arange(sizes[0]), total), Sparse.placement(np.arange(sizes[0], total), total)
    return plan.add(Affine(maps, np.zeros(total)), last, other)


_BLOCKS = (
    _dense_layer,
    _sparse_layer,
    _convolution_layer,
    _maximum,
    _residual,
    _concatenation,
    _affine,
    _relu,
    _dense_layer,
)


def _build_network(
    choice: Choice,
    *,
    max_neurons: int = 12,
    max_inputs: int = 4,
    max_outputs: int = 3,
    width: int = 4,
    blocks: int = 5,
    weights: Weights = Weights.QUARTERS,
) -> Network:
    """Make a network; its options are those of `networks` and `random_network`.

    Parameters
    ----------
    choice : Choice
    max_neurons : int
        Most entries that pass a ReLU or a maximum; 12 keeps `decide_by_enumeration` quick.
    max_inputs, max_outputs : int
        Most entries of the input vector and of one output node; a second output node comes now and then.
    width : int
        Most rows of an affine operation; concatenations and convolutions may have twice as many.
    blocks : int
        Most blocks in sequence.
    weights : Weights
    """
    plan = _Plan(choice, weights, width, max_neurons)
    size_in = choice.integer(1, max_inputs)
    last = plan.add(Input(size_in))
    if size_in < max_inputs and _rarely(choice):
        extra = plan.add(Input(choice.integer(1, max_inputs - size_in)))
        maps = [_dense_map(plan, plan.size(name), plan.some_size()) for name in (last,)]
        maps.append(_dense_map(plan, plan.size(extra), maps[0].size_out))
        last = plan.affine(maps, last, extra)
    for _ in range(choice.integer(1, blocks)):
        last = _among(choice, _BLOCKS)(plan, last)
    outputs = [plan.affine([_dense_map(plan, plan.size(last), choice.integer(1, max_outputs))], last)]
    if _rarely(choice):
        outputs.append(plan.some_node())
    return Network(tuple(plan.nodes), tuple(outputs))


@st.composite
def networks(draw: Any, **options: Any) -> Network:
    """Draw a small network over every operation; see `_build_network` for the options."""
    return _build_network(DrawnChoice(draw), **options)


def random_network(seed: int, **options: Any) -> Network:
    """Make a network from a seed; see `_build_network` for the options."""
    return _build_network(SeededChoice(np.random.default_rng(seed)), **options)


def matrix_of(linear_map: LinearMap) -> np.ndarray[Any, Any]:
    """Return a map as a dense matrix, entry for entry equal, read off its `to_sparse` form."""
    sparse = linear_map.to_sparse()
    matrix = np.zeros((sparse.size_out, sparse.size_in), dtype=sparse.weights.dtype)
    for row in range(sparse.size_out):
        for k in range(sparse.offsets[row], sparse.offsets[row + 1]):
            matrix[row, sparse.columns[k]] += sparse.weights[k]
    return matrix


# ---------------------------------------------------------------------------------------------------------- domains


def _interval(choice: Choice) -> tuple[Fraction, Fraction]:
    """Draw decimals, most of which no float can store; one interval in four is a single point."""
    denominator = _among(choice, (4, 1, 10))
    lower = Fraction(choice.integer(-2 * denominator, 2 * denominator), denominator)
    width = Fraction(0) if _rarely(choice) else Fraction(choice.integer(1, 3 * denominator), denominator)
    return lower, lower + width


def _build_box(choice: Choice, size: int) -> Domain:
    ends = [_interval(choice) for _ in range(size)]
    return Domain(tuple(low for low, _ in ends), tuple(high for _, high in ends))


def _build_domain(choice: Choice, size: int) -> Domain:
    """Make a typed domain with conditions and balls that hold at one typed point, so that it is never empty."""
    types = [_among(choice, tuple(VariableType)) for _ in range(size)]
    ends = [_typed_interval(choice, kind) for kind in types]
    free = tuple(i for i in range(size) if types[i] is VariableType.BINARY and ends[i] == (0, 1))
    groups = (free,) if len(free) >= 2 and choice.integer(0, 1) else ()
    typed = Domain(tuple(low for low, _ in ends), tuple(high for _, high in ends), tuple(types), groups)
    (anchor,) = points_in(typed, np.random.default_rng(choice.integer(0, 999)), 1)
    conditions = tuple(_condition_at(choice, anchor) for _ in range(choice.integer(0, 2)))
    balls = (_ball_at(choice, anchor),) if _rarely(choice) else ()
    return Domain(typed.lower, typed.upper, typed.types, groups, conditions, balls)


def _typed_interval(choice: Choice, kind: VariableType) -> tuple[Fraction, Fraction]:
    if kind is VariableType.BINARY:
        return _among(choice, ((Fraction(0), Fraction(1)),) * 3 + ((Fraction(1), Fraction(1)),))
    lower, upper = _interval(choice)
    # An integer's range must hold one: fractional ends stay, to be cut.
    return (lower, upper + 1) if kind is VariableType.INTEGER else (lower, upper)


def _condition_at(choice: Choice, anchor: Point) -> Atom:
    expression = _combination(choice, Side.INPUT, len(anchor))
    slack = Fraction(choice.integer(0, 4), 4)
    constant = -expression.value(anchor) - slack
    return Atom(expression + LinearExpression((), constant), strict=bool(slack) and bool(choice.integer(0, 1)))


def _ball_at(choice: Choice, anchor: Point) -> L1Ball:
    coordinates = tuple(i for i in range(len(anchor)) if i == 0 or choice.integer(0, 1))
    shifts = [Fraction(choice.integer(-2, 2), 4) for _ in coordinates]
    radius = sum((abs(s) for s in shifts), Fraction(0)) + Fraction(choice.integer(0, 6), 10)
    return L1Ball(coordinates, tuple(anchor[i] + s for i, s in zip(coordinates, shifts, strict=True)), radius)


def _combination(choice: Choice, side: Side, size: int) -> LinearExpression:
    """Draw a linear expression with small coefficients, not all of them zero."""
    first = choice.integer(0, size - 1)
    terms = [(Symbol(side, i), Fraction(choice.integer(-4, 4), 2)) for i in range(size) if i != first]
    return LinearExpression.from_terms([*terms, (Symbol(side, first), Fraction(_among(choice, (1, -1, 3))))])


@st.composite
def boxes(draw: Any, network: Network) -> Domain:
    """Draw a continuous box for a network's inputs; some coordinates have width zero."""
    return _build_box(DrawnChoice(draw), network.size_in)


@st.composite
def domains(draw: Any, size: int) -> Domain:
    """Draw a typed domain, never empty: integers, binaries, a one-hot group, linear conditions, an L1 ball."""
    return _build_domain(DrawnChoice(draw), size)


def random_box(seed: int, network: Network) -> Domain:
    """Make a continuous box for a network's inputs from a seed."""
    return _build_box(SeededChoice(np.random.default_rng(seed)), network.size_in)


def random_domain(seed: int, size: int) -> Domain:
    """Make a typed domain from a seed, never empty."""
    return _build_domain(SeededChoice(np.random.default_rng(seed)), size)


def points_in(domain: Domain, rng: np.random.Generator, count: int) -> list[Point]:
    """Sample exact points of the typed box, corners among them; conditions and balls are not considered.

    Parameters
    ----------
    domain : Domain
        Its typed box must not be empty.
    rng : numpy.random.Generator
    count : int

    Returns
    -------
    list of tuple of Fraction
        Each within `exact_box`, integer where the type says so, one-hot in each group.
    """
    lower, upper = domain.exact_box()
    return [_point_between(domain, lower, upper, rng) for _ in range(count)]


def _point_between(domain: Domain, lower: Point, upper: Point, rng: np.random.Generator) -> Point:
    fine = 1 << 20
    shares = [Fraction(int(k), fine) for k in rng.integers(0, fine + 1, domain.size)]
    corner = rng.random(domain.size) < 0.25
    point = []
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        share = Fraction(round(shares[i])) if corner[i] else shares[i]
        value = low + share * (high - low)
        point.append(Fraction(math.floor(value)) if i in domain.integral else value)
    for group in domain.groups:
        certain = [i for i in group if lower[i] == 1] or [i for i in group if upper[i] == 1]
        chosen = certain[int(rng.integers(len(certain)))]
        for i in group:
            point[i] = Fraction(int(i == chosen))
    return tuple(point)


# ---------------------------------------------------------------------------------------------------------- queries


def _build_query(choice: Choice, network: Network, domain: Domain) -> Query:
    """Make a query whose thresholds lie near outputs that the network takes, so that both verdicts are common."""
    rng = np.random.default_rng(choice.integer(0, 999))
    samples = [(x, evaluate_exact(network, x)) for x in points_in(domain, rng, 8)]
    unsafe = tuple(
        tuple(_unsafe_atom(choice, network, samples) for _ in range(choice.integer(1, 2)))
        for _ in range(choice.integer(1, 2))
    )
    return Query(network, (Region(domain, unsafe),))


def _unsafe_atom(choice: Choice, network: Network, samples: Sequence[tuple[Point, Point]]) -> Atom:
    expression = _combination(choice, Side.OUTPUT, network.size_out)
    if _rarely(choice):
        expression = expression + _combination(choice, Side.INPUT, network.size_in)
    values = sorted(expression.value(x, y) for x, y in samples)
    threshold = values[_among(choice, (0, 0, 0, 2))] + Fraction(_among(choice, (0, -1, 1, -8, -40)), 8)
    return Atom(expression + LinearExpression((), -threshold), strict=bool(choice.integer(0, 1)))


@st.composite
def queries(draw: Any, network: Network | None = None, *, typed: bool = False, **options: Any) -> Query:
    """Draw a query about a network, or about one that is drawn with `options`; over a box, or a typed domain."""
    choice = DrawnChoice(draw)
    network = network or _build_network(choice, **options)
    build = _build_domain if typed else _build_box
    return _build_query(choice, network, build(choice, network.size_in))


@cache
def judged_query(seed: int, typed: bool = False) -> tuple[Query, Point | None]:
    """Return a random query with its truth, a counterexample or None: many tests ask the same, one enumerates."""
    query = random_query(seed, typed=typed)
    return query, decide_by_enumeration(query)


def random_query(seed: int, network: Network | None = None, *, typed: bool = False, **options: Any) -> Query:
    """Make a query from a seed; see `queries`."""
    choice = SeededChoice(np.random.default_rng(seed))
    network = network or _build_network(choice, **options)
    build = _build_domain if typed else _build_box
    return _build_query(choice, network, build(choice, network.size_in))
