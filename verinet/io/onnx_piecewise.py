"""Operators that are ReLUs and maxima of entries: activations, clipping, the maximum and minimum of several tensors."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from verinet.io.exact import exact_sum
from verinet.io.onnx_call import Call
from verinet.io.onnx_graph import Tensor, Term, Value, indices_of
from verinet.io.onnx_linear import Rule, combine
from verinet.model import Sparse
from verinet.numeric import FloatArray, IntArray

__all__ = ["PIECEWISE", "largest", "stack"]

TYPE_LIMITS = (float(np.finfo(np.float32).max), float(np.finfo(np.float64).max), math.inf)
"""A Clip bound of one of these sizes is no bound: exporters write the largest number of a type for "none"."""


# Activations


def _relu(call: Call) -> Value:
    return call.builder.relu(call.name, call.tensor())


def _leaky(call: Call, slopes: FloatArray) -> Value:
    """Add ``max(0, x) + slope min(0, x)`` for any slope."""
    tensor, builder = call.tensor(), call.builder
    if np.broadcast_shapes(slopes.shape, tensor.shape) != tensor.shape:
        raise call.fault(f"slopes of shape {slopes.shape} do not fit an argument of shape {tensor.shape}")
    slope = np.broadcast_to(slopes, tensor.shape).ravel()
    if (slope == 1).all():
        return tensor
    if not slope.any():
        return builder.relu(call.name, tensor)
    positive = builder.relu(call.auxiliary("relu"), tensor)
    rest, exact = exact_sum(np.ones_like(slope), -slope)
    bias = np.zeros(tensor.size)
    if exact:
        terms: list[Term] = [(Sparse.diagonal(slope), tensor), (Sparse.diagonal(rest), positive)]
        return builder.affine(call.name, terms, bias, tensor.shape)
    # 1 - slope would round, so the negative side gets a ReLU of its own.
    turned = combine(call, call.auxiliary("negative"), [(-1.0, tensor)])
    negative = builder.relu(call.auxiliary("negative_relu"), turned)
    terms = [(Sparse.identity(tensor.size), positive), (Sparse.diagonal(-slope), negative)]
    return builder.affine(call.name, terms, bias, tensor.shape)


def _leaky_relu(call: Call) -> Value:
    slope = call.number("alpha", float(np.float32(0.01)))
    if not math.isfinite(slope):
        raise call.fault(f"expected a finite slope, found alpha={slope}")
    return _leaky(call, np.float64(slope) * np.ones(()))


def _prelu(call: Call) -> Value:
    return _leaky(call, call.weights(1))


def _abs(call: Call) -> Value:
    return _leaky(call, -np.ones(()))


def _clip_bound(call: Call, position: int, attribute: str, absent: float) -> float:
    if call.opset < 11:
        bound = call.number(attribute, absent)
    else:
        given = call.constant(position) if call.given(position) else np.array(absent)
        if given.size != 1:
            raise call.fault(f"expected one number for {attribute!r}, found shape {given.shape}")
        bound = float(given.ravel()[0])
    if math.isnan(bound):
        raise call.fault(f"expected a number for {attribute!r}, found NaN")
    return absent if abs(bound) in TYPE_LIMITS and bound * absent > 0 else bound


def _clip(call: Call) -> Value:
    """Add ``low + max(0, x - low) - max(0, x - high)``, or the half of it that has a bound."""
    tensor, builder = call.tensor(), call.builder
    low, high = _clip_bound(call, 1, "min", -math.inf), _clip_bound(call, 2, "max", math.inf)
    if low > high or low == math.inf or high == -math.inf:
        raise call.fault(f"expected min <= max, found min={low} and max={high}")
    parts: list[tuple[float, Value]] = [(1.0, tensor)]
    if low > -math.inf:
        above = combine(call, call.auxiliary("above_min"), [(1.0, tensor), (-1.0, np.array(low))])
        if low == 0 and high == math.inf:
            return builder.relu(call.name, above)
        parts = [(1.0, builder.relu(call.auxiliary("min_relu"), above)), (1.0, np.array(low))]
    if high < math.inf:
        over = combine(call, call.auxiliary("over_max"), [(1.0, tensor), (-1.0, np.array(high))])
        parts.append((-1.0, builder.relu(call.auxiliary("max_relu"), over)))
    return combine(call, call.name, parts)


# Maxima


def stack(
    call: Call, name: str, values: Sequence[Value], places: Sequence[IntArray], shape: tuple[int, ...], sign: float
) -> Tensor:
    """Add the tensor that holds each value's entries, times a sign, at the given places.

    Parameters
    ----------
    call : Call
    name : str
        Of the new node.
    values : sequence of Value
        Their constants are finite.
    places : sequence of ndarray of int
        For each value, of a shape that it broadcasts to: where its entries go.
    shape : tuple of int
        Of the result; the places together are all of its entries.
    sign : float
        1 or -1.
    """
    size = math.prod(shape)
    terms: list[Term] = []
    bias = np.zeros(size)
    for value, rows in zip(values, places, strict=True):
        if isinstance(value, Tensor):
            columns = np.broadcast_to(indices_of(value), rows.shape).ravel()
            signs = np.full(columns.size, sign)
            terms.append((Sparse.from_entries(rows.ravel(), columns, signs, size, value.size), value))
        else:
            bias[rows] = sign * value
    return call.builder.affine(name, terms, bias, shape)


def _extremum(call: Call, sign: float) -> Value:
    """Add the entrywise largest (sign 1) or smallest (sign -1) of several tensors."""
    values = call.operands()
    if len(values) == 1:
        return values[0]
    shape = np.broadcast_shapes(*(v.shape for v in values))
    if sign > 0 and len(values) == 2:
        for value, other in (values, values[::-1]):
            if isinstance(value, Tensor) and value.shape == shape and _is_zero(other):
                return call.builder.relu(call.name, value)
    call.check_size((len(values), *shape))
    size = math.prod(shape)
    places = np.arange(len(values) * size, dtype=np.int64).reshape((len(values), *shape))
    stacked = stack(call, call.auxiliary("stacked"), values, list(places), places.shape, sign)
    return largest(call, stacked, places.reshape(len(values), size).T, shape, sign)


def _is_zero(value: Value) -> bool:
    return not isinstance(value, Tensor) and not value.any()


def largest(call: Call, tensor: Tensor, members: IntArray, shape: tuple[int, ...], sign: float) -> Tensor:
    """Add the maximum of each row of members; for sign -1, of a negated tensor, the minimum of the original."""
    if sign > 0:
        return call.builder.maximum(call.name, tensor, members, shape)
    largest = call.builder.maximum(call.auxiliary("maximum"), tensor, members, shape)
    return combine(call, call.name, [(-1.0, largest)])


def _max(call: Call) -> Value:
    return _extremum(call, 1.0)


def _min(call: Call) -> Value:
    return _extremum(call, -1.0)


PIECEWISE: Mapping[str, Rule] = {
    "Abs": _abs,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "Max": _max,
    "Min": _min,
    "PRelu": _prelu,
    "Relu": _relu,
}
"""How each operator becomes ReLUs or a maximum."""
