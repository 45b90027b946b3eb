"""ONNX files become networks: an interpreter over the graph, and a report of what it made of each node.

Each value of the file is a constant or a tensor under ONNX's own shape, batch axis included (a symbolic batch reads as
1). The network's vectors are those tensors flattened in C order; a node's shape is kept without a leading batch axis of
one. Floats are read exactly, so the network is the exact real function of the file's numbers; a rewrite that must round
(batch normalisation, averages over other than a power of two) makes the rounded float64 map the network and leaves a
note in `Network.notes`.
"""

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from verinet.errors import FileFormatError, UnsupportedOperatorError
from verinet.io.folding import fold
from verinet.io.onnx_call import Call
from verinet.io.onnx_file import OnnxFile, load_onnx
from verinet.io.onnx_graph import GraphBuilder, Tensor, Value, model_shape
from verinet.io.onnx_operators import SUPPORTED, apply
from verinet.model import Affine, Input, Network, Sparse

if TYPE_CHECKING:
    import onnx

__all__ = ["OperatorReport", "Outcome", "inspect_onnx", "read_onnx"]


class Outcome(Enum):
    """What becomes of an operator."""

    SUPPORTED = "supported"
    FOLDED = "folded"
    REFUSED = "refused"


@dataclass(frozen=True)
class OperatorReport:
    """What becomes of one node of a file.

    Parameters
    ----------
    node : str
        The node's name, or its first result's where it has none.
    operator : str
    outcome : Outcome
    detail : str
        Why, or into what.
    """

    node: str
    operator: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class _Unreadable:
    """A result of a refused operator, or of one behind it."""


@dataclass
class _Reading:
    """A graph as far as it was interpreted."""

    file: OnnxFile
    builder: GraphBuilder
    values: dict[str, Value | _Unreadable] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)
    made: dict[int, tuple[str, ...]] = field(default_factory=dict)
    unused: frozenset[int] = frozenset()


def read_onnx(path: str | os.PathLike[str] | OnnxFile, *, check: bool = True, folded: bool = True) -> Network:
    """Read a network from an ONNX file.

    Parameters
    ----------
    path : path-like or OnnxFile
    check : bool
        Whether to compare the network with onnxruntime's evaluation of the file at random points.
    folded : bool
        Whether maps that follow each other become one where that is exact. Without it every operator of the file has
        nodes of its own, which is what a bound on the file's rounding needs.

    Returns
    -------
    Network
        Inputs and outputs are named as in the file; the other nodes carry the names of the file's values.

    Raises
    ------
    MissingFileError
        If the file cannot be read.
    UnsupportedOperatorError
        If it uses an operator, or an attribute of one, that cannot be read.
    FileFormatError
        If it contradicts itself, or onnxruntime computes something else.

    Notes
    -----
    The network is the real function of the stored numbers, without the rounding of the file's own float type. The
    comparison with onnxruntime guards against a misread operator; it proves nothing.
    """
    file = path if isinstance(path, OnnxFile) else load_onnx(path)
    reading = _interpret(file)
    if reading.refusals:
        first, *others = reading.refusals.values()
        more = f" (and {len(others)} more nodes: see `verinet inspect`)" if others else ""
        raise UnsupportedOperatorError(f"{file.path}: {first}{more}")
    network = _network(reading, folded)
    if check:
        from verinet.io.onnx_gate import check_against_runtime

        check_against_runtime(network, file)
    return network


def inspect_onnx(path: str | os.PathLike[str]) -> tuple[OperatorReport, ...]:
    """Report what becomes of every node of an ONNX file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tuple of OperatorReport
        In the order of the file. Behind a refused operator shapes are not known: there an operator counts as supported
        by its name.

    Raises
    ------
    MissingFileError
        If the file cannot be read.
    FileFormatError
        If it contradicts itself.
    """
    reading = _interpret(load_onnx(path))
    kept = frozenset(reading.builder.nodes) if reading.refusals else _kept_nodes(reading)
    reports = []
    for position, node in enumerate(reading.file.graph.node):
        name = node.name or next((name for name in node.output if name), "")
        reports.append(OperatorReport(name, node.op_type, *_outcome(reading, position, kept)))
    return tuple(reports)


def _kept_nodes(reading: _Reading) -> frozenset[str]:
    outputs = [tensor.node for tensor in _output_tensors(reading).values()]
    return frozenset(node.name for node in fold(tuple(reading.builder.nodes.values()), outputs))


def _outcome(reading: _Reading, position: int, kept: Set[str]) -> tuple[Outcome, str]:
    if position in reading.refusals:
        return Outcome.REFUSED, reading.refusals[position]
    if position in reading.unused:
        return Outcome.FOLDED, "no output depends on its result"
    results = [reading.values[name] for name in reading.file.graph.node[position].output if name in reading.values]
    if any(isinstance(result, _Unreadable) for result in results):
        return Outcome.SUPPORTED, "by its name; it lies behind a refused operator"
    if not any(isinstance(result, Tensor) for result in results):
        return Outcome.FOLDED, "a constant"
    made = reading.made[position]
    if not made:
        return Outcome.FOLDED, "it changes the shape or the type only"
    kinds = [type(reading.builder.nodes[name].op).__name__ for name in made if name in kept]
    if kinds:
        return Outcome.SUPPORTED, f"becomes {', '.join(kinds)}"
    return Outcome.FOLDED, "exactly, into the map that reads it"


# Interpretation


def _interpret(file: OnnxFile) -> _Reading:
    graph = file.graph
    _check_names(file)
    reading = _Reading(file, GraphBuilder(name for node in graph.node for name in node.output))
    reading.values.update(file.constants)
    for declaration in file.inputs:
        reading.values[declaration.name] = reading.builder.add(
            declaration.name, Input(int(np.prod(declaration.shape))), [], declaration.shape
        )
    needed = _needed(graph)
    reading.unused = frozenset(range(len(graph.node))) - needed
    used = frozenset(name for i in needed for name in graph.node[i].input) | {value.name for value in graph.output}
    for position in sorted(needed):
        _step(reading, position, used)
    for value in graph.output:
        if value.name not in reading.values:
            raise FileFormatError(f"{file.path}: nothing computes the output {value.name!r}; export the model again")
    return reading


def _check_names(file: OnnxFile) -> None:
    names = [t.name for t in file.graph.initializer] + [d.name for d in file.inputs]
    names += [name for node in file.graph.node for name in node.output if name]
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise FileFormatError(f"{file.path}: the value {repeated!r} is computed twice; export the model again")
    if len({value.name for value in file.graph.output}) < len(file.graph.output):
        raise FileFormatError(f"{file.path}: an output is listed twice; export the model again")


def _needed(graph: "onnx.GraphProto") -> frozenset[int]:
    """Return the positions of the nodes that some output depends on."""
    producer = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needed: set[int] = set()
    pending = [value.name for value in graph.output]
    while pending:
        position = producer.get(pending.pop())
        if position is not None and position not in needed:
            needed.add(position)
            pending += [name for name in graph.node[position].input if name]
    return frozenset(needed)


def _step(reading: _Reading, position: int, used: frozenset[str]) -> None:
    """Interpret one node and keep its results."""
    file, values, node = reading.file, reading.values, reading.file.graph.node[position]
    for name in node.input:
        if name and name not in values:
            raise FileFormatError(
                f"{file.path}: node {node.name or node.output[0]!r} ({node.op_type}) takes {name!r}, which nothing "
                "before it provides; export the model again"
            )
    arguments = [values[name] if name else None for name in node.input]
    known = tuple(value for value in arguments if not isinstance(value, _Unreadable))
    call = Call(node, known, file.opset, reading.builder, used)
    before = len(reading.builder.nodes)
    results: Sequence[Value | _Unreadable] = (_Unreadable(),) * len(node.output)
    try:
        if len(known) == len(arguments):
            results = apply(call)
        elif node.op_type not in SUPPORTED or node.domain not in ("", "ai.onnx"):
            reading.refusals[position] = str(
                call.refusal("the operator is not supported", "see the refusals before it")
            )
    except UnsupportedOperatorError as refusal:
        reading.refusals[position] = str(refusal)
    except FileFormatError as error:
        raise FileFormatError(f"{file.path}: {error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        # numpy's complaints about shapes that do not fit: the file's fault, since nothing else went in.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(f"{file.path}: {call.fault(reason)}") from None
    reading.made[position] = tuple(reading.builder.nodes)[before:]
    values.update({name: value for name, value in zip(node.output, results, strict=False) if name})


# The network


def _network(reading: _Reading, folded: bool) -> Network:
    """Fold the nodes that were built, and give every output a node of its own, under its name where that is free."""
    outputs = _output_tensors(reading)
    built = tuple(reading.builder.nodes.values())
    kept = fold(built, [tensor.node for tensor in outputs.values()]) if folded else built
    taken = {node.name for node in kept}
    new_names = {tensor.node: name for name, tensor in outputs.items() if name not in taken}
    shapes = {tensor.node: model_shape(tensor.shape) for tensor in outputs.values()}
    nodes = tuple(
        replace(
            node,
            name=new_names.get(node.name, node.name),
            arguments=tuple(new_names.get(argument, argument) for argument in node.arguments),
            shape=shapes.get(node.name, node.shape),
        )
        for node in kept
    )
    names = tuple(new_names.get(tensor.node, tensor.node) for tensor in outputs.values())
    return Network(nodes, names, tuple(reading.builder.notes))


def _output_tensors(reading: _Reading) -> dict[str, Tensor]:
    """Return each output's tensor, on a node that is no input and no other output's."""
    names = [value.name for value in reading.file.graph.output]
    found: dict[str, Tensor] = {}
    taken: set[str] = set()
    # A node belongs to the output of its own name first.
    for name in sorted(names, key=lambda name: name not in reading.builder.nodes):
        found[name] = _own_node(reading, name, taken)
        taken.add(found[name].node)
    return {name: found[name] for name in names}


def _own_node(reading: _Reading, name: str, taken: Set[str]) -> Tensor:
    builder, value = reading.builder, reading.values[name]
    if isinstance(value, Tensor):
        if value.node not in taken and not isinstance(builder.nodes[value.node].op, Input):
            return value
        source, linear_map, bias = value, Sparse.identity(value.size), np.zeros(value.size)
    elif isinstance(value, np.ndarray) and value.size and value.dtype == np.float64 and np.isfinite(value).all():
        # An output that depends on no input is an affine map of the first one, without an entry.
        first = reading.file.inputs[0]
        source, nothing = Tensor(first.name, first.shape), np.zeros(0, dtype=np.int64)
        linear_map, bias = Sparse.from_entries(nothing, nothing, np.zeros(0), value.size, source.size), value.ravel()
    else:
        raise FileFormatError(
            f"{reading.file.path}: expected finite floating-point numbers for the output {name!r}, found others; "
            "export the model again"
        )
    free = name if name not in builder.nodes else builder.auxiliary(f"{name}/output")
    return builder.add(free, Affine((linear_map,), bias), [source], value.shape)
