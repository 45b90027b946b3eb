"""Gradients of linear functionals of a network's outputs, in batches."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from verinet.model import Affine, Input, Maximum, Network, Relu, walk
from verinet.model.evaluation import FloatAlgebra
from verinet.numeric import FloatArray

__all__ = ["input_gradient"]


def _affine(op: Affine, arguments: Sequence[FloatArray], rows: FloatArray) -> list[FloatArray]:
    return [linear_map.apply_transposed(rows) for linear_map in op.maps]


def _relu(op: Relu, arguments: Sequence[FloatArray], rows: FloatArray) -> list[FloatArray]:
    return [rows * (arguments[0] > 0)]


def _maximum(op: Maximum, arguments: Sequence[FloatArray], rows: FloatArray) -> list[FloatArray]:
    result = np.zeros_like(arguments[0])
    points = np.arange(len(rows))
    for j, members in enumerate(op.groups):
        winner = members[np.argmax(arguments[0][:, members], axis=1)]
        result[points, winner] += rows[:, j]
    return [result]


PULLBACKS: Mapping[type, Callable[..., list[FloatArray]]] = {Affine: _affine, Relu: _relu, Maximum: _maximum}
"""How a functional of an operation's result becomes functionals of its arguments."""


def input_gradient(network: Network, x: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the gradient of ``rows . network(x)`` with respect to x, point by point.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (points, size_in)
    rows : ndarray, shape (points, size_out)
        One functional of the outputs for each point.

    Returns
    -------
    ndarray, shape (points, size_in)
        At a kink, the gradient of one of the pieces. Floating point: a direction to search in, not evidence.
    """
    values = walk(network, FloatAlgebra(), network.split_input(x))
    sizes = [network.by_name[name].op.size_out for name in network.outputs]
    pending: dict[str, FloatArray] = {}
    for name, part in zip(network.outputs, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True):
        pending[name] = pending.get(name, 0.0) + part
    for node in reversed(network.nodes):
        if isinstance(node.op, Input) or node.name not in pending:
            continue
        parts = PULLBACKS[type(node.op)](node.op, [values[a] for a in node.arguments], pending.pop(node.name))
        for name, part in zip(node.arguments, parts, strict=True):
            pending[name] = pending.get(name, 0.0) + part
    widths = zip(network.inputs, (network.by_name[name].op.size_out for name in network.inputs), strict=True)
    return np.concatenate([pending.get(name, np.zeros((len(x), width))) for name, width in widths], axis=1)
