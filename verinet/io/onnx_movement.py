"""Operators that only move entries: each is a rule from an array of indices to the array of the result's indices.

One rule serves both kinds of value: a constant's entries are looked up, and a tensor's movement becomes a selection, or
nothing at all where the order of the entries stays.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from verinet.io.onnx_call import Call
from verinet.io.onnx_graph import Tensor, Value, indices_of
from verinet.numeric import IntArray

__all__ = ["MOVEMENTS", "move"]

Movement = Callable[[Call, IntArray], IntArray | Sequence[IntArray]]

FILL = -1
"""The index that stands for a constant entry, which only Pad makes."""


def move(call: Call, rule: Movement) -> tuple[Value, ...]:
    """Apply a movement to the operator's first argument."""
    source = call.argument(0)
    moved = rule(call, indices_of(source))
    parts = [moved] if isinstance(moved, np.ndarray) else moved
    fill = _pad_value(call) if call.operator == "Pad" else 0.0
    return tuple(_pick(call, source, part, name, fill) for part, name in zip(parts, call.node.output, strict=False))


def _pick(call: Call, source: Value, indices: IntArray, name: str, fill: float) -> Value:
    if isinstance(source, Tensor):
        return call.builder.select(name, source, indices, fill)
    if not (indices == FILL).any():
        return source.ravel()[indices]
    return np.where(indices == FILL, np.asarray(fill, dtype=source.dtype), source.ravel()[indices])


def _stay(call: Call, indices: IntArray) -> IntArray:
    return indices


def _dropout(call: Call, indices: IntArray) -> IntArray:
    call.refuse_extra_outputs()
    if call.given(2) and bool(call.constant(2).any()):
        raise call.refusal("it is in training mode, where it is random", "export the network for inference")
    return indices


def _reshape(call: Call, indices: IntArray) -> IntArray:
    wanted = call.whole_numbers(1)
    if call.integer("allowzero", 0) == 0:
        wanted = tuple(indices.shape[i] if size == 0 else size for i, size in enumerate(wanted))
    return indices.reshape(wanted)


def _flatten(call: Call, indices: IntArray) -> IntArray:
    axis = call.integer("axis", 1)
    if not -indices.ndim <= axis <= indices.ndim:
        raise call.fault(f"axis {axis} does not exist in the shape {indices.shape}")
    axis = axis + indices.ndim if axis < 0 else axis
    return indices.reshape((int(np.prod(indices.shape[:axis])), -1))


def _transpose(call: Call, indices: IntArray) -> IntArray:
    return indices.transpose(call.integers("perm"))


def _squeeze(call: Call, indices: IntArray) -> IntArray:
    return np.squeeze(indices, call.axes())


def _unsqueeze(call: Call, indices: IntArray) -> IntArray:
    axes = call.axes()
    if axes is None:
        raise call.fault("its axes are missing")
    return np.expand_dims(indices, axes)


def _expand(call: Call, indices: IntArray) -> IntArray:
    wanted = call.whole_numbers(1)
    call.check_size(wanted)
    shape = np.broadcast_shapes(indices.shape, wanted)
    call.check_size(shape)
    return np.broadcast_to(indices, shape)


def _tile(call: Call, indices: IntArray) -> IntArray:
    repeats = call.whole_numbers(1)
    if len(repeats) != indices.ndim:
        raise call.fault(f"expected one repeat for each of {indices.ndim} axes, found {len(repeats)}")
    call.check_size([n * k for n, k in zip(indices.shape, repeats, strict=True)])
    return np.tile(indices, repeats)


def _gather(call: Call, indices: IntArray) -> IntArray:
    chosen = call.constant(1)
    if chosen.dtype.kind not in "iu":
        raise call.fault(f"expected whole numbers for indices, found {chosen.dtype}")
    return np.asarray(np.take(indices, chosen, axis=call.integer("axis", 0)))


def _slice(call: Call, indices: IntArray) -> IntArray:
    if call.opset < 10:
        starts, ends = call.integers("starts") or (), call.integers("ends") or ()
        axes, steps = call.integers("axes"), None
    else:
        starts, ends = call.whole_numbers(1), call.whole_numbers(2)
        axes = call.whole_numbers(3) if call.given(3) else None
        steps = call.whole_numbers(4) if call.given(4) else None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        indices = np.take(indices, _range(indices.shape[axis], start, end, step), axis=axis)
    return indices


def _range(size: int, start: int, end: int, step: int) -> IntArray:
    """Return the places that a slice takes; ends beyond the axis are cut, as ONNX has it."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return np.arange(min(max(start, 0), size), min(max(end, 0), size), step)
    # Backwards, -1 is the place before the first.
    return np.arange(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)


def _split(call: Call, indices: IntArray) -> Sequence[IntArray]:
    axis, parts = call.integer("axis", 0), len(call.node.output)
    size = indices.shape[axis]
    sizes = call.integers("split") or (call.whole_numbers(1) if call.given(1) else None)
    if sizes is None:
        # From opset 18 on, the last part may be smaller than the others.
        count = call.integer("num_outputs", parts)
        chunk = -(-size // count)
        sizes = (*((chunk,) * (count - 1)), size - chunk * (count - 1))
    if sum(sizes) != size or len(sizes) != parts or min(sizes) < 0:
        raise call.fault(f"parts of sizes {sizes} do not make up an axis of {size} for {parts} results")
    return np.split(indices, np.cumsum(sizes)[:-1], axis=axis)


def _pad_value(call: Call) -> float:
    if call.opset < 11:
        return call.number("value", 0.0)
    value = call.constant(2) if call.given(2) else np.zeros(1)
    if value.size != 1 or not np.isfinite(value).all():
        raise call.fault("expected one finite number to pad with")
    return float(value.ravel()[0])


def _pad(call: Call, indices: IntArray) -> IntArray:
    pads = call.integers("pads") if call.opset < 11 else call.whole_numbers(1)
    axes = call.whole_numbers(3) if call.given(3) else tuple(range(indices.ndim))
    if pads is None or len(pads) != 2 * len(axes):
        raise call.fault(f"expected two pads for each of {len(axes)} axes, found {pads}")
    before, after = np.zeros((2, indices.ndim), dtype=np.int64)
    before[list(axes)], after[list(axes)] = pads[: len(axes)], pads[len(axes) :]
    call.check_size([n + b + a for n, b, a in zip(indices.shape, before, after, strict=True)])
    mode = call.text("mode", "constant")
    if mode not in ("constant", "edge", "reflect"):
        raise call.refusal(f"mode {mode!r}", "pad with a constant, by reflection, or with the edge")
    widths = [(max(int(b), 0), max(int(a), 0)) for b, a in zip(before, after, strict=True)]
    if mode == "constant":
        padded = np.pad(indices, widths, mode="constant", constant_values=FILL)
    elif (before < 0).any() or (after < 0).any():
        raise call.refusal(f"negative pads in mode {mode!r}", "use Slice to cut")
    else:
        padded = np.pad(indices, widths, mode="edge" if mode == "edge" else "reflect")
    # A negative pad cuts.
    cuts = [slice(max(-int(b), 0), n - max(-int(a), 0)) for n, b, a in zip(padded.shape, before, after, strict=True)]
    return padded[tuple(cuts)]


MOVEMENTS: Mapping[str, Movement] = {
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _stay,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""How each operator moves the entries of its first argument."""
