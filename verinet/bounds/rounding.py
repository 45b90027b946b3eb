"""How far an evaluation in a float type may be from the exact real function of the same network.

Soundness: the bound holds for every order of summation, with or without fused multiply-adds, in IEEE 754 arithmetic
with gradual underflow and rounding to nearest, where each entry of an affine node is a sum of products of its stored
weights and its argument, up to a few more roundings (`SPARE`). It does not hold for algorithms that multiply other
numbers than those, such as Winograd's convolution, and it must be asked of a network in which each operator of the file
still has nodes of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.bounds.interval import Interval, IntervalAlgebra
from verinet.model import Affine, Maximum, Network, Relu, walk
from verinet.numeric import BoolArray, FloatArray, gamma

__all__ = ["FLOAT_FORMATS", "FloatFormat", "Rounded", "rounding_bounds"]

SPARE = 8
"""Roundings of an entry beside its products and sums: factors of a Gemm, a quotient, the division of an average."""


@dataclass(frozen=True)
class FloatFormat:
    """A binary float type.

    Parameters
    ----------
    name : str
    unit : float
        Relative error of one operation, rounded to nearest.
    smallest : float
        Absolute error of one operation whose result is subnormal, with room for factors that enlarge it later: the
        smallest normal number.
    largest : float
        Values beyond this may overflow.
    """

    name: str
    unit: float
    smallest: float
    largest: float

    def relative(self, roundings: int) -> float:
        """Bound the relative error of a number of roundings, in float64 rounded up; infinite where there is no bound.

        References
        ----------
        Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.
        """
        product = roundings * self.unit
        return float(np.nextafter(product / (1.0 - product) * (1.0 + 2.0**-50), np.inf)) if product < 0.5 else np.inf


FLOAT_FORMATS = {
    "float32": FloatFormat("float32", 2.0**-24, 2.0**-126, 2.0**127),
    "float64": FloatFormat("float64", 2.0**-53, 2.0**-1022, 2.0**1023),
}
"""The types for which rounding can be bounded, under ONNX's names."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """The exact values of a node over a box, and how far float values may be from them.

    Parameters
    ----------
    exact : Interval
    error : ndarray of float
        Bound on the distance, entry by entry.
    """

    exact: Interval
    error: FloatArray


class _RoundingAlgebra:
    """Carries a bound on the accumulated rounding error along with an enclosure of the exact values."""

    def __init__(self, kind: FloatFormat) -> None:
        self._kind, self._intervals = kind, IntervalAlgebra()
        self.peak = 0.0
        """Bound on the size of every partial sum so far."""

    def affine(self, op: Affine, arguments: Sequence[Rounded]) -> Rounded:
        """Carry errors through absolute weights, and add those of the node's own products and sums."""
        exact = self._intervals.affine(op, [argument.exact for argument in arguments])
        carried, reach = np.zeros_like(op.bias), np.abs(op.bias)
        entries, others = np.zeros_like(op.bias), np.zeros_like(op.bias)
        for linear_map, argument in zip(op.maps, arguments, strict=True):
            ones = np.ones(linear_map.size_in)
            carried = carried + linear_map.absolute.apply(argument.error)
            reach = reach + linear_map.absolute.apply(argument.exact.magnitude + argument.error)
            entries = entries + linear_map.map_weights(_is_nonzero).apply(ones)
            others = others + linear_map.map_weights(_may_round).apply(ones)
        self.peak = max(self.peak, float(reach.max(initial=0.0))) if np.isfinite(reach).all() else np.inf
        roundings = 2 * op.longest_row + len(op.maps) + SPARE
        own = self._kind.relative(roundings) * reach + 2 * roundings * self._kind.smallest
        # A constant, or an entry that is copied, negated or multiplied by a power of two, is not rounded.
        is_exact: BoolArray = (entries == 0) | ((entries == 1) & (others == 0) & (op.bias == 0))
        spare = 1.0 + 4 * gamma(op.longest_row + 2 * len(op.maps) + 6)
        return Rounded(exact, (carried + np.where(is_exact, 0.0, own)) * spare)

    def relu(self, op: Relu, arguments: Sequence[Rounded]) -> Rounded:
        """Keep the error: a ReLU never enlarges a distance."""
        return Rounded(self._intervals.relu(op, [arguments[0].exact]), arguments[0].error)

    def maximum(self, op: Maximum, arguments: Sequence[Rounded]) -> Rounded:
        """Keep the largest error of each group."""
        error = np.maximum.reduceat(arguments[0].error[op.members], op.offsets[:-1])
        return Rounded(self._intervals.maximum(op, [arguments[0].exact]), error)


def _is_nonzero(weights: FloatArray) -> FloatArray:
    return np.asarray(weights != 0, dtype=np.float64)


def _may_round(weights: FloatArray) -> FloatArray:
    """Mark the weights that are no power of two of at least one: only those multiply without rounding."""
    mantissa, _ = np.frexp(np.abs(weights))
    is_exact = (mantissa == 0.5) & (np.abs(weights) >= 1.0)
    return np.asarray((weights != 0) & ~is_exact, dtype=np.float64)


def rounding_bounds(network: Network, box: Interval, kind: FloatFormat) -> Rounded | None:
    """Bound the distance of a float evaluation's outputs from the exact ones, over a box of float inputs.

    Parameters
    ----------
    network : Network
        With nodes of its own for each operator.
    box : Interval
        Shape (size_in,).
    kind : FloatFormat

    Returns
    -------
    Rounded or None
        Of the outputs; None if some value may overflow.
    """
    parts = zip(network.split_input(box.lower), network.split_input(box.upper), strict=True)
    inputs = [Rounded(Interval(low, high), np.zeros_like(low)) for low, high in parts]
    algebra = _RoundingAlgebra(kind)
    with np.errstate(over="ignore", invalid="ignore"):
        values = walk(network, algebra, inputs)
    if max(algebra.peak, float(box.magnitude.max(initial=0.0))) >= kind.largest:
        return None
    outputs = [values[name] for name in network.outputs]
    return Rounded(
        Interval(
            np.concatenate([value.exact.lower for value in outputs]),
            np.concatenate([value.exact.upper for value in outputs]),
        ),
        np.concatenate([value.error for value in outputs]),
    )
