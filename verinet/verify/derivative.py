"""Monotonicity by derivatives: a sufficient test in exact rational arithmetic.

The derivative of a piecewise-linear network on each of its pieces is a product of its matrices with 0/1 diagonals
(ReLU) and selections (maximum). Bounding every diagonal entry by its bounds-implied range, and pulling the output's
derivative back through the network in rational interval arithmetic, encloses all derivatives of all pieces; a
continuous function whose pieces all have derivative >= 0 is non-decreasing along that direction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verinet.bounds import InputSet, Interval, NetworkBounds, bound_network
from verinet.model import Affine, Domain, Input, Maximum, Network, Relu
from verinet.numeric import IntArray, ObjectArray

__all__ = ["derivative_range", "derivative_signs"]


@dataclass(frozen=True, eq=False)
class _Range:
    """Integer bounds over one power-of-two denominator."""

    lower: ObjectArray
    upper: ObjectArray
    denominator: int

    def plus(self, other: "_Range") -> "_Range":
        common = max(self.denominator, other.denominator)
        a, b = common // self.denominator, common // other.denominator
        return _Range(self.lower * a + other.lower * b, self.upper * a + other.upper * b, common)


def _through_affine(op: Affine, position: int, _: Interval, rows: _Range) -> _Range:
    """Return ``rows @ M`` in interval arithmetic, exactly."""
    integers, denominator = op.maps[position].as_integers
    positive = integers.map_weights(lambda w: np.maximum(w, 0))
    negative = integers.map_weights(lambda w: np.minimum(w, 0))
    lower = positive.apply_transposed(rows.lower) + negative.apply_transposed(rows.upper)
    upper = positive.apply_transposed(rows.upper) + negative.apply_transposed(rows.lower)
    return _Range(lower, upper, rows.denominator * denominator)


def _through_relu(op: Relu, _: int, argument: Interval, rows: _Range) -> _Range:
    """Switch off what cannot be active, keep what always is, and enclose the rest."""
    active, inactive = argument.lower >= 0, argument.upper <= 0
    lower = np.where(active, rows.lower, np.where(inactive, 0, np.minimum(rows.lower, 0)))
    upper = np.where(active, rows.upper, np.where(inactive, 0, np.maximum(rows.upper, 0)))
    return _Range(lower, upper, rows.denominator)


def _through_maximum(op: Maximum, _: int, argument: Interval, rows: _Range) -> _Range:
    """Give each member that may win any share, from nothing to all, of its group's derivative."""
    lower, upper = np.zeros(op.size, dtype=object), np.zeros(op.size, dtype=object)
    for j, members in enumerate(op.groups):
        best = argument.lower[members].max()
        rivals = members[argument.upper[members] >= best]
        if len(rivals) == 1:
            lower[rivals] += rows.lower[j]
            upper[rivals] += rows.upper[j]
        else:
            lower[rivals] += min(rows.lower[j], 0)
            upper[rivals] += max(rows.upper[j], 0)
    return _Range(lower, upper, rows.denominator)


PULLBACKS: Mapping[type, Callable[..., _Range]] = {
    Affine: _through_affine,
    Relu: _through_relu,
    Maximum: _through_maximum,
}
"""How a range of derivatives passes an operation, for one of its arguments."""


def derivative_range(bounds: NetworkBounds, output: int) -> tuple[ObjectArray, ObjectArray, int]:
    """Enclose the derivatives of one output with respect to every input, over all pieces that meet the domain.

    Parameters
    ----------
    bounds : NetworkBounds
        Decides which ReLUs and members may be active; rounding-safe.
    output : int

    Returns
    -------
    lower, upper : ndarray of Python int, shape (size_in,)
    denominator : int
        Positive, of all of them.

    Notes
    -----
    Soundness: all arithmetic on derivatives is exact; only the bounds of the pre-activations are floats, and they
    hold for the exact function. At a kink several pieces meet, each of them enclosed.
    """
    network = bounds.network
    sizes = [network.by_name[name].op.size_out for name in network.outputs]
    pending: dict[str, _Range] = {}
    start = 0
    for name, size in zip(network.outputs, sizes, strict=True):
        if start <= output < start + size:
            unit = np.zeros(size, dtype=object)
            unit[output - start] = 1
            pending[name] = _Range(unit, unit, 1)
        start += size
    for node in reversed(network.nodes):
        if isinstance(node.op, Input) or node.name not in pending:
            continue
        rows = pending.pop(node.name)
        for position, name in enumerate(node.arguments):
            part = PULLBACKS[type(node.op)](node.op, position, bounds.intervals[name], rows)
            pending[name] = pending[name].plus(part) if name in pending else part
    zeros = [np.zeros(network.by_name[name].op.size_out, dtype=object) for name in network.inputs]
    parts = [pending.get(name, _Range(zero, zero, 1)) for name, zero in zip(network.inputs, zeros, strict=True)]
    common = max(part.denominator for part in parts)
    factors = [common // part.denominator for part in parts]
    lower = np.concatenate([part.lower * f for part, f in zip(parts, factors, strict=True)])
    upper = np.concatenate([part.upper * f for part, f in zip(parts, factors, strict=True)])
    return lower, upper, common


def derivative_signs(network: Network, domain: Domain, output: int) -> tuple[IntArray, IntArray]:
    """Enclose the signs of an output's derivatives with respect to every input, over all pieces that meet a domain.

    Parameters
    ----------
    network : Network
    domain : Domain
    output : int

    Returns
    -------
    least, most : ndarray of int, shape (size_in,)
        -1, 0 or 1. A least sign of 0 or more: the output never falls as the input rises, all else equal; a most sign
        of 0 or less: it never rises. See `derivative_range` for what is exact.
    """
    lower, upper, _ = derivative_range(bound_network(network, InputSet.of(domain)), output)
    return _signs(lower), _signs(upper)


def _signs(values: ObjectArray) -> IntArray:
    return np.array([(v > 0) - (v < 0) for v in values], dtype=np.int64)
