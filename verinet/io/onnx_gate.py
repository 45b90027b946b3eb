"""The gate behind the reader: the network that was read must agree with onnxruntime's evaluation of the file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.errors import FileFormatError
from verinet.io.onnx_file import OnnxFile
from verinet.io.onnx_replay import Replayer
from verinet.model import Affine, Maximum, Network, Relu, walk
from verinet.numeric import BoolArray, FloatArray

__all__ = ["GATE_SAFETY", "check_against_runtime"]

GATE_SAFETY = 100.0
"""How many times the expected rounding of the file's float type a difference may be.

The expectation takes rounding errors for independent. In a sum of n terms of one sign they are not, and then exceed it
by up to the square root of n: 100 covers sums of ten thousand terms. For float32 the tolerance comes to about 1e-5 of
the sums involved for each layer; a misread axis, pad or attribute changes values by far more.
"""

GATE_SCALES = (0.0, 0.1, 1.0, 1.0, 1.0, 10.0)
"""Standard deviations of the random points; zero shows the biases alone."""

GATE_SEED = 20250414


@dataclass(frozen=True)
class _FloatType:
    """A float type: the distance from 1 to the next number, and the smallest normal number."""

    epsilon: float
    smallest: float


@dataclass(frozen=True, eq=False)
class _Rounded:
    """Values, and the variance of the rounding error that an evaluation in a coarser type is expected to have."""

    value: FloatArray
    variance: FloatArray


class _RoundingAlgebra:
    """Carries expected rounding errors along, as if they were independent.

    Parameters
    ----------
    unit : float
        Relative error of one operation.
    """

    def __init__(self, unit: float) -> None:
        self._unit = unit

    def affine(self, op: Affine, arguments: Sequence[_Rounded]) -> _Rounded:
        """Add the argument's errors through squared weights, and one new error for each product and sum."""
        value = np.broadcast_to(op.bias, (*arguments[0].value.shape[:-1], len(op.bias)))
        size, variance = np.abs(value), np.zeros_like(value)
        for linear_map, argument in zip(op.maps, arguments, strict=True):
            value = value + linear_map.apply(argument.value)
            size = size + linear_map.map_weights(np.abs).apply(np.abs(argument.value))
            variance = variance + linear_map.map_weights(np.square).apply(argument.variance)
        return _Rounded(value, variance + (op.longest_row + 2) * (self._unit * size) ** 2)

    def relu(self, op: Relu, arguments: Sequence[_Rounded]) -> _Rounded:
        """Keep the error: a ReLU never enlarges one."""
        return _Rounded(np.maximum(arguments[0].value, 0.0), arguments[0].variance)

    def maximum(self, op: Maximum, arguments: Sequence[_Rounded]) -> _Rounded:
        """Keep the largest error of each group."""
        value, variance = (
            np.maximum.reduceat(part[..., op.members], op.offsets[:-1], axis=-1)
            for part in (arguments[0].value, arguments[0].variance)
        )
        return _Rounded(value, variance)


def check_against_runtime(network: Network, file: OnnxFile) -> None:
    """Compare a network with the file it was read from, at random points.

    Parameters
    ----------
    network : Network
    file : OnnxFile

    Raises
    ------
    FileFormatError
        If onnxruntime cannot evaluate the file, or computes something else.

    Notes
    -----
    Points at which the file's float type overflows are left out; agreement at all of them is demanded, and proves
    nothing beyond them.
    """
    replayer = Replayer(file)
    points = _points(network, replayer)
    theirs = np.array([replayer(x) for x in points], dtype=np.float64)
    if theirs.shape[1:] != (network.size_out,):
        raise FileFormatError(
            f"{file.path}: onnxruntime computes {theirs.shape[1]} outputs where {network.size_out} were read; "
            "report this file"
        )
    ours, tolerance = _expectation(network, points, _coarsest_type(file))
    finite: BoolArray = np.asarray(np.isfinite(theirs).all(axis=1))
    if not finite.any():
        raise FileFormatError(f"{file.path}: onnxruntime computes NaN or infinity everywhere; export finite weights")
    excess = np.where(finite[:, None], np.abs(np.where(finite[:, None], theirs, 0.0) - ours) - tolerance, -np.inf)
    if (excess > 0).any():
        point, output = divmod(int(np.argmax(excess)), network.size_out)
        raise FileFormatError(
            f"{file.path}: the network that was read differs from {replayer.engine} at a random point: output {output} "
            f"is {ours[point, output]!r} against {theirs[point, output]!r}; report this file"
        )


def _points(network: Network, replayer: Replayer) -> FloatArray:
    """Return points that the file's input types hold exactly, shape (points, size_in)."""
    generator = np.random.default_rng(GATE_SEED)
    points = np.array([scale * generator.standard_normal(network.size_in) for scale in GATE_SCALES])
    parts = zip(network.split_input(points), replayer.input_types, strict=True)
    return np.concatenate([part.astype(kind).astype(np.float64) for part, kind in parts], axis=-1)


def _expectation(network: Network, points: FloatArray, kind: _FloatType) -> tuple[FloatArray, FloatArray]:
    """Return the outputs in float64 and how far the file's own type may be from them."""
    algebra = _RoundingAlgebra(kind.epsilon)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [_Rounded(part, np.zeros_like(part)) for part in network.split_input(points)]
        values = walk(network, algebra, parts)
    outputs = [values[name] for name in network.outputs]
    spread = np.concatenate([np.sqrt(v.variance) for v in outputs], axis=-1)
    # The largest over the points: folded shifts may cancel at one point where the file's own order of sums does not.
    tolerance = GATE_SAFETY * (spread.max(axis=0) + kind.smallest)
    return np.concatenate([v.value for v in outputs], axis=-1), tolerance


def _coarsest_type(file: OnnxFile) -> _FloatType:
    """Return the float type with the fewest digits among those in which the file computes."""
    from onnx import TensorProto

    known: dict[int, _FloatType] = {
        TensorProto.BFLOAT16: _FloatType(2.0**-7, 2.0**-126),
        TensorProto.FLOAT16: _FloatType(2.0**-10, 2.0**-14),
        TensorProto.FLOAT: _FloatType(2.0**-23, 2.0**-126),
        TensorProto.DOUBLE: _FloatType(2.0**-52, 2.0**-1022),
    }
    kinds = {declaration.element_type for declaration in file.inputs}
    kinds |= {value.type.tensor_type.elem_type for value in file.graph.output}
    kinds |= {tensor.data_type for tensor in file.graph.initializer}
    for node in file.graph.node:
        kinds |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
        kinds |= {a.t.data_type for a in node.attribute if a.HasField("t")}
    return max((known[kind] for kind in kinds if kind in known), key=lambda kind: kind.epsilon)
