"""Compiled bounds hold for the exact function, at every entry and for every functional."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bounds.bounded import (
    Bounded,
    Functionals,
    at_most,
    bounded,
    combined,
    exact_vector,
    pulled_back,
    shared_network,
    tape_order,
)
from tests.oracle import Point
from tests.strategies import Weights, boxes, networks, points_in, random_box, random_network
from verinet.bounds import InputSet, bound_network
from verinet.bounds.kernels import BLOCK, FEW, bound_box, make_work
from verinet.bounds.tape import NodeKind, make_tape
from verinet.model import Affine, Convolution, Dense, Domain, Input, Maximum, Network, Node, Relu, dense_network
from verinet.numeric import FloatArray

MANY = 240

LARGE = {"weights": Weights.FLOATS, "max_neurons": 40, "width": 8, "blocks": 8}


def narrowed(known: Bounded, lower: FloatArray, upper: FloatArray) -> Bounded:
    """Bound every entry over a part of a box, from what is known of the whole."""
    tape = known.tape
    work = make_work(tape)
    for own, theirs in zip(work[:4], known.work[:4], strict=True):
        own[:] = theirs
    work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
    assert bound_box(tape, work, len(tape.kind), False), "sound bounds of a box that holds a point never cross"
    return Bounded(known.network, tape, work)


def assert_below(found: Functionals, coefficients: FloatArray, point: Point, values: list[Fraction]) -> None:
    """Check each functional's row and minimum against its exact value at a point."""
    for k, row in enumerate(coefficients):
        value = combined(row, values)
        # The row is exact for the box of floats, of which the point is one.
        line = combined(found.rows[k], point) + Fraction(float(found.constants[k])) - Fraction(float(found.slacks[k]))
        assert line <= value
        assert at_most(found.minima[k], value)


def pools_over_relus(network: Network) -> bool:
    pooled = {node.arguments[0] for node in network.nodes if isinstance(node.op, Maximum)}
    return any(isinstance(network.by_name[name].op, Relu) for name in pooled)


def output_minima(found: Bounded) -> FloatArray:
    """Bound the first output's entries, and their negatives, from below."""
    name = found.network.outputs[0]
    size = found.network.by_name[name].op.size_out
    position = [node.name for node in tape_order(found.network)].index(name)
    return pulled_back(found, position, np.concatenate([np.eye(size), -np.eye(size)])).minima


@given(data=st.data())
def test_every_entry_lies_within_its_bounds(data: st.DataObject) -> None:
    network = data.draw(networks(weights=data.draw(st.sampled_from(list(Weights)))))
    domain = data.draw(boxes(network))
    found = bounded(network, *domain.box())
    for point in points_in(domain, np.random.default_rng(0), 6):
        assert found.contains(point)


@pytest.mark.parametrize("start", range(0, MANY, 40))
def test_many_seeded_networks_stay_within_bounds(start: int) -> None:
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        found = bounded(network, *domain.box())
        for point in points_in(domain, np.random.default_rng(seed), 5):
            assert found.contains(point), seed


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_a_box_of_one_point_leaves_rounding_only(start: int) -> None:
    for seed in range(start, start + 20):
        network = random_network(seed, **LARGE)
        x = np.random.default_rng(seed).normal(size=network.size_in)
        found = bounded(network, x, x)
        assert found.contains(tuple(Fraction(float(v)) for v in x)), seed
        width = found.work.upper - found.work.lower
        assert (width <= 1e-6 * (1.0 + found.work.magnitude.max())).all(), seed


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-30, 1e-8, 1e8, 1e30])
def test_weights_of_any_size_keep_their_bounds(scale: float) -> None:
    for seed in range(20):
        plain = random_network(seed, weights=Weights.FLOATS, max_neurons=20, width=6)
        rng = np.random.default_rng(seed)

        def scaled(node: Node, rng: np.random.Generator = rng) -> Node:
            if not isinstance(node.op, Affine):
                return node
            # Some maps keep their size, so that large and small numbers meet in one sum.
            factors = [scale if rng.random() < 0.5 else 1.0 for _ in node.op.maps]
            maps = [m.map_weights(lambda w, f=f: w * f) for m, f in zip(node.op.maps, factors, strict=True)]
            return Node(node.name, Affine(tuple(maps), node.op.bias), node.arguments)

        network = Network(tuple(scaled(node) for node in plain.nodes), plain.outputs)
        domain = random_box(seed, network)
        found = bounded(network, *domain.box())
        for point in points_in(domain, rng, 4):
            assert found.contains(point), seed


def test_cancelling_huge_weights_keep_the_small_remainder() -> None:
    weights = [np.array([[1e30, -1e30], [1e-300, 1e-300]]), np.array([[1.0, 1e300]])]
    network = dense_network(weights, [np.array([1e-3, 0.0]), np.zeros(1)])
    domain = Domain.from_box([0.1, 0.1], [0.1, 0.1])
    assert bounded(network, *domain.box()).contains(domain.lower)


def test_overflow_gives_up_and_never_lies() -> None:
    # The exact values exceed float64 by far; the sum that cancels them again is small.
    weights = [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300], [1e300, 0.0]]), np.array([[1.0, 0.0]])]
    network = dense_network(weights, [np.zeros(2), np.array([0.25, 0.0]), np.array([-1.0])])
    domain = Domain.from_box([0.5], [2.0])
    found = bounded(network, *domain.box())
    for point in points_in(domain, np.random.default_rng(0), 10):
        assert found.contains(point)
    assert not pulled_back(found, len(found.tape.kind) - 1, np.ones((1, 1))).minima[0] > -1.0


def test_coefficients_that_underflow_are_paid_for() -> None:
    # The coefficient of x is 1e-400, zero in floats, and x goes down to -9e299: the output falls to -9e-101.
    network = dense_network([np.full((1, 1), 1e-200)] * 2, [np.array([1e100]), np.array([-1e-100])])
    found = bounded(network, np.array([-9e299]), np.array([9e299]))
    minimum = pulled_back(found, 3, np.ones((1, 1))).minima[0]
    assert at_most(minimum, exact_vector(network, (Fraction(-9e299),))[-1])


def test_rounding_is_bounded_for_rows_of_many_products() -> None:
    # 200 maps of one argument of 1000 entries: a sum of 200000 products, in each of which 2^-53 is lost beside 1.
    width, copies = 1000, 200
    first = np.zeros((1, width))
    first[0, 0] = 1.0
    maps = (Dense(first), *(Dense(np.full((1, width), 2.0**-53)),) * copies)
    nodes = (Node("x", Input(width)), Node("y", Affine(maps, np.zeros(1)), ("x",) * len(maps)))
    found = bounded(Network(nodes, ("y",)), np.ones(width), np.ones(width))
    assert found.contains((Fraction(1),) * width)


@pytest.mark.parametrize("seed", range(20))
def test_shared_nodes_and_repeated_arguments_stay_within_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = shared_network(rng)
    domain = Domain.from_box([-1.0] * 4, [1.0] * 4)
    found = bounded(network, *domain.box())
    coefficients = rng.normal(size=(3, 2))
    functionals = pulled_back(found, len(found.tape.kind) - 1, coefficients)
    for point in points_in(domain, rng, 10):
        assert found.contains(point)
        assert_below(functionals, coefficients, point, exact_vector(network, point)[-2:])


def test_convolutions_and_dense_maps_give_the_same_bounds() -> None:
    rng = np.random.default_rng(3)
    convolution = Convolution(rng.normal(size=(2, 1, 2, 2)), (1, 3, 3), pads=(0, 1, 1, 0))
    dense = Dense(np.asarray(convolution.to_sparse().matrix.toarray()))
    last = Affine((Dense(rng.normal(size=(2, 3))),), np.zeros(2))
    found = []
    for first in (convolution, dense):
        nodes = (
            Node("x", Input(9)),
            Node("map", Affine((first,), np.zeros(18)), ("x",)),
            Node("relu", Relu(18), ("map",)),
            Node("pool", Maximum(np.arange(18), np.array([0, 4, 9, 18]), 18), ("relu",)),
            Node("out", last, ("pool",)),
        )
        found.append(bounded(Network(nodes, ("out",)), -np.ones(9), np.ones(9)).work)
    assert found[0].lower == pytest.approx(found[1].lower, rel=1e-12, abs=1e-12)
    assert found[0].upper == pytest.approx(found[1].upper, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("start", range(0, MANY, 40))
def test_pulled_back_rows_are_lower_bounds_exactly(start: int) -> None:
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        rng = np.random.default_rng(seed)
        found = bounded(network, *domain.box())
        tape = found.tape
        samples = [(point, exact_vector(network, point)) for point in points_in(domain, rng, 3)]
        for node in np.flatnonzero(tape.kind != NodeKind.INPUT)[-4:]:
            place = slice(tape.start[node], tape.start[node] + tape.size[node])
            # A few are multiplied by hand, more by a matrix product.
            shape = (1 + FEW * (seed % 2) + seed % 3, int(tape.size[node]))
            coefficients = rng.normal(size=shape) * 10.0 ** rng.integers(-9, 10, size=shape)
            coefficients[rng.random(size=shape) < 0.2] = 0.0
            functionals = pulled_back(found, int(node), coefficients)
            for point, values in samples:
                assert_below(functionals, coefficients, point, values[place])


def test_functionals_pulled_together_and_alone_agree() -> None:
    rng = np.random.default_rng(5)
    network = shared_network(rng)
    found = bounded(network, -np.ones(4), np.ones(4))
    node = len(found.tape.kind) - 1
    coefficients = rng.normal(size=(BLOCK, 2))
    together = pulled_back(found, node, coefficients)
    for k in range(0, BLOCK, 7):
        alone = pulled_back(found, node, coefficients[k : k + 1])
        assert alone.minima[0] == pytest.approx(together.minima[k], rel=1e-9, abs=1e-9)
        assert alone.rows[0] == pytest.approx(together.rows[k], rel=1e-9, abs=1e-9)


def test_layers_wider_than_a_block_are_refined_to_the_last_entry() -> None:
    # Every hidden entry of the second layer cancels: intervals cannot see it, one backward pass each does.
    width = 2 * BLOCK + 9
    first = np.ones((2, 1))
    second = np.tile([[1.0, -1.0]], (width, 1)) * np.linspace(1, 2, width)[:, None]
    network = dense_network([first, second, np.ones((1, width))], [np.array([1.5, 1.5]), np.zeros(width), np.zeros(1)])
    work = bounded(network, np.array([-1.0]), np.array([1.0])).work
    hidden = slice(5, 5 + width)
    assert (np.abs(work.lower[hidden]) <= 1e-9).all()
    assert (np.abs(work.upper[hidden]) <= 1e-9).all()


def as_vectors(network: Network, domain: Domain) -> tuple[FloatArray, FloatArray]:
    intervals = bound_network(network, InputSet.of(domain)).intervals
    order = [intervals[node.name] for node in tape_order(network)]
    return np.concatenate([i.lower for i in order]), np.concatenate([i.upper for i in order])


@pytest.mark.parametrize("start", range(0, MANY, 80))
def test_entries_whose_sign_is_open_are_as_tight_as_the_numpy_bounds(start: int) -> None:
    # A stable ReLU argument keeps its plain upper bound here, so the comparison is of open entries, with ReLUs only.
    for seed in range(start, start + 80):
        network = random_network(seed, **LARGE)
        if any(isinstance(node.op, Maximum) for node in network.nodes):
            continue
        domain = random_box(seed, network)
        work = bounded(network, *domain.box()).work
        lower, upper = as_vectors(network, domain)
        users = {node.arguments[0] for node in network.nodes if isinstance(node.op, Relu)}
        used = np.concatenate([np.full(node.op.size_out, node.name in users) for node in tape_order(network)])
        undecided = used & (lower < 0) & (upper > 0)
        scale = 1e-6 * (1e-3 + np.maximum(-lower, upper))[undecided]
        assert (work.lower[undecided] >= lower[undecided] - scale).all(), seed
        assert (work.upper[undecided] <= upper[undecided] + scale).all(), seed


def test_output_functionals_are_as_tight_as_the_numpy_bounds() -> None:
    looser, compared = 0, 0
    for seed in range(MANY):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        found = bounded(network, *domain.box())
        numpy_bounds = bound_network(network, InputSet.of(domain))
        name = network.outputs[0]
        size = network.by_name[name].op.size_out
        expectations = numpy_bounds.lower({name: np.concatenate([np.eye(size), -np.eye(size)])})
        for minimum, expected in zip(output_minima(found), expectations, strict=True):
            is_looser = minimum < expected - 1e-6 * max(1.0, abs(expected))
            # Maxima break ties between their members differently, and pool over stable ReLUs with looser upper bounds.
            assert not is_looser or any(isinstance(n.op, Maximum) for n in network.nodes), seed
            looser, compared = looser + is_looser, compared + 1
    assert looser <= 0.01 * compared, (looser, compared)


@pytest.mark.parametrize("start", range(0, MANY, 80))
def test_inherited_bounds_stay_sound_and_only_shrink(start: int) -> None:
    for seed in range(start, start + 80):
        network = random_network(seed, **LARGE)
        rng = np.random.default_rng(seed)
        lower, upper = random_box(seed, network).box()
        found = bounded(network, lower, upper)
        for _ in range(6):
            i = int(rng.integers(len(lower)))
            middle = 0.5 * lower[i] + 0.5 * upper[i]
            lower, upper = lower.copy(), upper.copy()
            (lower if rng.random() < 0.5 else upper)[i] = middle
            child = narrowed(found, lower, upper)
            assert (child.work.lower >= found.work.lower).all(), seed
            assert (child.work.upper <= found.work.upper).all(), seed
            found = child
        for point in points_in(Domain.from_box(lower, upper), rng, 4):
            assert found.contains(point), seed


def test_functionals_from_inherited_bounds_are_seldom_looser_than_from_fresh_ones() -> None:
    looser, compared = 0, 0
    for seed in range(MANY):
        network = random_network(seed, **LARGE)
        if pools_over_relus(network):
            continue
        lower, upper = random_box(seed, network).box()
        parent = bounded(network, lower, upper)
        upper = 0.5 * lower + 0.5 * upper
        fresh, inherited = (
            output_minima(found) for found in (bounded(network, lower, upper), narrowed(parent, lower, upper))
        )
        looser += int((inherited < fresh - 1e-6 * (1.0 + np.abs(fresh))).sum())
        compared += len(fresh)
    # The lines of a ReLU change with its bounds, not always for the better.
    assert looser <= 0.01 * compared, (looser, compared)


def narrowed_to(network: Network, point: FloatArray) -> Bounded:
    """Halve a box around a point, one coordinate after another, until it is no wider than rounding."""
    lower, upper = point - 1.0, point + 1.25
    found = bounded(network, lower, upper)
    for _ in range(48):
        for i in range(len(point)):
            lower, upper = lower.copy(), upper.copy()
            middle = 0.5 * lower[i] + 0.5 * upper[i]
            (lower if middle <= point[i] else upper)[i] = middle
        found = narrowed(found, lower, upper)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_halving_towards_a_point_leaves_rounding_only(seed: int) -> None:
    # Otherwise branch and bound splits for ever. Groups over ReLUs have a test of their own below.
    network = random_network(seed, **LARGE)
    if pools_over_relus(network):
        return
    found = narrowed_to(network, np.random.default_rng(seed).normal(size=network.size_in))
    low, negated_high = np.split(output_minima(found), 2)
    assert (-negated_high - low <= 1e-6 * (1.0 + np.abs(low))).all()


def test_halving_towards_a_point_closes_a_pool_over_active_relus() -> None:
    nodes = (
        Node("x", Input(1)),
        Node("a", Affine((Dense(np.array([[1.0], [-1.0]])),), np.array([5.0, 5.0])), ("x",)),
        Node("r", Relu(2), ("a",)),
        Node("p", Maximum(np.array([0, 1]), np.array([0, 2]), 2), ("r",)),
    )
    # Both ReLUs are active for sure; at x = 1/2 the largest is 5.5, and a box of no width must say so.
    found = narrowed_to(Network(nodes, ("p",)), np.array([0.5]))
    assert found.work.upper[-1] == pytest.approx(5.5)


def test_halving_towards_a_point_closes_a_pool_beside_a_relu() -> None:
    # Node b is read by a maximum and by a ReLU; the ReLU comes last, and its entries are active for sure.
    nodes = (
        Node("x", Input(1)),
        Node("a", Affine((Dense(np.array([[1.0], [-1.0]])),), np.array([5.0, 5.0])), ("x",)),
        Node("r", Relu(2), ("a",)),
        Node("b", Affine((Dense(np.array([[1.0, 0.5], [0.5, 1.0]])),), np.zeros(2)), ("r",)),
        Node("p", Maximum(np.array([0, 1]), np.array([0, 2]), 2), ("b",)),
        Node("s", Relu(2), ("b",)),
        Node("y", Affine((Dense(np.eye(1)), Dense(np.full((1, 2), 0.25))), np.zeros(1)), ("p", "s")),
    )
    low, negated_high = output_minima(narrowed_to(Network(nodes, ("y",)), np.array([0.5])))
    assert -negated_high - low <= 1e-6


def test_crossed_bounds_are_reported() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    tape = make_tape(network)
    work = make_work(tape)
    work.lower[0], work.upper[0] = 0.0, 1.0
    # A bound that contradicts the box: the first hidden entry would have to exceed 5.
    work.lower[1] = 5.0
    assert not bound_box(tape, work, len(tape.kind), True)
