"""What training chooses: units with sizes, which together are a network in scaled features."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from verinet.numeric import FloatArray
from verinet.train.any_width.generation import Problem
from verinet.train.any_width.pricing import Unit
from verinet.train.programme import Parameters

__all__ = ["UnitSum", "assemble"]

NEGLIGIBLE = 1e-9
"""Units with output weights below this, relative to the largest, are residues of the master's solver."""


@dataclass(frozen=True, eq=False)
class UnitSum:
    """A network as a sum: ``f = constant + skip . x + sum of sizes * signs * units``, in scaled features.

    Parameters
    ----------
    constant : float
    skip : ndarray, shape (features,)
    units : tuple of Unit
        Each once.
    sizes : ndarray, shape (units,)
        Positive output weights, to be taken with the units' signs.
    """

    constant: float
    skip: FloatArray
    units: tuple[Unit, ...]
    sizes: FloatArray

    def parameters(self) -> Parameters:
        """Return the sign-normalised parameters of a sum of ReLUs."""
        features = len(self.skip)
        scaled = np.array([size * unit.weights for size, unit in zip(self.sizes, self.units, strict=True)])
        scaled = scaled.reshape(len(self.units), features + 1)
        return Parameters(scaled[:, :-1], scaled[:, -1], self.skip, self.constant)


def assemble(problem: Problem, units: Iterable[Unit], values: FloatArray) -> UnitSum:
    """Read the network off the values of a master's variables; equal units become one.

    Parameters
    ----------
    problem : Problem
    units : iterable of Unit
        Of the master's columns, in their order.
    values : ndarray, shape (variables,)
        The constant, the skip's parts, the units' sizes.
    """
    parts = problem.skip_parts()
    skip = np.zeros(problem.x.shape[1])
    for (feature, sign), value in zip(parts, values[1 : 1 + len(parts)], strict=True):
        skip[feature] += sign * value
    largest = max(float(values[1:].max(initial=0.0)), 1e-300)
    skip[np.abs(skip) <= NEGLIGIBLE * largest] = 0.0
    sizes: dict[tuple[int, int, bytes], float] = {}
    known: dict[tuple[int, int, bytes], Unit] = {}
    for unit, value in zip(units, values[1 + len(parts) :], strict=True):
        if value > NEGLIGIBLE * largest:
            key = (unit.sign, unit.cell, unit.weights.tobytes())
            sizes[key] = sizes.get(key, 0.0) + float(value)
            known[key] = unit
    return UnitSum(float(values[0]), skip, tuple(known.values()), np.array(list(sizes.values())))
