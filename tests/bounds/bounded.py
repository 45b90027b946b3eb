"""Networks with compiled bounds over a box, and exact values to hold them against."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.oracle import Point
from verinet.bounds.kernels import Work, block_minimum, bound_box, make_work, pull_block
from verinet.bounds.tape import Tape, make_tape
from verinet.model import Affine, Dense, Input, Maximum, Network, Node, Relu, walk
from verinet.model.evaluation import ExactAlgebra, ExactVector
from verinet.numeric import FloatArray


@dataclass(frozen=True, eq=False)
class Bounded:
    """A network's tape with bounds over one box."""

    network: Network
    tape: Tape
    work: Work

    def contains(self, point: Point) -> bool:
        """Whether each entry's exact value lies within its bounds."""
        values = exact_vector(self.network, point)
        bounds = zip(self.work.lower, self.work.upper, values, strict=True)
        return all(at_most(low, value) and at_most(-high, -value) for low, high, value in bounds)


def at_most(bound: float, value: Fraction) -> bool:
    """Compare a bound, infinite perhaps but never NaN, with an exact value."""
    assert not np.isnan(bound)
    return bool(bound == -np.inf) or (np.isfinite(bound) and Fraction(float(bound)) <= value)


def tape_order(network: Network) -> list[Node]:
    return sorted(network.nodes, key=lambda node: not isinstance(node.op, Input))


def exact_vector(network: Network, point: Point) -> list[Fraction]:
    """Return the exact value of each entry, in the tape's order."""
    entries = np.empty(len(point), dtype=object)
    entries[:] = list(point)
    values = walk(network, ExactAlgebra(), [ExactVector.from_fractions(tuple(p)) for p in network.split_input(entries)])
    return [value for node in tape_order(network) for value in values[node.name].to_fractions()]


def bounded(network: Network, lower: FloatArray, upper: FloatArray) -> Bounded:
    """Bound every entry over a box, from nothing."""
    tape = make_tape(network)
    work = make_work(tape)
    work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
    assert bound_box(tape, work, len(tape.kind), True), "sound bounds of a box that holds a point never cross"
    return Bounded(network, tape, work)


@dataclass(frozen=True, eq=False)
class Functionals:
    """Linear functionals of one node's entries, pulled back: row by row over the inputs."""

    rows: FloatArray
    constants: FloatArray
    slacks: FloatArray
    minima: FloatArray


def pulled_back(found: Bounded, node: int, coefficients: FloatArray) -> Functionals:
    """Pull functionals of a node's entries back, together; shape (functionals, size)."""
    tape, work = found.tape, found.work
    count = len(coefficients)
    assert not work.block.any(), "the block is all zero between passes"
    work.block[tape.start[node] : tape.start[node] + tape.size[node], :count] = coefficients.T
    pull_block(tape, work, node, count)
    rows = work.block[: tape.inputs, :count].T.copy()
    constants, slacks = work.constants[:count].copy(), work.slacks[:count].copy()
    block_minimum(tape, work, count)
    assert not work.block.any(), "nothing is left in the block"
    return Functionals(rows, constants, slacks, work.minima[:count].copy())


def combined(coefficients: FloatArray, values: list[Fraction] | Point) -> Fraction:
    return sum((Fraction(float(c)) * v for c, v in zip(coefficients, values, strict=True)), Fraction(0))


def shared_network(rng: np.random.Generator) -> Network:
    """Return a network in which nodes have several users, arguments repeat, and inputs are read late."""

    def dense(rows: int, columns: int) -> Dense:
        return Dense(rng.normal(size=(rows, columns)))

    nodes = (
        Node("a", Input(2)),
        Node("first", Affine((dense(4, 2),), rng.normal(size=4)), ("a",)),
        Node("b", Input(2)),
        Node("on", Relu(4), ("first",)),
        # One node, read twice by one sum, by a ReLU, by a maximum, and by the outputs.
        Node("twice", Affine((dense(4, 4), dense(4, 4), dense(4, 2)), rng.normal(size=4)), ("on", "on", "b")),
        Node("relu", Relu(4), ("twice",)),
        Node("pool", Maximum(np.array([0, 1, 1, 2, 3, 3]), np.array([0, 3, 4, 6]), 4), ("twice",)),
        Node("again", Affine((dense(3, 4), dense(3, 3), dense(3, 2)), rng.normal(size=3)), ("relu", "pool", "a")),
        Node("top", Relu(3), ("again",)),
        Node("out", Affine((dense(2, 3), dense(2, 4), dense(2, 2)), rng.normal(size=2)), ("top", "twice", "b")),
    )
    return Network(nodes, ("out", "b", "twice", "out"))
