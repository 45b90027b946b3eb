"""The linear piece of a network around a point, in floats: a place to search in, not evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from verinet.model import Affine, Maximum, Network, Relu, walk
from verinet.numeric import FloatArray

__all__ = ["Piece", "piece_around"]


@dataclass(frozen=True, eq=False)
class Piece:
    """``y = gradient @ x + offset`` wherever ``rows @ x + constants >= 0``.

    Parameters
    ----------
    gradient : ndarray, shape (size_out, size_in)
    offset : ndarray, shape (size_out,)
    rows : ndarray, shape (rows, size_in)
    constants : ndarray, shape (rows,)
    """

    gradient: FloatArray
    offset: FloatArray
    rows: FloatArray
    constants: FloatArray


@dataclass(eq=False)
class _Tangents:
    """Vectors with their derivatives: row 0 is the value, the others the derivative by each input."""

    conditions: list[FloatArray] = field(default_factory=list)
    """Each of shape (1 + size_in, conditions): what has to stay at least zero."""

    def affine(self, op: Affine, arguments: Sequence[FloatArray]) -> FloatArray:
        total = np.zeros((len(arguments[0]), op.size_out))
        total[0] = op.bias
        for linear_map, x in zip(op.maps, arguments, strict=True):
            total = total + linear_map.apply(x)
        return total

    def relu(self, op: Relu, arguments: Sequence[FloatArray]) -> FloatArray:
        active = arguments[0][0] > 0
        self.conditions.append(np.where(active, arguments[0], -arguments[0]))
        return np.where(active, arguments[0], 0.0)

    def maximum(self, op: Maximum, arguments: Sequence[FloatArray]) -> FloatArray:
        x = arguments[0]
        winners = np.array([members[np.argmax(x[0, members])] for members in op.groups])
        self.conditions.append(x[:, np.repeat(winners, np.diff(op.offsets))] - x[:, op.members])
        return x[:, winners]


def piece_around(network: Network, x: FloatArray) -> Piece:
    """Linearise a network at a point.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (size_in,)

    Returns
    -------
    Piece
        At a kink, one of the pieces that meet there.
    """
    algebra = _Tangents()
    start = np.concatenate([x[None, :], np.eye(len(x))])
    values = walk(network, algebra, network.split_input(start))
    outputs = np.concatenate([values[name] for name in network.outputs], axis=1)
    conditions = np.concatenate([np.zeros((len(start), 0)), *algebra.conditions], axis=1)
    gradient, rows = outputs[1:].T, conditions[1:].T
    return Piece(gradient, outputs[0] - gradient @ x, rows, conditions[0] - rows @ x)
