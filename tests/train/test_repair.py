"""Repair finds the planted smallest change, proves it, and fails honestly where there is none."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from verinet.errors import InputError
from verinet.model import (
    Affine,
    Convolution,
    Dense,
    Domain,
    Input,
    Monotone,
    Network,
    Node,
    Property,
    Range,
    Relu,
    dense_network,
    evaluate,
)
from verinet.train import TrainOptions, UniversalProperty
from verinet.train.repair import ChangeNorm, RepairOptions, repair, repair_layers
from verinet.verify import Answer, VerifyOptions, verify_property

SQUARE = Domain.from_box([0, 0], [1, 1])
QUICK = TrainOptions(time_limit=30, gap_tolerance=1e-3)


def wanted(prop: Property, domain: Domain = SQUARE) -> list[UniversalProperty]:
    return [UniversalProperty(prop, domain)]


def bumpy() -> Network:
    """f = relu(x0) + relu(x1) - relu(x0 + x1 - 1) / 2: up to 1.5 at (1, 1), and 1 at the two other corners."""
    return dense_network(
        [np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0, -0.5]])],
        [np.array([0.0, 0.0, -1.0]), np.array([0.0])],
    )


def holds(network: Network, prop: Property, domain: Domain = SQUARE) -> bool:
    return verify_property(network, domain, prop, VerifyOptions(timeout=20)).answer is Answer.VERIFIED


def test_the_smallest_change_of_the_last_layer_is_found_and_proven() -> None:
    # The only corner above 1.25 is (1, 1): 1 + 1 - 1/2. A quarter less of any of four numbers is enough, and needed.
    prop = Range("low", 0, upper=Fraction(5, 4))
    found = repair(repair_layers(bumpy())[-1], wanted(prop), RepairOptions(search=QUICK))
    assert found.result is not None
    assert found.result.proven
    assert float(found.result.l1) == pytest.approx(0.25, rel=1e-3)
    assert found.bound == pytest.approx(0.25, rel=1e-6)
    assert found.bound <= float(found.result.l1)
    assert found.result.changed >= 1
    assert holds(found.result.network, prop)
    for array in (m.weights for node in found.result.network.nodes for m in getattr(node.op, "maps", ())):
        np.testing.assert_array_equal(array, array.astype(np.float32))
    # The first layer is as it was.
    first = found.result.network.nodes[1].op
    np.testing.assert_array_equal(first.maps[0].weights, bumpy().nodes[1].op.maps[0].weights)


def test_the_fewest_changes_are_found() -> None:
    # Below 0.9 and at least -0.2: at (1, 0) and (0, 1) as well, which one bias lowers by a tenth, and at (1, 1) by 0.6.
    prop = Range("low", 0, upper=Fraction(1, 2), lower=Fraction(-1, 10))
    options = RepairOptions(ChangeNorm.COUNT, search=QUICK)
    found = repair(repair_layers(bumpy())[-1], wanted(prop), options)
    assert found.result is not None
    assert found.result.proven
    # At 0 the bias is between -0.1 and 0.5. With weights 1 and 1 corners are at 0.9 or more, so both change; then 1/2
    # each leaves 1/2 at (1, 1).
    assert found.result.changed == found.bound == 2
    assert holds(found.result.network, prop)


def test_an_earlier_layer_is_repaired_through_the_relus_behind_it() -> None:
    # f = relu(w x + b) with w = 2, b = 0 on [0, 1]; at most 1: w + b <= 1, so L1 change 1.
    network = dense_network([np.array([[2.0]]), np.array([[1.0]])], [np.array([0.0]), np.array([0.0])])
    line = Domain.from_box([0], [1])
    prop = Range("low", 0, upper=Fraction(1))
    found = repair(repair_layers(network)[0], wanted(prop, line), RepairOptions(search=QUICK))
    assert found.result is not None
    assert found.result.proven
    assert float(found.result.l1) == pytest.approx(1.0, rel=1e-3)
    assert holds(found.result.network, prop, line)
    assert found.result.layer == "affine_1"


def test_filters_move_together() -> None:
    kernel = Convolution(np.array([[[[1.0, 1.0]]]]), (1, 1, 3))
    nodes = (
        Node("input", Input(3), shape=(1, 1, 3)),
        Node("filters", Affine((kernel,), np.zeros(2)), ("input",), (1, 1, 2)),
        Node("relu", Relu(2), ("filters",), (1, 1, 2)),
        Node("sum", Affine((Dense(np.ones((1, 2))),), np.zeros(1)), ("relu",)),
    )
    network, cube = Network(nodes, ("sum",)), Domain.from_box([0] * 3, [1] * 3)
    layer = repair_layers(network)[0]
    rng = np.random.default_rng(0)
    x, parameters = rng.random(3), rng.normal(size=3).astype(np.float32).astype(float)
    entering, results, others = layer.entering([Fraction(v) for v in x])
    assert not len(others)
    after = evaluate(replace(layer.with_parameters(parameters), outputs=("filters",)), x[None])[0]
    np.testing.assert_allclose(results + layer.effect(entering) @ (parameters - layer.current), after, atol=1e-12)
    # At ones the sum is 4; at most 3 by a fourth of each weight, or by half of the bias, which counts twice.
    prop = Range("low", 0, upper=Fraction(3))
    found = repair(layer, wanted(prop, cube), RepairOptions(search=QUICK))
    assert found.result is not None
    assert float(found.result.l1) == pytest.approx(0.5, rel=1e-3)
    assert holds(found.result.network, prop, cube)


def test_a_network_that_has_the_property_stays_as_it_is() -> None:
    network = bumpy()
    found = repair(repair_layers(network)[-1], wanted(Range("low", 0, upper=Fraction(2))))
    assert found.result is not None
    assert found.result.changed == 0
    assert found.result.l1 == 0
    assert found.result.proven


def test_what_cannot_be_repaired_is_said_so() -> None:
    # The first hidden layer is dead: whatever the last one weighs, the output is constant, and it is to rise.
    network = dense_network([np.array([[1.0]]), np.array([[1.0]])], [np.array([-5.0]), np.array([0.0])])
    line, layer = Domain.from_box([0], [1]), repair_layers(network)[-1]
    rises = [
        UniversalProperty(Range("low", 0, upper=Fraction(0)), Domain.from_box([0], [0])),
        UniversalProperty(Range("high", 0, lower=Fraction(1)), Domain.from_box([1], [1])),
    ]
    found = repair(layer, rises, RepairOptions(search=QUICK))
    assert found.result is None
    assert found.bound == np.inf
    assert "no change of layer 'affine_2'" in found.reason
    assert found.counterexample
    # A change of at most a tenth a weight is too small for this.
    small = RepairOptions(reach=0.1, search=QUICK)
    assert repair(repair_layers(bumpy())[-1], wanted(Range("low", 0, upper=Fraction(1, 4))), small).result is None
    late = RepairOptions(search=replace(QUICK, most_rounds=1))
    found = repair(repair_layers(bumpy())[-1], wanted(Range("low", 0, upper=Fraction(1, 4))), late)
    assert found.result is None
    assert "1 rounds" in found.reason
    assert [len(point) for point in found.counterexample] == [2]
    assert holds(network, Monotone("flat", (0,), 0, True), line)
    with pytest.raises(InputError, match="reach"):
        RepairOptions(reach=0.0)
