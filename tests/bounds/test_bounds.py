"""Every value that a network takes lies within every bound computed for it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import Weights, boxes, domains, networks, points_in, random_box, random_network
from verinet.bounds import InputSet, Interval, NetworkBounds, bound_network, interval_bounds, relax
from verinet.bounds.relaxation import RELAXATIONS
from verinet.model import Convolution, Dense, Domain, L1Ball, Maximum, Network, Op, Relu, dense_network, walk
from verinet.model.evaluation import ExactAlgebra, ExactVector

MANY = 200


def exact_values(network: Network, point: tuple[Fraction, ...]) -> dict[str, tuple[Fraction, ...]]:
    entries = np.empty(len(point), dtype=object)
    entries[:] = list(point)
    parts = [ExactVector.from_fractions(tuple(part)) for part in network.split_input(entries)]
    return {name: value.to_fractions() for name, value in walk(network, ExactAlgebra(), parts).items()}


def assert_within(bounds: NetworkBounds, point: tuple[Fraction, ...]) -> None:
    for name, values in exact_values(bounds.network, point).items():
        interval = bounds.intervals[name]
        for low, value, high in zip(interval.lower, values, interval.upper, strict=True):
            assert Fraction(float(low)) <= value <= Fraction(float(high)), name


@pytest.mark.parametrize("relaxed", [False, True])
@given(data=st.data())
def test_every_neuron_lies_within_its_bounds(relaxed: bool, data: st.DataObject) -> None:
    network = data.draw(networks(weights=data.draw(st.sampled_from(list(Weights)))))
    domain = data.draw(boxes(network))
    bounds = bound_network(network, InputSet.of(domain), relaxed=relaxed)
    for point in points_in(domain, np.random.default_rng(0), 10):
        assert_within(bounds, point)


@pytest.mark.parametrize("seed", range(0, MANY, 20))
def test_many_seeded_networks_stay_within_bounds(seed: int) -> None:
    for k in range(seed, seed + 20):
        network = random_network(k, weights=Weights.FLOATS, max_neurons=40, width=8, blocks=8)
        domain = random_box(k, network)
        bounds = bound_network(network, InputSet.of(domain))
        for point in points_in(domain, np.random.default_rng(k), 5):
            assert_within(bounds, point)


@given(data=st.data())
def test_functionals_are_bounded_from_below(data: st.DataObject) -> None:
    network = data.draw(networks(weights=Weights.FLOATS))
    domain = data.draw(domains(network.size_in))
    bounds = bound_network(network, InputSet.of(domain))
    rng = np.random.default_rng(1)
    rows = {
        name: rng.normal(size=(3, network.by_name[name].op.size_out)) for name in {*network.outputs, *network.inputs}
    }
    lower = bounds.lower(rows)
    for point in points_in(domain, rng, 8):
        if not domain.contains(point):
            continue
        values = exact_values(network, point)
        for k in range(3):
            total = sum(
                (Fraction(float(c)) * v for name in rows for c, v in zip(rows[name][k], values[name], strict=True)),
                Fraction(0),
            )
            assert Fraction(float(lower[k])) <= total


def test_relaxation_is_tighter_than_intervals_where_neurons_cancel() -> None:
    # y = relu(x) - relu(x) is zero, which intervals cannot see and the relaxation nearly can.
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]])], [np.zeros(2), np.zeros(1)])
    inputs = InputSet.of(Domain.from_box([1.0], [2.0]))
    relaxed = bound_network(network, inputs).lower({network.outputs[0]: np.eye(1)})[0]
    plain = interval_bounds(network, inputs.box)[network.outputs[0]].lower[0]
    assert plain <= -1.0 + 1e-9
    assert -1e-9 <= relaxed <= 0.0


def test_an_l1_ball_gives_tighter_bounds_than_its_box() -> None:
    network = dense_network([np.ones((1, 3)), np.ones((1, 1))], [np.array([-1.0]), np.zeros(1)])
    box = Domain.from_box([-1.0] * 3, [1.0] * 3)
    ball = L1Ball((0, 1, 2), (Fraction(0),) * 3, Fraction(1))
    inside = Domain(box.lower, box.upper, balls=(ball,))
    node = network.nodes[1].name
    assert bound_network(network, InputSet.of(box)).intervals[node].upper[0] == pytest.approx(2.0)
    assert bound_network(network, InputSet.of(inside)).intervals[node].upper[0] == pytest.approx(0.0, abs=1e-9)


@given(lower=st.floats(-1e3, 1e3), width=st.floats(0, 1e3), floor=st.floats(-1e3, 1e3), share=st.fractions(0, 1))
def test_the_lines_of_a_maximum_enclose_it_exactly(lower: float, width: float, floor: float, share: Fraction) -> None:
    upper = lower + width
    op = Maximum(np.array([0, 1]), np.array([0, 2]), 2)
    relaxation = relax(op, Interval(np.array([lower, floor]), np.array([upper, floor])))
    x = [Fraction(lower) + share * (Fraction(upper) - Fraction(lower)), Fraction(floor)]
    truth = max(x)
    for line, sign in ((relaxation.below, 1), (relaxation.above, -1)):
        value = Fraction(float(line.slope[0])) * x[int(line.index[0])] + Fraction(float(line.intercept[0]))
        assert sign * value <= sign * truth


def test_every_operation_but_affine_ones_has_a_relaxation() -> None:
    assert set(RELAXATIONS) == {Relu, Maximum}
    assert set(RELAXATIONS) < set(Op.__args__)


def test_huge_and_tiny_numbers_do_not_break_the_rounding() -> None:
    weights = [np.array([[1e30, -1e30], [1e-300, 1e-300]]), np.array([[1.0, 1e300]])]
    network = dense_network(weights, [np.array([1e-3, 0.0]), np.zeros(1)])
    domain = Domain.from_box([0.1, 0.1], [0.1, 0.1])
    bounds = bound_network(network, InputSet.of(domain))
    assert_within(bounds, domain.lower)


def test_convolutions_and_dense_maps_give_the_same_bounds() -> None:
    rng = np.random.default_rng(3)
    convolution = Convolution(rng.normal(size=(2, 1, 2, 2)), (1, 3, 3))
    dense = Dense(np.asarray(convolution.to_sparse().matrix.toarray()))
    enclosures = []
    for linear_map in (convolution, dense):
        first = dense_network([dense.weights, rng.normal(size=(1, 8)) * 0 + 1.0], [np.zeros(8), np.zeros(1)])
        nodes = list(first.nodes)
        nodes[1] = type(nodes[1])(nodes[1].name, type(nodes[1].op)((linear_map,), np.zeros(8)), nodes[1].arguments)
        network = Network(tuple(nodes), first.outputs)
        enclosures.append(bound_network(network, InputSet.of(Domain.from_box([-1.0] * 9, [1.0] * 9))).output)
    assert enclosures[0].lower == pytest.approx(enclosures[1].lower)
    assert enclosures[0].upper == pytest.approx(enclosures[1].upper)
