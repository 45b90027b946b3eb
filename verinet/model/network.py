"""A network: a directed acyclic graph of named operations, and the one walk through it.

What a value is (a batch of floats, a vector of rationals, an enclosure, expressions of a programme) is the business of
the algebra that walks; the order of operations and the plumbing live here only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from verinet.errors import InputError
from verinet.model.linear_map import Dense
from verinet.model.ops import Affine, Input, Maximum, Op, Relu
from verinet.numeric import FloatArray

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Algebra", "Network", "Node", "dense_network", "walk"]

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Node:
    """One named operation.

    Parameters
    ----------
    name : str
        Unique in its network.
    op : Op
    arguments : tuple of str
        Names of the nodes whose results the operation takes.
    shape : tuple of int
        Shape of the result without the batch axis; empty means one axis of the result's length.
    """

    name: str
    op: Op
    arguments: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.shape:
            object.__setattr__(self, "shape", (self.op.size_out,))
        if int(np.prod(self.shape)) != self.op.size_out:
            raise InputError(f"node {self.name!r} of shape {self.shape} cannot hold {self.op.size_out} numbers")


@dataclass(frozen=True, eq=False)
class Network:
    """A piecewise-linear network: the exact real function of its stored parameters.

    Its input vector is the concatenation of its input nodes' values, in the order of `inputs`; its output vector that
    of the nodes named in `outputs`.

    Parameters
    ----------
    nodes : tuple of Node
        In an order in which every node comes after its arguments.
    outputs : tuple of str
        Names of the nodes whose results are the network's outputs.
    notes : tuple of str
        What its reader should know: rewrites that rounded, parts that were folded.

    Raises
    ------
    InputError
        If names repeat, an argument is missing or comes too late, or sizes do not fit.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        seen: dict[str, Node] = {}
        for node in self.nodes:
            if node.name in seen:
                raise InputError(f"node names must be unique, {node.name!r} stands twice")
            for name in node.arguments:
                if name not in seen:
                    raise InputError(f"node {node.name!r} takes {name!r}, which no earlier node provides")
            sizes = tuple(seen[name].op.size_out for name in node.arguments)
            if sizes != node.op.sizes_in:
                raise InputError(f"node {node.name!r} expects arguments of {node.op.sizes_in} numbers, gets {sizes}")
            seen[node.name] = node
        for name in self.outputs:
            if name not in seen:
                raise InputError(f"output {name!r} names no node")
        if not self.outputs or not self.inputs:
            raise InputError("a network needs at least one input and one output")

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Each node under its name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input nodes, in order."""
        return tuple(node.name for node in self.nodes if isinstance(node.op, Input))

    @cached_property
    def size_in(self) -> int:
        """Length of the input vector."""
        return sum(self.by_name[name].op.size_out for name in self.inputs)

    @cached_property
    def size_out(self) -> int:
        """Length of the output vector."""
        return sum(self.by_name[name].op.size_out for name in self.outputs)

    @cached_property
    def graph(self) -> "nx.DiGraph[str]":
        """The graph of the nodes' names, an edge from each argument to its user."""
        # Imported here: most questions never look at the graph, and they should not wait for it.
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(node.name for node in self.nodes)
        graph.add_edges_from((name, node.name) for node in self.nodes for name in node.arguments)
        return graph

    @cached_property
    def neurons(self) -> int:
        """Number of entries that pass a ReLU or a maximum."""
        return sum(node.op.size_out for node in self.nodes if isinstance(node.op, Relu | Maximum))

    def split_input(self, x: Any) -> tuple[Any, ...]:
        """Cut an input vector (or a batch, along its last axis) into the input nodes' values."""
        ends = np.cumsum([self.by_name[name].op.size_out for name in self.inputs])
        if x.shape[-1] != ends[-1]:
            raise InputError(f"the network takes {ends[-1]} inputs, found {x.shape[-1]}")
        return tuple(
            x[..., end - self.by_name[name].op.size_out : end] for name, end in zip(self.inputs, ends, strict=True)
        )


class Algebra(Protocol[Value]):
    """What the operations mean for one kind of value."""

    def affine(self, op: Affine, arguments: Sequence[Value]) -> Value:
        """Return the value of an affine operation."""

    def relu(self, op: Relu, arguments: Sequence[Value]) -> Value:
        """Return the value of a ReLU."""

    def maximum(self, op: Maximum, arguments: Sequence[Value]) -> Value:
        """Return the value of a maximum."""


RULES: Mapping[type, Callable[[Algebra[Any]], Callable[[Any, Sequence[Any]], Any]]] = {
    Affine: lambda algebra: algebra.affine,
    Relu: lambda algebra: algebra.relu,
    Maximum: lambda algebra: algebra.maximum,
}
"""Which rule of an algebra serves which operation; inputs are given, not computed."""


def walk(
    network: Network,
    algebra: Algebra[Value],
    inputs: Sequence[Value],
    refine: Callable[[Node, Value, Mapping[str, Value]], Value] | None = None,
) -> dict[str, Value]:
    """Evaluate every node of a network in an algebra.

    Parameters
    ----------
    network : Network
    algebra : Algebra
    inputs : sequence
        One value for each input node, in order.
    refine : callable or None
        Given a node, its value and the values so far, returns the value to keep: a tighter enclosure, say.

    Returns
    -------
    dict
        Each node's value under its name.
    """
    given = dict(zip(network.inputs, inputs, strict=True))
    values: dict[str, Value] = {}
    for node in network.nodes:
        if isinstance(node.op, Input):
            values[node.name] = given[node.name]
            continue
        rule = RULES[type(node.op)](algebra)
        value = rule(node.op, [values[name] for name in node.arguments])
        values[node.name] = value if refine is None else refine(node, value, values)
    return values


def dense_network(weights: Sequence[FloatArray], biases: Sequence[FloatArray]) -> Network:
    """Build a fully connected ReLU network; the last layer has no activation.

    Parameters
    ----------
    weights : sequence of ndarray, shape (size_out, size_in)
        One matrix a layer.
    biases : sequence of ndarray, shape (size_out,)

    Returns
    -------
    Network
        With nodes ``input``, ``affine_1``, ``relu_1``, ...
    """
    nodes = [Node("input", Input(weights[0].shape[1]))]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
        op = Affine((Dense(np.asarray(weight, dtype=np.float64)),), np.asarray(bias, dtype=np.float64))
        nodes.append(Node(f"affine_{i}", op, (nodes[-1].name,)))
        if i < len(weights):
            nodes.append(Node(f"relu_{i}", Relu(op.size_out), (nodes[-1].name,)))
    return Network(tuple(nodes), (nodes[-1].name,))
