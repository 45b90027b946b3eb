"""Networks become ONNX files that hold the same numbers and that onnxruntime can run.

A file is in single precision where every parameter is a float32, and in double precision otherwise. onnxruntime has no
double kernel for convolutions, so those are then written as a gather of patches and a matrix product. Maxima and sums
over windows that tile an image are pools: MaxPool, and ReduceSum, since an average would round. Other sparse maps are
gathers, other maxima are gathers with repeated members (a maximum does not mind) and a reduction.
"""

import os
from collections.abc import Callable, Mapping
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from verinet.errors import InputError
from verinet.io.files import write_atomically
from verinet.io.onnx_assembly import OnnxAssembly
from verinet.io.onnx_graph import is_identity
from verinet.io.onnx_tiling import tiles_of
from verinet.model import Affine, Convolution, Dense, Input, LinearMap, Maximum, Network, Node, Relu, Sparse
from verinet.numeric import FloatArray, IntArray

if TYPE_CHECKING:
    pass

__all__ = ["Precision", "write_onnx"]

LARGEST_FILE = 2**31 - 2**24
"""Protobuf ends at two gigabytes; the rest is left for everything but the parameters."""


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
    kind = _number_type(network, _precision(dtype))
    if sum(v.size for node in network.nodes for v in _parameters(node)) * np.dtype(kind).itemsize > LARGEST_FILE:
        raise InputError(
            f"one ONNX file holds less than {LARGEST_FILE} bytes, the network needs more; write a smaller one"
        )
    assembly = OnnxAssembly(network, kind, input_name)
    for node in network.nodes:
        if not isinstance(node.op, Input):
            assembly.finish(node, WRITERS[type(node.op)](assembly, node))
    model = assembly.model()
    for key, value in sorted((metadata or {}).items()):
        model.metadata_props.add(key=key, value=value)
    write_atomically(path, model.SerializeToString(deterministic=True))


def _precision(dtype: Precision | str) -> Precision:
    try:
        return Precision(dtype)
    except ValueError:
        names = ", ".join(repr(precision.value) for precision in Precision)
        raise InputError(f"expected one of {names}, found dtype={dtype!r}") from None


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


# Operations


def _write_relu(assembly: OnnxAssembly, node: Node) -> str:
    value = assembly.argument(node)
    return assembly.emit("Relu", [value], assembly.shape(value), f"{node.name}/relu")


def _write_maximum(assembly: OnnxAssembly, node: Node) -> str:
    op = node.op
    assert isinstance(op, Maximum)
    sizes = np.diff(op.offsets)
    pooled = _max_pool(assembly, node, op) if len(set(sizes)) == 1 else None
    if pooled is not None:
        return pooled
    # A shorter group repeats its first member, which leaves its maximum as it is.
    places = op.offsets[:-1, None] + np.arange(sizes.max())
    members = op.members[np.where(places < op.offsets[1:, None], places, op.offsets[:-1, None])]
    gathered = _gather(assembly, node, assembly.flat(assembly.argument(node), node), members)
    return assembly.emit("ReduceMax", [gathered], (1, op.size_out), f"{node.name}/maximum", axes=[2], keepdims=0)


def _max_pool(assembly: OnnxAssembly, node: Node, op: Maximum) -> str | None:
    """Write a maximum over windows that tile an image; None if it is another."""
    value = assembly.argument(node)
    shape = assembly.shape(value)
    window = tiles_of(op.members.reshape(op.size_out, -1), shape)
    # Of a window of one entry nothing is pooled; double precision is newer than the pool.
    if window is None or window == (1, 1) or not assembly.is_single:
        return None
    (height, width), (_, channels, rows, columns) = window, shape
    result = (1, channels, rows // height, columns // width)
    return assembly.emit("MaxPool", [value], result, f"{node.name}/pool", kernel_shape=window, strides=window)


def _gather(assembly: OnnxAssembly, node: Node, row: str, indices: IntArray) -> str:
    """Take entries of a row: the result has the shape (1, *shape of the indices)."""
    stored = assembly.whole_numbers(indices, f"{node.name}/indices")
    return assembly.emit("Gather", [row, stored], (1, *indices.shape), f"{node.name}/gathered", axis=1)


def _write_affine(assembly: OnnxAssembly, node: Node) -> str:
    op = node.op
    assert isinstance(op, Affine)
    bias = op.bias
    terms = []
    for position, linear_map in enumerate(op.maps):
        term, bias = MAP_WRITERS[type(linear_map)](assembly, node, linear_map, assembly.argument(node, position), bias)
        terms.append(term)
    if len({assembly.shape(term) for term in terms}) > 1:
        terms = [assembly.flat(term, node) for term in terms]
    shape = assembly.shape(terms[0])
    if bias.any():
        terms.append(assembly.numbers(bias.reshape(shape), f"{node.name}/bias"))
    total = terms[0]
    for term in terms[1:]:
        total = assembly.emit("Add", [total, term], shape, f"{node.name}/sum")
    return total


# Linear maps: each returns its result and the bias that is still to be added.


def _write_dense(
    assembly: OnnxAssembly, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    stored = [assembly.numbers(linear_map.weights, f"{node.name}/weights"), assembly.numbers(bias, f"{node.name}/bias")]
    row = assembly.flat(value, node)
    result = assembly.emit("Gemm", [row, *stored], (1, linear_map.size_out), f"{node.name}/gemm", transB=1)
    return result, np.zeros_like(bias)


def _write_convolution(
    assembly: OnnxAssembly, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    assert isinstance(linear_map, Convolution)
    if not assembly.is_single:
        return _write_patches(assembly, node, linear_map, value), bias
    arguments = [
        assembly.reshaped(value, (1, *linear_map.shape_in), node),
        assembly.numbers(linear_map.weights, f"{node.name}/weights"),
    ]
    per_filter = bias.reshape(linear_map.shape_out[0], -1)
    if (per_filter == per_filter[:, :1]).all():
        arguments.append(assembly.numbers(per_filter[:, 0], f"{node.name}/bias"))
        bias = np.zeros_like(bias)
    result = assembly.emit(
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


def _write_patches(assembly: OnnxAssembly, node: Node, convolution: Convolution, value: str) -> str:
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
    gathered = _gather(assembly, node, _with_zero(assembly, node, assembly.flat(value, node)), indices)
    matrices = assembly.numbers(convolution.weights.reshape(groups, filters // groups, inner), f"{node.name}/weights")
    shape = (1, groups, filters // groups, rows * columns)
    product = assembly.emit("MatMul", [matrices, gathered], shape, f"{node.name}/product")
    return assembly.reshaped(product, (1, *convolution.shape_out), node)


def _with_zero(assembly: OnnxAssembly, node: Node, row: str) -> str:
    size = assembly.shape(row)[1]
    zero = assembly.numbers(np.zeros((1, 1)), f"{node.name}/zero")
    return assembly.emit("Concat", [row, zero], (1, size + 1), f"{node.name}/extended", axis=1)


def _write_sparse(
    assembly: OnnxAssembly, node: Node, linear_map: LinearMap, value: str, bias: FloatArray
) -> tuple[str, FloatArray]:
    assert isinstance(linear_map, Sparse)
    if is_identity(linear_map):
        return value, bias
    lengths = np.diff(linear_map.offsets)
    pooled = _sum_pool(assembly, node, linear_map, value) if len(set(lengths)) == 1 else None
    if pooled is not None:
        return pooled, bias
    longest = max(linear_map.longest_row, 1)
    if longest > 1 and 2 * longest > linear_map.size_in:
        return _write_dense(assembly, node, _dense(linear_map), value, bias)
    indices = np.full((linear_map.size_out, longest), linear_map.size_in)
    weights = np.zeros((linear_map.size_out, longest))
    within = np.arange(len(linear_map.columns)) - np.repeat(linear_map.offsets[:-1], lengths)
    indices[linear_map.rows, within], weights[linear_map.rows, within] = linear_map.columns, linear_map.weights
    return _write_rows(assembly, node, linear_map, value, indices, weights), bias


def _sum_pool(assembly: OnnxAssembly, node: Node, linear_map: Sparse, value: str) -> str | None:
    """Write a sum over windows that tile an image; None if the map is another."""
    shape = assembly.shape(value)
    window = tiles_of(linear_map.columns.reshape(linear_map.size_out, -1), shape)
    if window is None or window == (1, 1) or not (linear_map.weights == 1).all():
        return None
    (height, width), (_, channels, rows, columns) = window, shape
    down, across = rows // height, columns // width
    split = assembly.reshaped(value, (channels, down, height, across, width), node)
    axes = assembly.whole_numbers(np.array([2, 4]), f"{node.name}/axes")
    total = assembly.emit("ReduceSum", [split, axes], (channels, down, across), f"{node.name}/total", keepdims=0)
    return assembly.reshaped(total, (1, channels, down, across), node)


def _dense(linear_map: Sparse) -> Dense:
    matrix = np.zeros((linear_map.size_out, linear_map.size_in))
    matrix[linear_map.rows, linear_map.columns] = linear_map.weights
    return Dense(matrix)


def _write_rows(
    assembly: OnnxAssembly, node: Node, linear_map: Sparse, value: str, indices: IntArray, weights: FloatArray
) -> str:
    """Write a sparse map as gather, multiply and sum, each row padded with zeros to the longest."""
    row = assembly.flat(value, node)
    if (indices == linear_map.size_in).any():
        row = _with_zero(assembly, node, row)
    if indices.shape[1] == 1:
        indices, weights = indices[:, 0], weights[:, 0]
    result = _gather(assembly, node, row, indices)
    if not (linear_map.weights == 1).all():
        factors = assembly.numbers(weights, f"{node.name}/weights")
        result = assembly.emit("Mul", [result, factors], assembly.shape(result), f"{node.name}/scaled")
    if indices.ndim == 2:
        axes = assembly.whole_numbers(np.array([2]), f"{node.name}/axes")
        result = assembly.emit("ReduceSum", [result, axes], (1, len(indices)), f"{node.name}/total", keepdims=0)
    return result


WRITERS: Mapping[type, Callable[[OnnxAssembly, Node], str]] = {
    Affine: _write_affine,
    Maximum: _write_maximum,
    Relu: _write_relu,
}
"""How each operation is written; inputs are declared, not computed."""

MAP_WRITERS: Mapping[type, Callable[[OnnxAssembly, Node, LinearMap, str, FloatArray], tuple[str, FloatArray]]] = {
    Convolution: _write_convolution,
    Dense: _write_dense,
    Sparse: _write_sparse,
}
"""How each kind of linear map is written."""
