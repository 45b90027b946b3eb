"""Several trained outputs as one network: their hidden units side by side, equal ones once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.errors import InputError
from verinet.model import Affine, Dense, Input, LinearMap, Network, Node, Relu
from verinet.numeric import FloatArray
from verinet.train.export import RawParameters

__all__ = ["CombinedParameters", "combine"]

SAME_DIRECTION = 1e-12
"""Units whose weights agree so well, entry by entry and relative, are one unit with two output weights."""


@dataclass(frozen=True, eq=False)
class CombinedParameters:
    """``f(x) = offsets + skip x + outputs relu(weights x + biases)`` in raw units, with several outputs.

    Parameters
    ----------
    weights : ndarray, shape (units, features)
    biases : ndarray, shape (units,)
    outputs : ndarray, shape (outputs, units)
    skip : ndarray, shape (outputs, features)
    offsets : ndarray, shape (outputs,)
    """

    weights: FloatArray
    biases: FloatArray
    outputs: FloatArray
    skip: FloatArray
    offsets: FloatArray

    @property
    def nonzeros(self) -> int:
        """Number of hidden and skip weights that are not zero."""
        return int(np.count_nonzero(self.weights) + np.count_nonzero(self.skip))

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return len(self.biases)

    def part(self, output: int) -> RawParameters:
        """Return the network of one output."""
        used = self.outputs[output] != 0
        return RawParameters(
            self.weights[used],
            self.biases[used],
            self.outputs[output, used],
            self.skip[output],
            float(self.offsets[output]),
        )

    def network(self) -> Network:
        """Write the parameters as a network of named nodes: input, hidden, relu, output."""
        nodes = [Node("input", Input(self.skip.shape[1]))]
        maps: list[LinearMap] = []
        arguments: list[str] = []
        if self.units:
            nodes.append(Node("hidden", Affine((Dense(self.weights),), self.biases), ("input",)))
            nodes.append(Node("relu", Relu(self.units), ("hidden",)))
            maps.append(Dense(self.outputs))
            arguments.append("relu")
        if self.skip.any() or not self.units:
            maps.append(Dense(self.skip))
            arguments.append("input")
        nodes.append(Node("output", Affine(tuple(maps), self.offsets), tuple(arguments)))
        return Network(tuple(nodes), ("output",))


def combine(parts: Sequence[RawParameters], *, multiples: bool) -> CombinedParameters:
    """Put networks with one output each side by side; equal hidden units become one.

    Parameters
    ----------
    parts : sequence of RawParameters
        Of the same features.
    multiples : bool
        Whether units that are a positive multiple of one another count as equal. Their output weight takes the
        factor, rounded: a part of the result may differ from the given one by roundoff. Directions of units stay.

    Raises
    ------
    InputError
        If there are none.
    """
    if not parts:
        raise InputError("a combined network needs at least one output, found none; give the networks to combine")
    rows: list[FloatArray] = []
    entries: list[tuple[int, int, float]] = []
    for output, part in enumerate(parts):
        for row, value in zip(np.column_stack([part.weights, part.biases]), part.outputs, strict=True):
            unit, factor = _place(rows, row, multiples)
            entries.append((output, unit, factor * float(value)))
    table = np.array(rows).reshape(len(rows), len(parts[0].skip) + 1)
    outputs = np.zeros((len(parts), len(rows)))
    for output, unit, value in entries:
        outputs[output, unit] += value
    skip, offsets = np.array([part.skip for part in parts]), np.array([part.offset for part in parts])
    return CombinedParameters(table[:, :-1], table[:, -1], outputs, skip, offsets)


def _place(rows: list[FloatArray], row: FloatArray, multiples: bool) -> tuple[int, float]:
    """Return the place of a unit among others and the factor to it; add it where it is new."""
    others = np.array(rows).reshape(len(rows), len(row))
    factors = np.abs(row).sum() / np.abs(others).sum(axis=1)
    if multiples:
        same = np.isclose(row, factors[:, None] * others, rtol=SAME_DIRECTION, atol=0.0).all(axis=1)
    else:
        same = (row == others).all(axis=1)
    if not same.any():
        rows.append(row)
        return len(rows) - 1, 1.0
    place = int(np.argmax(same))
    return place, 1.0 if np.array_equal(row, rows[place]) else float(factors[place])
