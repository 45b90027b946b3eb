from fractions import Fraction
from typing import get_args

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import Weights, matrix_of, networks, points_in, random_box
from verinet.errors import InputError
from verinet.model import (
    Affine,
    Dense,
    Input,
    Maximum,
    Network,
    Node,
    Op,
    Relu,
    dense_network,
    evaluate,
    evaluate_exact,
    evaluate_exact_batch,
    walk,
)
from verinet.model.evaluation import FloatAlgebra
from verinet.model.network import RULES
from verinet.numeric import gamma


def affine(rows, columns):
    return Affine((Dense(np.ones((rows, columns))),), np.zeros(rows))


def chain(*nodes, outputs=("out",)):
    return Network(nodes, outputs)


class TracingAlgebra:
    """Exact intervals' poor relative: a value and a bound of how far the float evaluation may be from it."""

    def affine(self, op, arguments):
        exact = [Fraction(float(b)) for b in op.bias]
        magnitude = [abs(b) for b in exact]
        error = [Fraction(0)] * len(exact)
        for linear_map, (values, errors) in zip(op.maps, arguments, strict=True):
            matrix = [[Fraction(float(w)) for w in row] for row in matrix_of(linear_map)]
            for i, row in enumerate(matrix):
                for w, v, e in zip(row, values, errors, strict=True):
                    exact[i] += w * v
                    magnitude[i] += abs(w) * (abs(v) + e)
                    error[i] += abs(w) * e
        terms = op.longest_row + len(op.maps)
        # Each product may also underflow.
        rounding = [Fraction(gamma(terms)) * m + (terms + 1) * Fraction(5e-324) for m in magnitude]
        return exact, [e + r for e, r in zip(error, rounding, strict=True)]

    def relu(self, op, arguments):
        values, errors = arguments[0]
        return [max(v, Fraction(0)) for v in values], errors

    def maximum(self, op, arguments):
        values, errors = arguments[0]
        return [max(values[i] for i in g) for g in op.groups], [max(errors[i] for i in g) for g in op.groups]


def traced(network, x):
    parts = network.split_input(np.array(x, dtype=object))
    values = walk(network, TracingAlgebra(), [(list(part), [Fraction(0)] * len(part)) for part in parts])
    exact, error = zip(*(values[name] for name in network.outputs), strict=True)
    return [v for part in exact for v in part], [e for part in error for e in part]


@given(networks(), st.integers(0, 99))
def test_exact_evaluation_is_the_definition(network, seed):
    for x in points_in(random_box(seed, network), np.random.default_rng(seed), 2):
        assert list(evaluate_exact(network, x)) == traced(network, x)[0]


@given(networks(weights=Weights.FLOATS), st.integers(0, 99))
def test_float_evaluation_stays_within_its_rounding_bound(network, seed):
    x = np.random.default_rng(seed).normal(size=network.size_in)
    exact, error = traced(network, [Fraction(v) for v in x])
    assert list(evaluate_exact(network, [Fraction(v) for v in x])) == exact
    for value, truth, bound in zip(evaluate(network, x), exact, error, strict=True):
        assert abs(Fraction(float(value)) - truth) <= bound


@given(networks(weights=Weights.FLOATS), st.integers(0, 99))
def test_an_exact_batch_is_evaluated_row_by_row(network, seed):
    x = np.random.default_rng(seed).normal(size=(3, network.size_in))
    expected = [evaluate_exact(network, [Fraction(v) for v in row]) for row in x]
    assert evaluate_exact_batch(network, x) == expected


@given(networks(), st.integers(0, 99))
def test_a_batch_is_evaluated_row_by_row(network, seed):
    # Quarters and small sizes: no rounding, whatever the order of summation.
    x = np.random.default_rng(seed).integers(-8, 9, (2, 3, network.size_in)) / 4
    batch = evaluate(network, x)
    assert batch.shape == (2, 3, network.size_out)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(batch[index], evaluate(network, x[index]))


def test_dense_network_is_the_usual_formula():
    rng = np.random.default_rng(0)
    weights = [rng.integers(-4, 5, shape).astype(float) for shape in ((3, 2), (4, 3), (1, 4))]
    biases = [rng.integers(-4, 5, len(w)).astype(float) for w in weights]
    network = dense_network(weights, biases)
    x = rng.integers(-9, 9, (5, 2)).astype(float)
    hidden = np.maximum(np.maximum(x @ weights[0].T + biases[0], 0) @ weights[1].T + biases[1], 0)
    np.testing.assert_array_equal(evaluate(network, x), hidden @ weights[2].T + biases[2])
    assert [node.name for node in network.nodes] == ["input", "affine_1", "relu_1", "affine_2", "relu_2", "affine_3"]
    assert (network.size_in, network.size_out, network.neurons) == (2, 1, 7)


def test_several_inputs_and_outputs_are_concatenated_in_order():
    network = Network(
        (
            Node("b", Input(1)),
            Node("a", Input(2)),
            Node("sum", Affine((Dense(np.array([[1.0, 2.0]])), Dense(np.array([[4.0]]))), np.zeros(1)), ("a", "b")),
            Node("relu", Relu(2), ("a",)),
        ),
        ("relu", "sum", "b"),
    )
    assert network.inputs == ("b", "a")
    np.testing.assert_array_equal(evaluate(network, np.array([10.0, -1.0, 2.0])), [0, 2, 43, 10])
    assert evaluate_exact(network, [Fraction(1, 3), Fraction(-1), Fraction(2, 7)])[-1] == Fraction(1, 3)


@given(networks(), st.integers(1, 3))
def test_split_input_cuts_along_the_last_axis(network, batch):
    x = np.arange(batch * network.size_in).reshape(batch, network.size_in)
    parts = network.split_input(x)
    assert [p.shape[-1] for p in parts] == [network.by_name[name].op.size_out for name in network.inputs]
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), x)
    for wrong in (x[:, :-1], np.zeros(network.size_in + 1)):
        with pytest.raises(InputError, match=f"takes {network.size_in} inputs, found {wrong.shape[-1]}"):
            network.split_input(wrong)


def test_evaluation_refuses_an_input_of_another_size():
    network = dense_network([np.ones((1, 2))], [np.zeros(1)])
    with pytest.raises(InputError, match="takes 2 inputs, found 3"):
        evaluate_exact(network, [Fraction(0)] * 3)
    with pytest.raises(InputError, match="takes 2 inputs, found 1"):
        evaluate(network, np.zeros(1))


def test_maximum_takes_the_largest_of_each_group():
    op = Maximum(np.array([0, 2, 2, 1, 0]), np.array([0, 2, 3, 5]), 3)
    network = Network((Node("x", Input(3)), Node("y", op, ("x",))), ("y",))
    np.testing.assert_array_equal(evaluate(network, np.array([1.0, -5.0, 3.0])), [3, 3, 1])
    assert evaluate_exact(network, [Fraction(1, 3), Fraction(1, 2), Fraction(0)]) == (
        Fraction(1, 3),
        Fraction(0),
        Fraction(1, 2),
    )
    assert [list(g) for g in op.groups] == [[0, 2], [2], [1, 0]]


@given(networks())
def test_the_graph_has_an_edge_from_each_argument(network):
    assert nx.is_directed_acyclic_graph(network.graph)
    assert set(network.graph.nodes) == set(network.by_name)
    for node in network.nodes:
        assert set(network.graph.predecessors(node.name)) == set(node.arguments)


X = Node("x", Input(2))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: chain(X, Node("x", Input(1)), outputs=("x",)), "'x' stands twice"),
        (lambda: chain(X, Node("out", Relu(2), ("y",))), "takes 'y', which no earlier node provides"),
        (lambda: chain(Node("out", Relu(2), ("x",)), X), "takes 'x', which no earlier node provides"),
        (lambda: chain(X, Node("out", Relu(3), ("x",))), r"'out' expects arguments of \(3,\) numbers, gets \(2,\)"),
        (lambda: chain(X, Node("out", affine(1, 2), ("x", "x"))), "'out' expects arguments"),
        (lambda: chain(X, Node("out", Input(2), ("x",))), "'out' expects arguments"),
        (lambda: chain(X, outputs=("y",)), "output 'y' names no node"),
        (lambda: chain(X, outputs=()), "at least one input and one output"),
        (lambda: Node("x", Input(6), shape=(2, 2)), r"shape \(2, 2\) cannot hold 6"),
        (lambda: Affine((), np.zeros(1)), "at least one argument"),
        (lambda: Affine((Dense(np.ones((2, 1))),), np.zeros(1)), "1 biases"),
        (lambda: Affine((Dense(np.ones((1, 1))),), np.array([np.inf])), "finite biases"),
        (lambda: Maximum(np.array([0]), np.array([0, 1, 1]), 2), "at least one member"),
        (lambda: Maximum(np.array([0, 1]), np.array([0, 1]), 2), "offsets"),
        (lambda: Maximum(np.array([0, 1]), np.array([1, 2]), 2), "offsets"),
        (lambda: Maximum(np.array([2]), np.array([0, 1]), 2), "members must lie in 0..1"),
        (lambda: Maximum(np.array([-1]), np.array([0, 1]), 2), "members must lie in 0..1"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_a_refined_value_is_what_later_nodes_see():
    network = dense_network([np.eye(1), 3 * np.eye(1)], [np.zeros(1)] * 2)
    seen = []

    def capped(node, value, values):
        seen.append((node.name, tuple(values)))
        return np.minimum(value, 1.0) if node.name == "relu_1" else value

    values = walk(network, FloatAlgebra(), [np.array([5.0])], capped)
    assert values["affine_2"] == 3.0
    assert seen[1] == ("relu_1", ("input", "affine_1"))


def test_the_walk_has_a_rule_for_every_operation():
    assert set(RULES) == set(get_args(Op)) - {Input}
