"""A network file of any format, with what a question about its tensors needs: their shapes, types and hidden nodes."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verinet.errors import InputError
from verinet.io.names import quoted, suggestion
from verinet.io.nnet import read_nnet
from verinet.io.onnx_file import OnnxFile, float_types, load_onnx
from verinet.io.onnx_linear import ROUNDED_MAP
from verinet.io.onnx_operators import REAL_ONLY
from verinet.io.onnx_reader import read_onnx
from verinet.io.onnx_replay import Replayer
from verinet.model import Network

if TYPE_CHECKING:
    pass

__all__ = [
    "NetworkFile",
    "TensorInterface",
    "is_nnet",
    "read_network",
    "read_network_file",
    "replay_of",
    "tensor_shapes",
]

Runtime = Callable[[Sequence[float]], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class TensorInterface:
    """An input, a hidden node or an output of a network file.

    Parameters
    ----------
    name : str
    shape : tuple of int
    element_type : str
        ONNX's name of it, such as ``float32``; empty for a format without types.
    default : ndarray or None
        The value that an input has unless another is given.
    """

    name: str
    shape: tuple[int, ...]
    element_type: str
    default: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """A network and its tensors, in the order of the file.

    Parameters
    ----------
    path : Path
    network : Network
        Its outputs are the hidden nodes asked for, then the file's outputs.
    inputs, hidden, outputs : tuple of TensorInterface
    runtime : callable or None
        Evaluates the file in its own float type, with the hidden nodes; None for a format without a runtime.
    source : OnnxFile or None
        What a bound on the rounding of the file's own arithmetic can be had from; None where there is none.
    """

    path: Path
    network: Network
    inputs: tuple[TensorInterface, ...]
    hidden: tuple[TensorInterface, ...]
    outputs: tuple[TensorInterface, ...]
    runtime: Runtime | None
    source: OnnxFile | None = None

    @cached_property
    def spelled_out(self) -> Network | None:
        """The network with nodes of its own for each operator of the file; None where its rounding has no bound."""
        return None if self.source is None else read_onnx(self.source, check=False, folded=False)


def is_nnet(path: str | os.PathLike[str]) -> bool:
    """Decide by its name whether a file is in NNet's format."""
    return os.fspath(path).removesuffix(".gz").endswith(".nnet")


def read_network(path: str | os.PathLike[str]) -> Network:
    """Read a network from an ONNX or NNet file.

    Parameters
    ----------
    path : path-like
        ``.nnet``, compressed or not, is NNet; everything else ONNX.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If it cannot be used.
    """
    return read_nnet(path).network if is_nnet(path) else read_onnx(path)


def replay_of(path: str | os.PathLike[str]) -> Runtime | None:
    """Return what evaluates a file in its own float type; the runtime starts when first needed.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    callable or None
        None for NNet, which has no runtime.
    """
    return None if is_nnet(path) else _deferred(path)


def _deferred(source: str | os.PathLike[str] | OnnxFile) -> Runtime:
    started: list[Replayer] = []

    def run(inputs: Sequence[float]) -> NDArray[Any]:
        if not started:
            started.append(Replayer(source))
        return np.asarray(started[0](inputs))

    return run


def tensor_shapes(path: str | os.PathLike[str]) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Return the shapes of a file's inputs and outputs, as the file has them.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    inputs, outputs : tuple of tuple of int
        Of outputs whose batch axis the file leaves open, without that axis.
    """
    file = read_network_file(path)
    inputs = [tensor for tensor in file.inputs if tensor.default is None]
    return tuple(t.shape for t in inputs), tuple(t.shape for t in file.outputs)


def read_network_file(path: str | os.PathLike[str], hidden: Sequence[str] = ()) -> NetworkFile:
    """Read a network file with its tensors.

    Parameters
    ----------
    path : path-like
    hidden : sequence of str
        Hidden nodes that become outputs, before the file's own: names of values, or of operators with one result.

    Raises
    ------
    InputError
        If it cannot be used, or has no such node.
    """
    return _read_nnet(Path(path), hidden) if is_nnet(path) else _read_onnx(Path(path), hidden)


def _read_nnet(path: Path, hidden: Sequence[str]) -> NetworkFile:
    network = read_nnet(path).network
    missing = next((name for name in hidden if name not in network.by_name), None)
    if missing is not None:
        raise _missing(path, missing, list(network.by_name))
    tensors = {node.name: TensorInterface(node.name, node.shape, "") for node in network.nodes}
    exposed = Network(network.nodes, (*hidden, *network.outputs), network.notes)
    inside = tuple(tensors[name] for name in hidden)
    outputs = tuple(tensors[name] for name in network.outputs)
    return NetworkFile(path, exposed, (tensors[network.inputs[0]],), inside, outputs, None)


def _read_onnx(path: Path, hidden: Sequence[str]) -> NetworkFile:
    file = load_onnx(path)
    shown = _with_outputs(file, hidden) if hidden else file
    network = read_onnx(shown)
    types = _type_names(shown)
    results = tuple(
        TensorInterface(value.name, _shape_of(value, network.by_name[node].shape), types[value.name])
        for value, node in zip(shown.graph.output, network.outputs, strict=True)
    )
    defaults = {t.name: shown.constants[t.name] for t in shown.graph.initializer}
    inputs = [TensorInterface(declared.name, declared.shape, types[declared.name]) for declared in shown.inputs] + [
        TensorInterface(value.name, defaults[value.name].shape, types[value.name], defaults[value.name])
        for value in shown.graph.input
        if value.name in defaults and value.type.tensor_type.elem_type in float_types()
    ]
    return NetworkFile(
        path,
        network,
        tuple(inputs),
        results[: len(hidden)],
        results[len(hidden) :],
        _deferred(shown),
        shown if _is_rounding_bounded(shown, network) else None,
    )


def _shape_of(value: Any, read: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the file declares for a value, if it is the one that was read but for axes of size one."""
    dims = value.type.tensor_type.shape.dim
    declared = tuple(dim.dim_value if dim.dim_value > 0 else 1 for dim in dims)
    return declared if dims and [d for d in declared if d != 1] == [d for d in read if d != 1] else read


def _is_rounding_bounded(file: OnnxFile, network: Network) -> bool:
    """Decide whether the coefficients of the network's maps bound the rounding of the file's own arithmetic.

    Coefficients that were rounded to float64 do for float32, to which their own error is nothing.
    """
    from onnx import TensorProto

    is_single = all(declared.element_type == TensorProto.FLOAT for declared in file.inputs)
    return not any(node.op_type in REAL_ONLY for node in file.graph.node) and all(
        is_single and note.endswith(ROUNDED_MAP) for note in network.notes
    )


def _with_outputs(file: OnnxFile, hidden: Sequence[str]) -> OnnxFile:
    """Return the file with hidden nodes as outputs before its own, each through an identity of a fresh name."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.output, node.name)}
    taken |= {value.name for value in (*graph.input, *graph.initializer)}
    outputs = list(graph.output)
    del graph.output[:]
    for number, name in enumerate(hidden):
        fresh = f"hidden_{number}"
        while fresh in taken:
            fresh += "_"
        taken.add(fresh)
        graph.node.append(onnx.helper.make_node("Identity", [_value_of(file, name)], [fresh]))
        graph.output.append(onnx.ValueInfoProto(name=fresh))
    graph.output.extend(outputs)
    return OnnxFile(file.path, model.SerializeToString(), model, file.opset)


def _value_of(file: OnnxFile, name: str) -> str:
    """Return the value that a hidden node's name means: a value of that name, or the one result of an operator."""
    values = [result for node in file.graph.node for result in node.output if result]
    values += [declared.name for declared in file.inputs]
    named = [result for node in file.graph.node if node.name == name for result in node.output if result]
    found: dict[str, None] = dict.fromkeys([*(value for value in values if value == name), *named])
    if not found:
        names = [node.name for node in file.graph.node if node.name]
        raise _missing(file.path, name, [*dict.fromkeys([*names, *values])])
    if len(found) > 1:
        raise InputError(
            f"{file.path}: the hidden node {quoted(name)} may mean {' or '.join(map(quoted, found))}; name the value"
        )
    return next(iter(found))


def _missing(path: Path, name: str, known: Sequence[str]) -> InputError:
    return InputError(f"{path}: there is no hidden node {quoted(name)} ({suggestion(name, known)})")


def _type_names(file: OnnxFile) -> dict[str, str]:
    """Return the element type of every input and output."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(file.model)
    except Exception:
        # Whatever it stumbles over, the file's own declarations remain.
        inferred = file.model
    values: Sequence[onnx.ValueInfoProto] = [*inferred.graph.input, *inferred.graph.output]
    return {value.name: _type_name(value.type.tensor_type.elem_type) for value in values}


def _type_name(number: int) -> str:
    from onnx import TensorProto

    known: dict[int, str] = {value: name.lower() for name, value in TensorProto.DataType.items()}
    name = known.get(number, "undefined")
    return {"float": "float32", "double": "float64", "undefined": ""}.get(name, name)
