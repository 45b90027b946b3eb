"""Evaluation of networks: batches in float64, single points in exact rational arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.model.linear_map import Numbers
from verinet.model.network import Network, walk
from verinet.model.ops import Affine, Maximum, Relu
from verinet.numeric import FloatArray, ObjectArray, integers_over_power_of_two

__all__ = ["ExactAlgebra", "ExactVector", "FloatAlgebra", "evaluate", "evaluate_exact", "evaluate_exact_batch"]


class FloatAlgebra:
    """Batches of float64 vectors, shape (..., size)."""

    def affine(self, op: Affine, arguments: Sequence[FloatArray]) -> FloatArray:
        """Return ``sum_i M_i x_i + bias``."""
        total: Numbers = op.bias + op.maps[0].apply(arguments[0])
        for linear_map, x in zip(op.maps[1:], arguments[1:], strict=True):
            total = total + linear_map.apply(x)
        return total

    def relu(self, op: Relu, arguments: Sequence[FloatArray]) -> FloatArray:
        """Return ``max(0, x)``."""
        return np.maximum(arguments[0], 0.0)

    def maximum(self, op: Maximum, arguments: Sequence[FloatArray]) -> FloatArray:
        """Return the largest member of each group."""
        result: FloatArray = np.maximum.reduceat(arguments[0][..., op.members], op.offsets[:-1], axis=-1)
        return result


def evaluate(network: Network, x: FloatArray) -> FloatArray:
    """Evaluate a network in float64.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (..., size_in)

    Returns
    -------
    ndarray, shape (..., size_out)
        Rounded; see `evaluate_exact` for the truth.
    """
    values = walk(network, FloatAlgebra(), network.split_input(np.asarray(x, dtype=np.float64)))
    return np.concatenate([values[name] for name in network.outputs], axis=-1)


@dataclass(frozen=True, eq=False)
class ExactVector:
    """A vector of rationals, or a batch of them, over one common denominator.

    Parameters
    ----------
    numerators : ndarray of Python int, shape (..., size)
    denominator : int
        Positive.
    """

    numerators: ObjectArray
    denominator: int

    @classmethod
    def from_fractions(cls, values: Sequence[Fraction]) -> "ExactVector":
        """Build a vector from fractions."""
        denominator = math.lcm(*(v.denominator for v in values)) if len(values) else 1
        numerators = np.empty(len(values), dtype=object)
        numerators[:] = [v.numerator * (denominator // v.denominator) for v in values]
        return cls(numerators, denominator)

    def to_fractions(self) -> tuple[Fraction, ...]:
        """Return the entries of a single vector as fractions."""
        return tuple(Fraction(n, self.denominator) for n in self.numerators)

    def scaled_to(self, denominator: int) -> ObjectArray:
        """Return the numerators over a multiple of this denominator."""
        factor = denominator // self.denominator
        return self.numerators if factor == 1 else self.numerators * factor


class ExactAlgebra:
    """Vectors of rationals (`ExactVector`); every result is exact."""

    def affine(self, op: Affine, arguments: Sequence[ExactVector]) -> ExactVector:
        """Return ``sum_i M_i x_i + bias``."""
        terms = [ExactVector(*integers_over_power_of_two(op.bias))]
        for linear_map, x in zip(op.maps, arguments, strict=True):
            integers, denominator = linear_map.as_integers
            terms.append(ExactVector(integers.apply(x.numerators), denominator * x.denominator))
        common = math.lcm(*(term.denominator for term in terms))
        total = terms[0].scaled_to(common)
        for term in terms[1:]:
            total = total + term.scaled_to(common)
        return ExactVector(total, common)

    def relu(self, op: Relu, arguments: Sequence[ExactVector]) -> ExactVector:
        """Return ``max(0, x)``."""
        return ExactVector(np.maximum(arguments[0].numerators, 0), arguments[0].denominator)

    def maximum(self, op: Maximum, arguments: Sequence[ExactVector]) -> ExactVector:
        """Return the largest member of each group."""
        members = arguments[0].numerators[..., op.members]
        return ExactVector(np.maximum.reduceat(members, op.offsets[:-1], axis=-1), arguments[0].denominator)


def evaluate_exact(network: Network, x: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Evaluate a network in exact rational arithmetic.

    Parameters
    ----------
    network : Network
    x : sequence of Fraction, length size_in

    Returns
    -------
    tuple of Fraction, length size_out
        The value of the real function that the stored parameters define.
    """
    entries = np.empty(len(x), dtype=object)
    entries[:] = list(x)
    parts = [ExactVector.from_fractions(tuple(part)) for part in network.split_input(entries)]
    values = walk(network, ExactAlgebra(), parts)
    return tuple(entry for name in network.outputs for entry in values[name].to_fractions())


def evaluate_exact_batch(network: Network, x: FloatArray) -> list[tuple[Fraction, ...]]:
    """Evaluate a network at many float64 points in exact rational arithmetic.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (points, size_in)
        Finite; each entry means the dyadic rational that it stores.

    Returns
    -------
    list of tuple of Fraction
        The exact outputs of each point.
    """
    numerators, denominator = integers_over_power_of_two(np.asarray(x, dtype=np.float64))
    parts = [ExactVector(part, denominator) for part in network.split_input(numerators)]
    values = walk(network, ExactAlgebra(), parts)
    columns = [values[name] for name in network.outputs]
    return [
        tuple(Fraction(n, column.denominator) for column in columns for n in column.numerators[i])
        for i in range(len(x))
    ]
