"""Bounds on float rounding hold for evaluations in any order, and say nothing where nothing is rounded."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import boxes, matrix_of, networks
from verinet.bounds import FLOAT_FORMATS, InputSet, rounding_bounds
from verinet.model import Affine, Domain, Network, Node, dense_network, evaluate_exact, walk
from verinet.model.ops import Input, Maximum, Relu

SINGLE = FLOAT_FORMATS["float32"]


def in_single(network: Network) -> Network:
    """Return the network with its parameters rounded to float32."""

    def rounded(node: Node) -> Node:
        if not isinstance(node.op, Affine):
            return node
        maps = tuple(m.map_weights(lambda w: w.astype(np.float32).astype(np.float64)) for m in node.op.maps)
        return replace(node, op=Affine(maps, node.op.bias.astype(np.float32).astype(np.float64)))

    return Network(tuple(map(rounded, network.nodes)), network.outputs)


class SingleAlgebra:
    """Float32 values, summed one after the other in a random order."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def affine(self, op, arguments):
        matrix = np.concatenate([matrix_of(m) for m in op.maps], axis=1).astype(np.float32)
        x = np.concatenate(arguments)
        result = np.empty(len(op.bias), dtype=np.float32)
        for row in range(len(result)):
            products = [*(matrix[row] * x), np.float32(op.bias[row])]
            total = np.float32(0)
            for i in self._rng.permutation(len(products)):
                total = np.float32(total + products[i])
            result[row] = total
        return result

    def relu(self, op, arguments):
        return np.maximum(arguments[0], np.float32(0))

    def maximum(self, op, arguments):
        return np.maximum.reduceat(arguments[0][op.members], op.offsets[:-1])


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_every_order_of_summation_stays_within_the_bound(data, seed):
    network = in_single(data.draw(networks()))
    domain = data.draw(boxes(network))
    box = InputSet.of(domain).box
    rounded = rounding_bounds(network, box, SINGLE)
    assert rounded is not None
    rng = np.random.default_rng(seed)
    for _ in range(3):
        x = (box.lower + rng.random(network.size_in) * (box.upper - box.lower)).astype(np.float32)
        inside = np.clip(x.astype(np.float64), box.lower, box.upper)
        if (inside != x).any():
            continue
        exact = evaluate_exact(network, [Fraction(float(v)) for v in x])
        values = walk(network, SingleAlgebra(rng), network.split_input(x))
        computed = np.concatenate([values[name] for name in network.outputs])
        for mine, truth, error in zip(computed, exact, rounded.error, strict=True):
            assert abs(Fraction(float(mine)) - truth) <= Fraction(float(error))


def test_nothing_is_rounded_by_copies_signs_powers_of_two_and_maxima():
    first = Affine(dense_network([np.array([[2.0, 0.0], [0.0, -1.0]])], [np.zeros(2)]).nodes[1].op.maps, np.zeros(2))
    nodes = (Node("x", Input(2)), Node("a", first, ("x",)), Node("r", Relu(2), ("a",)))
    pooled = Node("m", Maximum(np.array([0, 1]), np.array([0, 2]), 2), ("r",))
    rounded = rounding_bounds(
        Network((*nodes, pooled), ("m",)), InputSet.of(Domain.from_box([0, 0], [1, 1])).box, SINGLE
    )
    assert rounded is not None
    assert rounded.error.tolist() == [0.0]


@pytest.mark.parametrize(("weight", "bias"), [(3.0, 0.0), (0.5, 0.0), (1.0, 0.5)])
def test_everything_else_may_be(weight, bias):
    network = dense_network([np.array([[weight]])], [np.array([bias])])
    rounded = rounding_bounds(network, InputSet.of(Domain.from_box([0], [1])).box, SINGLE)
    assert rounded is not None
    assert 0 < rounded.error[0] < 1e-5


def test_a_possible_overflow_has_no_bound():
    # The result is small, but a partial sum may not be.
    network = dense_network([np.array([[2.0**100, -(2.0**100)]])], [np.zeros(1)])
    box = InputSet.of(Domain.from_box([2.0**40] * 2, [2.0**40] * 2)).box
    assert rounding_bounds(network, box, SINGLE) is None
    assert rounding_bounds(network, box, FLOAT_FORMATS["float64"]) is not None
