"""Where the windows of a convolution or a pool lie: strides, dilations, pads, rounding of the output size."""

from dataclasses import dataclass
from math import prod

import numpy as np

from verinet.io.onnx_call import Call
from verinet.numeric import BoolArray, IntArray

__all__ = ["Windows", "read_windows"]


@dataclass(frozen=True)
class Windows:
    """Sliding windows over the spatial axes; every tuple has one number for each of them.

    Parameters
    ----------
    shape_in, shape_out, kernel, strides, dilations : tuple of int
    before, after : tuple of int
        Padding in front of and behind the input.
    """

    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def cells(self) -> tuple[IntArray, BoolArray, BoolArray]:
        """Return the cells of every window.

        Returns
        -------
        places : ndarray of int, shape (windows, cells)
            Places in the flattened input, meaningful where `inside` holds.
        inside : ndarray of bool, same shape
            Whether the cell belongs to the input.
        counted : ndarray of bool, same shape
            Whether it belongs to the input or its padding: a window at the rounded-up end may reach further.
        """
        axes = len(self.shape_in)
        shape = self.shape_out + self.kernel
        places = np.zeros(shape, dtype=np.int64)
        inside, counted = np.ones(shape, dtype=bool), np.ones(shape, dtype=bool)
        for axis, size in enumerate(self.shape_in):
            starts = np.arange(self.shape_out[axis])[:, None] * self.strides[axis] - self.before[axis]
            coordinate = starts + np.arange(self.kernel[axis])[None, :] * self.dilations[axis]
            spread = [1] * len(shape)
            spread[axis], spread[axes + axis] = coordinate.shape
            coordinate = coordinate.reshape(spread)
            places = places * size + coordinate
            inside = inside & (coordinate >= 0) & (coordinate < size)
            counted = counted & (coordinate < size + self.after[axis])
        matrix = (prod(self.shape_out), prod(self.kernel))
        return places.reshape(matrix), inside.reshape(matrix), counted.reshape(matrix)


def read_windows(call: Call, shape_in: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """Read the windows of a convolution or a pool from its attributes.

    Parameters
    ----------
    call : Call
    shape_in : tuple of int
        The spatial axes of the argument.
    kernel : tuple of int

    Raises
    ------
    FileFormatError
        If the attributes do not fit each other.
    UnsupportedOperatorError
        If their combination is read differently by different tools.
    """
    axes = len(shape_in)
    strides = call.integers("strides") or (1,) * axes
    dilations = call.integers("dilations") or (1,) * axes
    pads = call.integers("pads") or (0,) * (2 * axes)
    if not (len(kernel) == len(strides) == len(dilations) == axes and len(pads) == 2 * axes):
        raise call.fault(f"its attributes do not speak of {axes} spatial axes")
    if min((*kernel, *strides, *dilations)) < 1 or min(pads) < 0:
        raise call.fault("kernel sizes, strides and dilations must be positive and pads not negative")
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    before, after = pads[:axes], pads[axes:]
    auto, ceil = call.text("auto_pad", "NOTSET"), call.integer("ceil_mode", 0)
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.fault(f"auto_pad {auto!r} does not exist")
    if auto != "NOTSET":
        if ceil:
            raise call.refusal("ceil_mode together with auto_pad", "export the network with explicit pads")
        before, after = _automatic_pads(auto, shape_in, strides, reach)
    shape_out = tuple(
        _size_out(n, b, a, r, s, bool(ceil))
        for n, b, a, r, s in zip(shape_in, before, after, reach, strides, strict=True)
    )
    if min(shape_out) < 1:
        raise call.fault(f"a window of {reach} does not fit into the padded input {shape_in}")
    call.check_size(shape_out + kernel)
    return Windows(shape_in, shape_out, kernel, strides, dilations, before, after)


def _automatic_pads(
    auto: str, shape_in: tuple[int, ...], strides: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if auto == "VALID":
        return (0,) * len(shape_in), (0,) * len(shape_in)
    total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(shape_in, strides, reach, strict=True)]
    smaller, larger = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (smaller, larger) if auto == "SAME_UPPER" else (larger, smaller)


def _size_out(size: int, before: int, after: int, reach: int, stride: int, ceil: bool) -> int:
    slack = size + before + after - reach
    if slack < 0:
        return 0
    if not ceil:
        return slack // stride + 1
    count = -(-slack // stride) + 1
    # A window that would start behind the input and its front padding is dropped.
    return count - 1 if (count - 1) * stride >= size + before else count
