"""A tape is its network: the same slices, the same function."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import Weights, networks, points_in, random_box, random_network
from verinet.bounds.kernels import evaluate_point
from verinet.bounds.tape import NodeKind, Tape, make_tape
from verinet.model import (
    Affine,
    Dense,
    Input,
    Maximum,
    Network,
    Node,
    Relu,
    Sparse,
    dense_network,
    evaluate,
    evaluate_exact,
)
from verinet.numeric import FloatArray

MANY = 200


def outputs_on_tape(network: Network, tape: Tape, x: FloatArray) -> FloatArray:
    """Evaluate with the kernel and read the network's outputs off the tape."""
    values = np.zeros(tape.total)
    values[: tape.inputs] = x
    evaluate_point(tape, values)
    names = [node.name for node in sorted(network.nodes, key=lambda node: not isinstance(node.op, Input))]
    slices = {name: slice(tape.start[j], tape.start[j] + tape.size[j]) for j, name in enumerate(names)}
    return np.concatenate([values[slices[name]] for name in network.outputs])


def assert_tape_is_exact_on_quarters(network: Network, rng: np.random.Generator) -> None:
    # Few bits go in, so that no float operation rounds: the two evaluations must agree to the last bit.
    tape = make_tape(network)
    for x in rng.integers(-16, 17, size=(4, network.size_in)) / 8.0:
        exact = evaluate_exact(network, [Fraction(float(v)) for v in x])
        assert [Fraction(float(v)) for v in outputs_on_tape(network, tape, x)] == list(exact)


@given(data=st.data())
def test_the_tape_computes_the_network_exactly_where_floats_are_exact(data: st.DataObject) -> None:
    assert_tape_is_exact_on_quarters(data.draw(networks()), np.random.default_rng(data.draw(st.integers(0, 99))))


@pytest.mark.parametrize("start", range(0, MANY, 50))
def test_many_seeded_networks_are_computed_exactly(start: int) -> None:
    for seed in range(start, start + 50):
        network = random_network(seed, max_neurons=30, width=6, blocks=4)
        assert_tape_is_exact_on_quarters(network, np.random.default_rng(seed))


@pytest.mark.parametrize("start", range(0, MANY, 50))
def test_float_weights_agree_up_to_rounding(start: int) -> None:
    for seed in range(start, start + 50):
        network = random_network(seed, max_neurons=60, width=10, blocks=8, weights=Weights.FLOATS)
        tape = make_tape(network)
        for point in points_in(random_box(seed, network), np.random.default_rng(seed), 5):
            x = np.array([float(v) for v in point])
            expected = evaluate(network, x)
            scale = np.abs(expected).max() + 1e3
            assert outputs_on_tape(network, tape, x) == pytest.approx(expected, rel=1e-9, abs=1e-12 * scale)


@given(data=st.data())
def test_slices_tile_the_vector_with_the_inputs_first(data: st.DataObject) -> None:
    network = data.draw(networks(weights=data.draw(st.sampled_from(list(Weights)))))
    tape = make_tape(network)
    ends = np.cumsum(tape.size)
    assert (tape.start == ends - tape.size).all()
    assert ends[-1] == tape.total
    assert tape.inputs == network.size_in
    inputs = tape.kind == NodeKind.INPUT
    assert tape.size[inputs].sum() == tape.inputs
    assert inputs[: inputs.sum()].all()
    for j in np.flatnonzero(tape.kind == NodeKind.AFFINE):
        maps = slice(tape.first_map[j], tape.first_map[j + 1])
        assert (tape.map_source[maps] < tape.start[j]).all()


def test_backward_passes_are_planned_for_what_a_maximum_reads_but_not_for_maps_of_the_inputs() -> None:
    rng = np.random.default_rng(0)
    network = dense_network([rng.normal(size=s) for s in ((3, 2), (4, 3), (1, 4))], [np.zeros(n) for n in (3, 4, 1)])
    # input, affine, relu, affine, relu, affine: only the second affine node has a user and reads no inputs.
    assert make_tape(network).refine.tolist() == [-1, -1, -1, 4, -1, -1]


def test_duplicate_arguments_and_several_inputs_and_outputs_keep_their_places() -> None:
    rng = np.random.default_rng(1)

    def quarters(rows: int, columns: int) -> Dense:
        return Dense(rng.integers(-8, 9, size=(rows, columns)) / 4)

    nodes = (
        Node("a", Input(2)),
        # An affine node between two inputs: the tape moves the second input before it.
        Node("early", Affine((quarters(3, 2),), np.ones(3)), ("a",)),
        Node("b", Input(1)),
        Node("twice", Affine((quarters(3, 3), quarters(3, 3)), np.zeros(3)), ("early", "early")),
        Node("mixed", Affine((quarters(2, 1), quarters(2, 2), quarters(2, 1)), np.zeros(2)), ("b", "a", "b")),
        Node("relu", Relu(3), ("twice",)),
        Node("largest", Maximum(np.array([0, 2, 2, 1]), np.array([0, 3, 4]), 3), ("relu",)),
        Node("sum", Affine((Sparse.identity(2), Sparse.identity(2)), np.zeros(2)), ("largest", "mixed")),
    )
    network = Network(nodes, ("sum", "b", "early", "sum"))
    assert_tape_is_exact_on_quarters(network, rng)
