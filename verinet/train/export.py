"""From parameters in scaled features to a network in raw units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from verinet.errors import InputError
from verinet.model import Affine, Dense, Input, LinearMap, Network, Node, Relu
from verinet.numeric import FloatArray, float_up
from verinet.train.data import Scaling
from verinet.train.programme import Parameters

__all__ = [
    "Exported",
    "RawParameters",
    "build_network",
    "read_back",
    "size_of_skip",
    "snap",
    "to_raw",
    "to_scaled",
]

SNAP_TOLERANCE = 1e-7
"""A scaled weight below this is zero: solvers leave such residues where the optimum has none."""


class Exported(Protocol):
    """What an objective counts in the parameters of an exported network."""

    @property
    def nonzeros(self) -> int:
        """Number of hidden and skip weights that are not zero."""

    @property
    def units(self) -> int:
        """Number of hidden units."""

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of the features that the network reads."""

    def sizes(self, scaling: Scaling) -> tuple[Fraction, Fraction]:
        """Return the L1 sizes of units, output weights included, and of the skip, in scaled features."""


@dataclass(frozen=True, eq=False)
class RawParameters:
    """``f(x) = offsets + skip x + outputs relu(weights x + biases)`` in raw units, exactly what is exported.

    Parameters
    ----------
    weights : ndarray, shape (units, features)
    biases : ndarray, shape (units,)
    outputs : ndarray, shape (outputs, units)
        Of one output plus or minus the target's range; of a unit that several share, multiples of it.
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

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of the features that the network reads."""
        return tuple(int(j) for j in np.flatnonzero((self.weights != 0).any(axis=0) | (self.skip != 0).any(axis=0)))

    def sizes(self, scaling: Scaling) -> tuple[Fraction, Fraction]:
        """Return the L1 sizes of units, output weights included, and of the skip, in scaled features."""
        width = [Fraction(float(v)) for v in scaling.width]
        offset = [Fraction(float(v)) for v in scaling.offset]
        total = Fraction(0)
        for weights, bias, outputs in zip(self.weights, self.biases, self.outputs.T, strict=True):
            exact = [Fraction(float(w)) for w in weights]
            size = sum((abs(w) * s for w, s in zip(exact, width, strict=True)), Fraction(0))
            size += abs(Fraction(float(bias)) + sum((w * o for w, o in zip(exact, offset, strict=True)), Fraction(0)))
            total += sum((abs(Fraction(float(v))) for v in outputs), Fraction(0)) * size
        return total / Fraction(scaling.target_width), size_of_skip(self.skip, scaling)

    def part(self, output: int) -> "RawParameters":
        """Return the network of one output, with the units that it uses."""
        used = self.outputs[output] != 0
        one = slice(output, output + 1)
        return RawParameters(
            self.weights[used], self.biases[used], self.outputs[one, used], self.skip[one], self.offsets[one]
        )


def size_of_skip(skip: FloatArray, scaling: Scaling) -> Fraction:
    """Return the L1 size of a linear part, shape (outputs, features), in scaled features and target, exactly."""
    width = [Fraction(float(v)) for v in scaling.width]
    terms = (abs(Fraction(float(p))) * s for row in skip for p, s in zip(row, width, strict=True))
    slope = sum(terms, Fraction(0))
    return slope / Fraction(scaling.target_width)


def snap(parameters: Parameters) -> Parameters:
    """Set residues of the solver to zero."""

    def cut(values: FloatArray) -> FloatArray:
        return np.where(np.abs(values) < SNAP_TOLERANCE, 0.0, values)

    return Parameters(cut(parameters.weights), cut(parameters.biases), cut(parameters.skip), parameters.offset)


def to_raw(
    parameters: Parameters, output_signs: Sequence[int], monotone: Mapping[int, int], scaling: Scaling
) -> RawParameters:
    """Fold the scaling into the parameters and drop units that are constant.

    Parameters
    ----------
    parameters : Parameters
        In scaled features.
    output_signs : sequence of int
        The output weight of each unit, +1 or -1.
    monotone : Mapping
        Feature index -> direction in which the network goes, up to rounding and a solver's tolerance.
    scaling : Scaling

    Soundness: folding rounds, so the raw parameters *are* the network from here on: the objective is recomputed from
    them, and monotone rows that rounding or the solver's tolerance broke are mended in exact arithmetic.
    """
    signs = np.array(output_signs, dtype=np.float64)
    constant = ~(parameters.weights != 0).any(axis=1)
    offset = parameters.offset + float(signs[constant] @ np.maximum(parameters.biases[constant], 0.0))
    kept = ~constant
    weights = parameters.weights[kept] / scaling.width
    biases = parameters.biases[kept] - weights @ scaling.offset
    skip = parameters.skip / scaling.width
    offset = scaling.target_offset + scaling.target_width * (offset - float(skip @ scaling.offset))
    width = scaling.target_width
    raw = RawParameters(weights, biases, signs[None, kept] * width, skip[None] * width, np.array([offset]))
    for feature, direction in monotone.items():
        raw = _mend(raw, feature, direction)
    return raw


def worst_slope(raw: RawParameters, feature: int, direction: int) -> Fraction:
    """Return a lower bound of the derivative in a direction, over all activation patterns, exactly."""
    harm = [
        min(Fraction(0), direction * Fraction(float(v)) * Fraction(float(w)))
        for v, w in zip(raw.outputs[0], raw.weights[:, feature], strict=True)
    ]
    return direction * Fraction(float(raw.skip[0, feature])) + sum(harm, Fraction(0))


def _mend(raw: RawParameters, feature: int, direction: int) -> RawParameters:
    """Restore a monotone row that is violated by a rounding or a solver's tolerance."""
    missing = -worst_slope(raw, feature, direction)
    if missing <= 0:
        return raw
    weights, skip = raw.weights.copy(), raw.skip.copy()
    if skip[0, feature]:
        needed = direction * Fraction(float(skip[0, feature])) + missing
        skip[0, feature] = direction * float_up(needed)
    else:
        harmful = direction * raw.outputs[0] * weights[:, feature] < 0
        weights[harmful, feature] = 0.0
    return RawParameters(weights, raw.biases, raw.outputs, skip, raw.offsets)


def build_network(raw: RawParameters) -> Network:
    """Write raw parameters as a network of named nodes: input, hidden, relu, output."""
    nodes = [Node("input", Input(raw.weights.shape[1]))]
    maps: list[LinearMap] = []
    arguments: list[str] = []
    if raw.units:
        nodes.append(Node("hidden", Affine((Dense(raw.weights),), raw.biases), ("input",)))
        nodes.append(Node("relu", Relu(raw.units), ("hidden",)))
        maps.append(Dense(raw.outputs))
        arguments.append("relu")
    if raw.skip.any() or not raw.units:
        maps.append(Dense(raw.skip))
        arguments.append("input")
    nodes.append(Node("output", Affine(tuple(maps), raw.offsets), tuple(arguments)))
    return Network(tuple(nodes), ("output",))


def read_back(network: Network) -> RawParameters:
    """Return the parameters of a network that `build_network` wrote.

    Raises
    ------
    InputError
        If it has another form.
    """
    nodes = {node.name: node for node in network.nodes}
    output, hidden = nodes.get("output"), nodes.get("hidden")
    size = network.size_in
    weights, biases = np.zeros((0, size)), np.zeros(0)
    if hidden is not None and isinstance(hidden.op, Affine):
        weights, biases = _table(hidden.op.maps[0]), hidden.op.bias
    if output is None or not isinstance(output.op, Affine) or set(nodes) - {"input", "hidden", "relu", "output"}:
        raise InputError(
            "resuming takes a network of one hidden layer as training writes it, with the nodes input, hidden, relu "
            f"and output; found {', '.join(nodes)}"
        )
    parts = {"relu": np.zeros((output.op.size_out, len(biases))), "input": np.zeros((output.op.size_out, size))}
    for name, part in zip(output.arguments, output.op.maps, strict=True):
        parts[name] = _table(part)
    return RawParameters(weights, biases, parts["relu"], parts["input"], output.op.bias)


def _table(part: LinearMap) -> FloatArray:
    return np.asarray(part.to_sparse().matrix.toarray(), dtype=np.float64)


def to_scaled(raw: RawParameters, output_signs: Sequence[int], scaling: Scaling) -> Parameters:
    """Undo `to_raw` up to rounding, for a network of one output.

    Parameters
    ----------
    raw : RawParameters
    output_signs : sequence of int
        Of the units that there may be; those left over are zero.
    scaling : Scaling

    Raises
    ------
    InputError
        If the network has more units of a sign.
    """
    factors = raw.outputs[0] / scaling.target_width
    weights, biases = np.zeros((len(output_signs), raw.weights.shape[1])), np.zeros(len(output_signs))
    for sign in (1, -1):
        own, places = np.flatnonzero(np.sign(factors) == sign), np.flatnonzero(np.array(output_signs) == sign)
        if len(own) > len(places):
            raise InputError(
                f"the network to resume has {len(own)} units of sign {sign:+d}, the specification allows {len(places)}"
            )
        size = np.abs(factors[own])
        weights[places[: len(own)]] = size[:, None] * raw.weights[own] * scaling.width
        biases[places[: len(own)]] = size * (raw.biases[own] + raw.weights[own] @ scaling.offset)
    skip = raw.skip[0] / scaling.target_width
    offset = (float(raw.offsets[0]) - scaling.target_offset) / scaling.target_width + float(skip @ scaling.offset)
    return Parameters(weights, biases, skip * scaling.width, offset)
