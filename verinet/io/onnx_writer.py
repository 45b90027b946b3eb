"""Networks become ONNX files that hold the same numbers and that onnxruntime can run.

A file is in single precision where every parameter is a float32, and in double precision otherwise. onnxruntime has no
double kernel for convolutions, so those are then written as a gather of patches and a matrix product. Sparse maps are
gathers, maxima are gathers with repeated members (a maximum does not mind) and a reduction.
"""

import os
from collections.abc import Callable, Mapping
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verinet.errors import InputError
from verinet.io.files import write_atomically
from verinet.io.onnx_graph import is_identity
from verinet.model import Affine, Convolution, Dense, Input, LinearMap, Maximum, Network, Node, Relu, Sparse
from verinet.numeric import FloatArray, IntArray

if TYPE_CHECKING:
    import onnx

__all__ = ["Precision", "write_onnx"]

OPSET = 13
"""The oldest operator set that has every operator used here in today's form: most tools read it."""

IR_VERSION = 7
"""The file version that came with the operator set."""

LARGEST_FILE = 2**31 - 2**24
"""Protobuf ends at two gigabytes; the rest is left for everything but the parameters."""

Numbers = NDArray[Any]


class Precision(Enum):
    """The float type of a written file."""

    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


def write_onnx(
    network: Network,
    path: str | os.PathLike[str],
    *,
    input_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    dtype: Precision | str = Precision.AUTO,
) -> None:
    """Write a network to an ONNX file; reading it gives the same function, exactly.

    Parameters
    ----------
    network : Network
    path : path-like
        Written in one step: never a half of it.
    input_name : str, optional
        Name of the input, for a network with one; otherwise inputs keep their nodes' names.
    metadata : mapping of str to str, optional
        Kept in the file as its metadata properties.
    dtype : Precision or str
        ``auto`` is float32 if every parameter is a float32 and float64 otherwise.

    Raises
    ------
    InputError
        If float32 is asked for and would round a parameter, or a name does not fit.
    MissingFileError
        If the file cannot be written.

    Notes
    -----
    Inputs and outputs have the shape (1, *shape of their node).
    """
    if input_name is not None and len(network.inputs) != 1:
        raise InputError(
            f"input_name={input_name!r} names one input, but the network has {len(network.inputs)}; leave it out"
        )
    kind = _number_type(network, Precision(dtype))
    if sum(v.size for node in network.nodes for v in _parameters(node)) * np.dtype(kind).itemsize > LARGEST_FILE:
        raise InputError(
            f"one ONNX file holds less than {LARGEST_FILE} bytes, the network needs more; write a smaller one"
        )
    model = _Writer(network, kind, input_name).model()
    for key, value in sorted((metadata or {}).items()):
        model.metadata_props.add(key=key, value=value)
    write_atomically(path, model.SerializeToString(deterministic=True))


def _parameters(node: Node) -> tuple[FloatArray, ...]:
    return (*(m.weights for m in node.op.maps), node.op.bias) if isinstance(node.op, Affine) else ()


def _fits_float32(values: FloatArray) -> bool:
    with np.errstate(over="ignore"):
        return bool((values.astype(np.float32).astype(np.float64) == values).all())


def _number_type(network: Network, wanted: Precision) -> type[np.floating[Any]]:
    if wanted is Precision.FLOAT64:
        return np.float64
    rounded = next((n.name for n in network.nodes if not all(_fits_float32(v) for v in _parameters(n))), None)
    if rounded is None:
        return np.float32
    if wanted is Precision.FLOAT32:
        raise InputError(
            f"node {rounded!r} holds numbers that float32 would round; write the network with dtype='auto'"
        )
    return np.float64


class _Writer:
    """Collects the operators and initialisers of one file.

    The value of each node has the node's name and the shape (1, *shape of the node). Values in between are named after
    the node and their purpose.
    """

    def __init__(self, network: Network, kind: type[np.floating[Any]], input_name: str | None) -> None:
        self._network, self._kind = network, kind
        self._operators: list[onnx.NodeProto] = []
        self._initialisers: list[onnx.TensorProto] = []
        self._values = {name: name for name in network.by_name}
        if input_name is not None:
            self._values[network.inputs[0]] = input_name
        self._taken = set(self._values.values())
        if "" in self._taken or len(self._taken) < len(self._values):
            raise InputError(f"ONNX needs names that are not empty and differ, found input_name={input_name!r}")
        self._shapes: dict[str, tuple[int, ...]] = {}

    def model(self) -> "onnx.ModelProto":
        """Write every node and return the file's contents."""
        from onnx import helper

        network = self._network
        for node in network.nodes:
            if not isinstance(node.op, Input):
                self._finish(node, WRITERS[type(node.op)](self, node))
            self._shapes[self._values[node.name]] = (1, *node.shape)
        inputs = [self._declaration(self._values[name]) for name in network.inputs]
        outputs: list[str] = []
        for name in network.outputs:
            value = self._values[name]
            if name in network.inputs or value in outputs:
                value = self.emit("Identity", [value], self._shapes[value], f"{name}/output")
            outputs.append(value)
        graph = helper.make_graph(
            self._operators, "network", inputs, [self._declaration(value) for value in outputs], self._initialisers
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="verinet")

    def _declaration(self, value: str) -> "onnx.ValueInfoProto":
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self._kind))
        return helper.make_tensor_value_info(value, kind, self._shapes[value])

    def _finish(self, node: Node, value: str) -> None:
        """Give a node's value the node's shape and name."""
        value = self.reshaped(value, (1, *node.shape), node)
        if not self._operators or self._operators[-1].output[0] != value or value in self._values.values():
            self.emit("Identity", [value], (1, *node.shape), f"{node.name}/identity")
        self._operators[-1].output[0] = self._operators[-1].name = node.name

    def argument(self, node: Node, position: int = 0) -> str:
        """Return the value that a node takes."""
        return self._values[node.arguments[position]]

    def shape(self, value: str) -> tuple[int, ...]:
        """Return a value's shape."""
        return self._shapes[value]

    @property
    def is_single(self) -> bool:
        """Whether the file is in single precision."""
        return self._kind is np.float32

    def free_name(self, name: str) -> str:
        """Return a name that nothing has yet, the given one if possible."""
        candidate, count = name, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def emit(self, operator: str, arguments: list[str], shape: tuple[int, ...], name: str, **attributes: Any) -> str:
        """Add an operator and return its result."""
        from onnx import helper

        result = self.free_name(name)
        self._operators.append(helper.make_node(operator, arguments, [result], name=result, **attributes))
        self._shapes[result] = shape
        return result

    def numbers(self, values: FloatArray, name: str) -> str:
        """Store parameters in the file's float type, exactly, and return their name."""
        return self._store(values.astype(self._kind), name)

    def whole_numbers(self, values: IntArray, name: str) -> str:
        """Store indices or sizes and return their name."""
        return self._store(np.asarray(values, dtype=np.int64), name)

    def _store(self, values: Numbers, name: str) -> str:
        from onnx import numpy_helper

        stored = self.free_name(name)
        self._initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), stored))
        return stored

    def reshaped(self, value: str, shape: tuple[int, ...], node: Node) -> str:
        """Return the value under another shape."""
        if self._shapes[value] == shape:
            return value
        sizes = self.whole_numbers(np.array(shape), f"{node.name}/shape")
        return self.emit("Reshape", [value, sizes], shape, f"{node.name}/reshaped")

    def flat(self, value: str, node: Node) -> str:
        """Return the value as one row."""
        return self.reshaped(value, (1, prod(self._shapes[value])), node)


# Operations


def _write_relu(writer: _Writer, node: Node) -> str:
    value = writer.argument(node)
    return writer.emit("Relu", [value], writer.shape(value), f"{node.name}/relu")


def _write_maximum(writer: _Writer, node: Node) -> str:
    op = node.op
    assert isinstance(op, Maximum)
    sizes = np.diff(op.offsets)
    # A shorter group repeats its first member, which leaves its maximum as it is.
    places = op.offsets[:-1, None] + np.arange(sizes.max())
    members = op.members[np.where(places < op.offsets[1:, None], places, op.offsets[:-1, None])]
    gathered = _gather(writer, node, writer.flat(writer.argument(node), node), members)
    return writer.emit("ReduceMax", [gathered], (1, op.size_out), f"{node.name}/maximum", axes=[2], keepdims=0)


def _gather(writer: _Writer, node: Node, row: str, indices: IntArray) -> str:
    """Take entries of a row: the result has the shape (1, *shape of the indices)."""
    stored = writer.whole_numbers(indices, f"{node.name}/indices")
    return writer.emit("Gather", [row, stored], (1, *indices.shape), f"{node.name}/gathered", axis=1)


def _write_affine(writer: _Writer, node: Node) -> str:
    op = node.op
    assert isinstance(op, Affine)
    bias = op.bias
    terms = []
    for position, linear_map in enumerate(op.maps):
        term, bias = MAP_WRITERS[type(linear_map)](writer, node, linear_map, writer.argument(node, position), bias)
        terms.append(term)
    if len({writer.shape(term) for term in terms}) > 1:
        terms = [writer.flat(term, node) for term in terms]
    shape = writer.shape(terms[0])
    if bias.any():
        terms.append(writer.numbers(bias.reshape(shape), f"{node.name}/bias"))
    total = terms[0]
    for term in terms[1:]:
        total = writer.emit("Add", [total, term], shape, f"{node.name}/sum")
    return total


# Linear maps: each returns its result and the bias that is still to be added.


def _write_dense(
    writer: _Writer, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    stored = [writer.numbers(linear_map.weights, f"{node.name}/weights"), writer.numbers(bias, f"{node.name}/bias")]
    row = writer.flat(value, node)
    result = writer.emit("Gemm", [row, *stored], (1, linear_map.size_out), f"{node.name}/gemm", transB=1)
    return result, np.zeros_like(bias)


def _write_convolution(
    writer: _Writer, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    assert isinstance(linear_map, Convolution)
    if not writer.is_single:
        return _write_patches(writer, node, linear_map, value), bias
    arguments = [
        writer.reshaped(value, (1, *linear_map.shape_in), node),
        writer.numbers(linear_map.weights, f"{node.name}/weights"),
    ]
    per_filter = bias.reshape(linear_map.shape_out[0], -1)
    if (per_filter == per_filter[:, :1]).all():
        arguments.append(writer.numbers(per_filter[:, 0], f"{node.name}/bias"))
        bias = np.zeros_like(bias)
    result = writer.emit(
        "Conv",
        arguments,
        (1, *linear_map.shape_out),
        f"{node.name}/conv",
        kernel_shape=linear_map.weights.shape[2:],
        strides=linear_map.strides,
        pads=linear_map.pads,
        dilations=linear_map.dilations,
        group=linear_map.groups,
    )
    return result, bias


def _write_patches(writer: _Writer, node: Node, convolution: Convolution, value: str) -> str:
    """Write a convolution as a gather of the patches it meets and one matrix product for each group."""
    filters, rows, columns = convolution.shape_out
    top, left, bottom, right = convolution.pads
    # The entry behind the last one is a zero that stands for the padding.
    places = np.arange(convolution.size_in).reshape(convolution.shape_in)
    padded = np.pad(places, ((0, 0), (top, bottom), (left, right)), constant_values=convolution.size_in)
    reach = [d * (k - 1) + 1 for d, k in zip(convolution.dilations, convolution.weights.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    patches = windows[
        :,
        :: convolution.strides[0],
        :: convolution.strides[1],
        :: convolution.dilations[0],
        :: convolution.dilations[1],
    ]
    groups, inner = convolution.groups, prod(convolution.weights.shape[1:])
    indices = patches.transpose(0, 3, 4, 1, 2).reshape(groups, inner, rows * columns)
    gathered = _gather(writer, node, _with_zero(writer, node, writer.flat(value, node)), indices)
    matrices = writer.numbers(convolution.weights.reshape(groups, filters // groups, inner), f"{node.name}/weights")
    shape = (1, groups, filters // groups, rows * columns)
    product = writer.emit("MatMul", [matrices, gathered], shape, f"{node.name}/product")
    return writer.reshaped(product, (1, *convolution.shape_out), node)


def _with_zero(writer: _Writer, node: Node, row: str) -> str:
    size = writer.shape(row)[1]
    zero = writer.numbers(np.zeros((1, 1)), f"{node.name}/zero")
    return writer.emit("Concat", [row, zero], (1, size + 1), f"{node.name}/extended", axis=1)


def _write_sparse(
    writer: _Writer, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    assert isinstance(linear_map, Sparse)
    if is_identity(linear_map):
        return value, bias
    lengths = np.diff(linear_map.offsets)
    longest = max(linear_map.longest_row, 1)
    if longest > 1 and 2 * longest > linear_map.size_in:
        return _write_dense(writer, node, _dense(linear_map), value, bias)
    indices = np.full((linear_map.size_out, longest), linear_map.size_in)
    weights = np.zeros((linear_map.size_out, longest))
    within = np.arange(len(linear_map.columns)) - np.repeat(linear_map.offsets[:-1], lengths)
    indices[linear_map.rows, within], weights[linear_map.rows, within] = linear_map.columns, linear_map.weights
    return _write_rows(writer, node, linear_map, value, indices, weights), bias


def _dense(linear_map: Sparse) -> Dense:
    matrix = np.zeros((linear_map.size_out, linear_map.size_in))
    matrix[linear_map.rows, linear_map.columns] = linear_map.weights
    return Dense(matrix)


def _write_rows(
    writer: _Writer, node: Node, linear_map: Sparse, value: str, indices: IntArray, weights: FloatArray
) -> str:
    """Write a sparse map as gather, multiply and sum, each row padded with zeros to the longest."""
    row = writer.flat(value, node)
    if (indices == linear_map.size_in).any():
        row = _with_zero(writer, node, row)
    if indices.shape[1] == 1:
        indices, weights = indices[:, 0], weights[:, 0]
    result = _gather(writer, node, row, indices)
    if not (linear_map.weights == 1).all():
        factors = writer.numbers(weights, f"{node.name}/weights")
        result = writer.emit("Mul", [result, factors], writer.shape(result), f"{node.name}/scaled")
    if indices.ndim == 2:
        axes = writer.whole_numbers(np.array([2]), f"{node.name}/axes")
        result = writer.emit("ReduceSum", [result, axes], (1, len(indices)), f"{node.name}/total", keepdims=0)
    return result


WRITERS: Mapping[type, Callable[[_Writer, Node], str]] = {
    Affine: _write_affine,
    Maximum: _write_maximum,
    Relu: _write_relu,
}
"""How each operation is written; inputs are declared, not computed."""

MAP_WRITERS: Mapping[type, Callable[[_Writer, Node, LinearMap, str, FloatArray], tuple[str, FloatArray]]] = {
    Convolution: _write_convolution,
    Dense: _write_dense,
    Sparse: _write_sparse,
}
"""How each kind of linear map is written."""
