"""Operators that are affine maps: sums, products with constants, matrix products, convolutions, batch normalisation.

Constants are exact float64 values of what the file stores, and every rewrite is exact unless it leaves a note.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verinet.io.exact import exact_product, exact_reciprocal, exact_sum
from verinet.io.onnx_call import Call
from verinet.io.onnx_graph import Tensor, Term, Value, indices_of
from verinet.io.onnx_windows import Windows, read_windows
from verinet.model import Convolution, Dense, LinearMap, Sparse
from verinet.numeric import FloatArray

__all__ = ["LINEAR", "ROUNDED_MAP", "Rule", "combine", "rounded"]

Numbers = NDArray[Any]

Rule = Callable[[Call], Value]
"""From an operator and its arguments to its first result."""


ROUNDED_MAP = "the rounded map is the network"
"""How a note ends that speaks of coefficients rounded to float64, each within its last place."""


def rounded(call: Call, exact: bool, what: str) -> None:
    """Leave a note where a rewrite is not exact."""
    if not exact:
        call.builder.note(f"{call.operator} {call.name!r}: {what} rounded to float64; {ROUNDED_MAP}")


# Sums


def combine(call: Call, name: str, parts: Sequence[tuple[float, Value]]) -> Tensor:
    """Add ``sum_i sign_i x_i`` with ONNX's broadcasting.

    Parameters
    ----------
    call : Call
    name : str
        Of the new node.
    parts : sequence of (float, Value)
        Signs 1 or -1, and what they stand before; at least one is a tensor and the constants are finite.
    """
    shape = np.broadcast_shapes(*(value.shape for _, value in parts))
    call.check_size(shape)
    terms: list[Term] = []
    bias, exact = np.zeros(shape), True
    for sign, value in parts:
        if isinstance(value, Tensor):
            columns = np.broadcast_to(indices_of(value), shape).ravel()
            terms.append((_signed(Sparse.selection(columns, value.size), sign), value))
        else:
            bias, fits = exact_sum(bias, np.broadcast_to(sign * value, shape))
            exact = exact and fits
    rounded(call, exact, "a sum of constants was")
    return call.builder.affine(name, terms, bias.ravel(), shape)


def _signed(linear_map: Sparse, sign: float) -> Sparse:
    return linear_map if sign == 1.0 else linear_map.map_weights(np.negative)


def _sum(call: Call) -> Value:
    return combine(call, call.name, [(1.0, value) for value in call.operands()])


def _sub(call: Call) -> Value:
    return combine(call, call.name, [(1.0, call.operand(0)), (-1.0, call.operand(1))])


def _neg(call: Call) -> Value:
    return combine(call, call.name, [(-1.0, call.tensor())])


# Products with constants


def _scale(call: Call, name: str, tensor: Tensor, factor: FloatArray, offset: FloatArray | None = None) -> Tensor:
    """Add ``factor * x + offset`` with broadcasting."""
    shape = np.broadcast_shapes(tensor.shape, factor.shape)
    call.check_size(shape)
    columns = np.broadcast_to(indices_of(tensor), shape).ravel()
    weights = np.broadcast_to(factor, shape).ravel().copy()
    bias = np.zeros(weights.size) if offset is None else np.broadcast_to(offset, shape).ravel()
    scaling = Sparse(weights, columns, np.arange(weights.size + 1), tensor.size)
    return call.builder.affine(name, [(scaling, tensor)], bias, shape)


def _mul(call: Call) -> Value:
    position = 0 if isinstance(call.argument(0), Tensor) else 1
    if isinstance(call.argument(1 - position), Tensor):
        raise call.refusal("a product of two tensors is not piecewise linear", "multiply by constants only")
    return _scale(call, call.name, call.tensor(position), call.weights(1 - position))


def _div(call: Call) -> Value:
    divisor = call.weights(1)
    if (divisor == 0).any():
        raise call.fault(f"division by zero: {call.node.input[1]!r} has a zero entry")
    inverse, exact = exact_reciprocal(divisor)
    if not np.isfinite(inverse).all():
        raise call.fault(f"the divisor {call.node.input[1]!r} is too small to have a reciprocal")
    rounded(call, exact, "the reciprocals of the divisors were")
    return _scale(call, call.name, call.tensor(0), inverse)


def _batch_normalization(call: Call) -> Value:
    call.refuse_extra_outputs()
    tensor = call.tensor()
    if call.integer("training_mode", 0) or not call.integer("spatial", 1):
        raise call.refusal("it is not in inference mode, channel by channel", "export the network for inference")
    scale, shift, mean, variance = (call.weights(i) for i in range(1, 5))
    spread = variance + call.number("epsilon", float(np.float32(1e-5)))
    if (spread <= 0).any():
        raise call.fault(f"the variance {call.node.input[4]!r} plus epsilon must be positive")
    channels = tensor.shape[1] if len(tensor.shape) > 1 else 0
    if any(v.shape != (channels,) for v in (scale, shift, mean, variance)):
        raise call.fault(f"expected one parameter of each kind for each of {channels} channels")
    factor = scale / np.sqrt(spread)
    offset = shift - mean * factor
    rounded(call, False, "the square root and the folded shift were")
    per_channel = (1, channels) + (1,) * (len(tensor.shape) - 2)
    return _scale(call, call.name, tensor, factor.reshape(per_channel), offset.reshape(per_channel))


# Matrix products


def _matrix_product(call: Call, tensor: Tensor, matrix: FloatArray, first: bool) -> tuple[LinearMap, tuple[int, ...]]:
    """Return the map ``x -> x @ matrix`` (or ``matrix @ x``) and the shape of its result, as numpy's matmul has it.

    A tensor of one row (or column) gives a dense matrix, any other a sparse one with the matrix in its blocks.
    """
    places = indices_of(tensor)
    left, right = (places.shape, matrix.shape) if first else (matrix.shape, places.shape)
    inner = left[-1]
    if inner != right[max(len(right) - 2, 0)]:
        raise call.fault(f"the shapes {left} and {right} do not fit in a matrix product")
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    shape = (*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)
    if matrix.ndim == 2 and tensor.size == inner:
        return Dense(np.ascontiguousarray(matrix.T if first else matrix)), shape
    spread_places, spread_weights = _spread(places, first), _spread(matrix, not first)
    full = np.broadcast_shapes(spread_places.shape, spread_weights.shape)
    call.check_size(full)
    sources = np.broadcast_to(spread_places, full).reshape(-1, inner)
    weights = np.broadcast_to(spread_weights, full).reshape(-1, inner)
    target, term = np.nonzero(weights)
    return Sparse.from_entries(target, sources[target, term], weights[target, term], len(weights), tensor.size), shape


def _spread(factor: Numbers, first: bool) -> Numbers:
    """Lay out a factor of a matrix product over the axes (..., row, column, inner)."""
    if first:
        return (factor[None, :] if factor.ndim == 1 else factor)[..., :, None, :]
    return np.swapaxes(factor[:, None] if factor.ndim == 1 else factor, -1, -2)[..., None, :, :]


def _matmul(call: Call) -> Value:
    position = 0 if isinstance(call.argument(0), Tensor) else 1
    if isinstance(call.argument(1 - position), Tensor):
        raise call.refusal("a product of two tensors is not piecewise linear", "multiply by constants only")
    tensor, matrix = call.tensor(position), call.weights(1 - position)
    if not tensor.shape or not matrix.shape:
        raise call.fault("a matrix product needs arguments of at least one axis")
    linear_map, shape = _matrix_product(call, tensor, matrix, position == 0)
    return call.builder.affine(call.name, [(linear_map, tensor)], np.zeros(linear_map.size_out), shape)


def _gemm(call: Call) -> Value:
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    position = 0 if isinstance(call.argument(0), Tensor) else 1
    if isinstance(call.argument(1 - position), Tensor):
        raise call.refusal("a product of two tensors is not piecewise linear", "multiply by constants only")
    tensor, matrix = call.tensor(position), call.weights(1 - position)
    if len(tensor.shape) != 2 or matrix.ndim != 2:
        raise call.fault(f"expected two matrices, found shapes {tensor.shape} and {matrix.shape}")
    if call.integer(("transA", "transB")[position], 0):
        turned = indices_of(tensor).T
        tensor = call.builder.select(call.auxiliary("transposed"), tensor, turned)
    matrix = matrix.T if call.integer(("transA", "transB")[1 - position], 0) else matrix
    matrix = _times(call, matrix, alpha)
    linear_map, shape = _matrix_product(call, tensor, matrix, position == 0)
    terms: list[Term] = [(linear_map, tensor)]
    bias = np.zeros(shape)
    if call.given(2) and beta != 0:
        addend = call.operand(2)
        if np.broadcast_shapes(addend.shape, shape) != shape:
            raise call.fault(f"the addend of shape {addend.shape} does not fit the product of shape {shape}")
        if isinstance(addend, Tensor):
            columns = np.broadcast_to(indices_of(addend), shape).ravel()
            terms.append((Sparse.selection(columns, addend.size).map_weights(lambda w: w * beta), addend))
        else:
            bias = np.broadcast_to(_times(call, addend, beta), shape)
    return call.builder.affine(call.name, terms, bias.ravel(), shape)


def _times(call: Call, values: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return values
    product, exact = exact_product(values, np.array(factor))
    rounded(call, exact, "the weights times alpha or beta were")
    return product


def _conv(call: Call) -> Value:
    tensor, kernel = call.tensor(), call.weights(1)
    axes = kernel.ndim - 2
    if axes not in (1, 2):
        raise call.refusal(f"a kernel of {kernel.ndim} axes", "only 1-D and 2-D convolutions are supported")
    if len(tensor.shape) != axes + 2 or (call.integers("kernel_shape") or kernel.shape[2:]) != kernel.shape[2:]:
        raise call.fault(f"a kernel of shape {kernel.shape} does not fit an argument of shape {tensor.shape}")
    if tensor.shape[0] != 1:
        raise call.refusal(f"a batch of {tensor.shape[0]}", "export the network with a batch of 1")
    windows = read_windows(call, tensor.shape[2:], kernel.shape[2:])
    convolution = _convolution(windows, tensor.shape[1], kernel, call.integer("group", 1))
    bias = call.weights(2) if call.given(2) else np.zeros(len(kernel))
    if bias.shape != (len(kernel),):
        raise call.fault(f"expected one bias for each of {len(kernel)} filters, found shape {bias.shape}")
    spread = np.repeat(bias, math.prod(windows.shape_out))
    return call.builder.affine(call.name, [(convolution, tensor)], spread, (1, len(kernel), *windows.shape_out))


def _convolution(windows: Windows, channels: int, kernel: FloatArray, groups: int) -> Convolution:
    # A convolution of one axis is one of two axes whose first has size one.
    lead = 2 - len(windows.shape_in)
    ones, zeros = (1,) * lead, (0,) * lead
    height, width = ones + windows.shape_in
    top, left = zeros + windows.before
    bottom, right = zeros + windows.after
    row_stride, column_stride = ones + windows.strides
    row_dilation, column_dilation = ones + windows.dilations
    return Convolution(
        kernel.reshape(kernel.shape[:2] + ones + kernel.shape[2:]),
        (channels, height, width),
        (row_stride, column_stride),
        (top, left, bottom, right),
        (row_dilation, column_dilation),
        groups,
    )


LINEAR: Mapping[str, Rule] = {
    "Add": _sum,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "Div": _div,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Mul": _mul,
    "Neg": _neg,
    "Sub": _sub,
    "Sum": _sum,
}
"""How each operator becomes an affine map."""
