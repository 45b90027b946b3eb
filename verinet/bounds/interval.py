"""Interval bounds of every node, rounded outward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verinet.model import Affine, Maximum, Network, Node, Relu, walk
from verinet.numeric import FloatArray, gamma

__all__ = ["Interval", "IntervalAlgebra", "interval_bounds"]


@dataclass(frozen=True, eq=False)
class Interval:
    """An enclosure of a vector, entry by entry.

    Parameters
    ----------
    lower, upper : ndarray of float
        Of one shape; leading axes are a batch.
    """

    lower: FloatArray
    upper: FloatArray

    @cached_property
    def magnitude(self) -> FloatArray:
        """Largest absolute value of each entry."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def intersect(self, other: "Interval") -> "Interval":
        """Return what both enclosures allow."""
        return Interval(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))


class IntervalAlgebra:
    """Enclosures under the network's operations.

    Soundness: each affine image is computed around the midpoint in float64 and widened by twice the a-priori error of
    its dot products, so that it contains the exact image of the exact interval.
    """

    def affine(self, op: Affine, arguments: Sequence[Interval]) -> Interval:
        """Enclose ``sum_i M_i x_i + bias``."""
        centre, radius, reach = op.bias, np.zeros_like(op.bias), np.abs(op.bias)
        for linear_map, x in zip(op.maps, arguments, strict=True):
            middle = 0.5 * x.lower + 0.5 * x.upper
            # The rounded midpoint may lie off the middle: the radius reaches the farther end.
            half = np.nextafter(np.maximum(x.upper - middle, middle - x.lower), np.inf)
            centre = centre + linear_map.apply(middle)
            radius = radius + linear_map.absolute.apply(half)
            reach = reach + linear_map.absolute.apply(np.abs(middle) + half)
        slack = 2 * gamma(op.longest_row + 2 * len(op.maps) + 6) * reach + np.finfo(np.float64).tiny
        return Interval(centre - radius - slack, centre + radius + slack)

    def relu(self, op: Relu, arguments: Sequence[Interval]) -> Interval:
        """Enclose ``max(0, x)``, exactly."""
        return Interval(np.maximum(arguments[0].lower, 0.0), np.maximum(arguments[0].upper, 0.0))

    def maximum(self, op: Maximum, arguments: Sequence[Interval]) -> Interval:
        """Enclose the largest member of each group, exactly."""
        ends = (
            np.maximum.reduceat(end[..., op.members], op.offsets[:-1], axis=-1)
            for end in (arguments[0].lower, arguments[0].upper)
        )
        return Interval(*ends)


def interval_bounds(
    network: Network,
    box: Interval,
    refine: Callable[[Node, Interval, Mapping[str, Interval]], Interval] | None = None,
) -> dict[str, Interval]:
    """Enclose every node's value over a box of inputs.

    Parameters
    ----------
    network : Network
    box : Interval
        Shape (..., size_in).
    refine : callable or None
        Given a node, its enclosure and those before it, returns a tighter one to go on with.

    Returns
    -------
    dict
        Each node's enclosure under its name; valid for the exact real function.
    """
    parts = zip(network.split_input(box.lower), network.split_input(box.upper), strict=True)
    return walk(network, IntervalAlgebra(), [Interval(low, high) for low, high in parts], refine)
