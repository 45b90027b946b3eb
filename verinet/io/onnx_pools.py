"""Operators that gather many entries into one: pools and reductions over axes."""

import math
from collections.abc import Mapping

import numpy as np

from verinet.io.exact import exact_reciprocal
from verinet.io.onnx_call import Call
from verinet.io.onnx_graph import Tensor, Value, indices_of
from verinet.io.onnx_linear import Rule, combine, rounded
from verinet.io.onnx_piecewise import largest
from verinet.io.onnx_windows import Windows, read_windows
from verinet.model import Sparse
from verinet.numeric import IntArray

__all__ = ["POOLS"]


def _pool_windows(call: Call, tensor: Tensor) -> Windows:
    kernel = call.integers("kernel_shape")
    if kernel is None or len(tensor.shape) < 3:
        raise call.fault(f"a pool needs a kernel_shape and an argument with spatial axes, found {tensor.shape}")
    return read_windows(call, tensor.shape[2:], kernel)


def _every_channel(tensor: Tensor, windows: Windows, cells: IntArray) -> IntArray:
    """Repeat one channel's cells for each channel (and batch entry), moved to its place."""
    channels = math.prod(tensor.shape[:2])
    starts = np.arange(channels)[:, None, None] * math.prod(windows.shape_in)
    return np.asarray((starts + cells).reshape(-1, cells.shape[1]))


def _max_pool(call: Call) -> Value:
    call.refuse_extra_outputs()
    tensor = call.tensor()
    windows = _pool_windows(call, tensor)
    places, inside, _ = windows.cells()
    if not inside.any(axis=1).all():
        raise call.refusal("a window lies in the padding alone, its maximum is minus infinity", "use smaller pads")
    call.check_size((math.prod(tensor.shape[:2]), *places.shape))
    members = _every_channel(tensor, windows, places)
    taken = np.tile(inside, (math.prod(tensor.shape[:2]), 1))
    return call.builder.maximum(call.name, tensor, members, tensor.shape[:2] + windows.shape_out, taken)


def _average_pool(call: Call) -> Value:
    tensor = call.tensor()
    windows = _pool_windows(call, tensor)
    places, inside, counted = windows.cells()
    counts = (counted if call.integer("count_include_pad", 0) else inside).sum(axis=1).astype(np.float64)
    if (counts == 0).any():
        raise call.refusal("a window lies in the padding alone", "use smaller pads")
    channels = math.prod(tensor.shape[:2])
    call.check_size((channels, *places.shape))
    inverse, exact = exact_reciprocal(counts)
    rounded(call, exact, "the reciprocals of the window sizes were")
    members, taken = _every_channel(tensor, windows, places), np.tile(inside, (channels, 1))
    rows, cells = np.nonzero(taken)
    weights = np.tile(inverse, channels)[rows]
    average = Sparse.from_entries(rows, members[rows, cells], weights, len(members), tensor.size)
    shape = tensor.shape[:2] + windows.shape_out
    return call.builder.affine(call.name, [(average, tensor)], np.zeros(len(members)), shape)


# Reductions over axes


def _grouped(call: Call, axes: tuple[int, ...] | None, keep: bool) -> tuple[IntArray, tuple[int, ...]]:
    """Return the members of each entry of a reduction, one row each, and the shape of its result."""
    places = indices_of(call.tensor())
    chosen = tuple(range(places.ndim)) if axes is None else tuple(sorted(a + places.ndim if a < 0 else a for a in axes))
    if len(set(chosen)) != len(chosen) or any(not 0 <= a < places.ndim for a in chosen):
        raise call.fault(f"the axes {axes} do not fit the shape {places.shape}")
    rest = tuple(a for a in range(places.ndim) if a not in chosen)
    groups = math.prod(places.shape[a] for a in rest)
    members = places.transpose(rest + chosen).reshape(groups, -1)
    kept = tuple(1 if a in chosen else n for a, n in enumerate(places.shape))
    return members, kept if keep else tuple(places.shape[a] for a in rest)


def _reduction_axes(call: Call) -> tuple[int, ...] | None:
    axes = call.axes()
    if not axes:
        return () if call.integer("noop_with_empty_axes", 0) else None
    return axes


def _reduce(call: Call) -> Value:
    members, shape = _grouped(call, _reduction_axes(call), bool(call.integer("keepdims", 1)))
    return _average(call, members, shape, mean=call.operator == "ReduceMean")


def _average(call: Call, members: IntArray, shape: tuple[int, ...], mean: bool) -> Value:
    tensor = call.tensor()
    inverse, exact = exact_reciprocal(np.array(float(members.shape[1] if mean else 1)))
    rounded(call, exact, "the reciprocal of the number of entries was")
    weights = np.full(members.size, float(inverse))
    rows = np.repeat(np.arange(len(members)), members.shape[1])
    total = Sparse.from_entries(rows, members.ravel(), weights, len(members), tensor.size)
    return call.builder.affine(call.name, [(total, tensor)], np.zeros(len(members)), shape)


def _reduce_max(call: Call) -> Value:
    members, shape = _grouped(call, _reduction_axes(call), bool(call.integer("keepdims", 1)))
    return largest(call, call.tensor(), members, shape, 1.0)


def _reduce_min(call: Call) -> Value:
    members, shape = _grouped(call, _reduction_axes(call), bool(call.integer("keepdims", 1)))
    return largest(call, combine(call, call.auxiliary("negative"), [(-1.0, call.tensor())]), members, shape, -1.0)


def _global_average_pool(call: Call) -> Value:
    members, shape = _grouped(call, tuple(range(2, len(call.tensor().shape))), keep=True)
    return _average(call, members, shape, mean=True)


def _global_max_pool(call: Call) -> Value:
    members, shape = _grouped(call, tuple(range(2, len(call.tensor().shape))), keep=True)
    return largest(call, call.tensor(), members, shape, 1.0)


POOLS: Mapping[str, Rule] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "ReduceMax": _reduce_max,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce_min,
    "ReduceSum": _reduce,
}
"""How each operator becomes an average, a sum or a maximum of groups."""
