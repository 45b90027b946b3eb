"""From filters in scaled pixels to a network of one convolution in raw units.

The exported numbers are float32, since ONNX has no convolution in double precision that runs everywhere; the rounded
network *is* the network from there on, and its objective is recomputed exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.model import Affine, Dense, Input, LinearMap, Maximum, Network, Node, Op, Relu, Sparse
from verinet.numeric import FloatArray
from verinet.train.any_width.convolution import Convolutional, Pooling
from verinet.train.any_width.unit_sum import UnitSum
from verinet.train.data import Scaling
from verinet.train.export import SNAP_TOLERANCE, size_of_skip

__all__ = ["FilterParameters", "build_convolutional", "combine_filters", "round_filters"]


@dataclass(frozen=True, eq=False)
class FilterParameters:
    """``f(x) = offsets + skip x + sum over filters and cells outputs pool(relu(filter * x + bias))`` in raw units.

    Parameters
    ----------
    layer : Convolutional
    filters : ndarray, shape (filters, coordinates)
        Different from one another, biases included, and not zero.
    biases : ndarray, shape (filters,)
    outputs : ndarray, shape (outputs, filters, cells)
        Those of averages are divided by the number of positions, and multiply sums.
    skip : ndarray, shape (outputs, pixels)
    offsets : ndarray, shape (outputs,)
    """

    layer: Convolutional
    filters: FloatArray
    biases: FloatArray
    outputs: FloatArray
    skip: FloatArray
    offsets: FloatArray

    @property
    def nonzeros(self) -> int:
        """Number of filter and skip weights that are not zero."""
        return int(np.count_nonzero(self.filters) + np.count_nonzero(self.skip))

    @property
    def units(self) -> int:
        """Number of filters."""
        return len(self.filters)

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of the pixels that the network reads."""
        read = (self.skip != 0).any(axis=0)
        for k, cell in np.argwhere((self.outputs != 0).any(axis=0)):
            places = self.layer.patches[self.layer.cells[cell]]
            read[places[:, self.filters[k] != 0]] = True
        return tuple(int(j) for j in np.flatnonzero(read))

    def sizes(self, scaling: Scaling) -> tuple[Fraction, Fraction]:
        """Return the L1 sizes of filters, output weights included, and of the skip, in scaled pixels, exactly."""
        width, offset = Fraction(float(scaling.width[0])), Fraction(float(scaling.offset[0]))
        norms = []
        for weights, bias in zip(self.filters, self.biases, strict=True):
            exact = [Fraction(float(w)) for w in weights]
            slope = sum((abs(w) for w in exact), Fraction(0))
            norms.append(width * slope + abs(Fraction(float(bias)) + offset * sum(exact, Fraction(0))))
        total = Fraction(0)
        for output, k, cell in np.argwhere(self.outputs):
            weight = abs(Fraction(float(self.outputs[output, k, cell])))
            total += weight * _positions(self.layer, int(cell)) * norms[k]
        return total / Fraction(scaling.target_width), size_of_skip(self.skip, scaling)

    def part(self, output: int) -> "FilterParameters":
        """Return the network of one output, with the filters that it uses."""
        used = (self.outputs[output] != 0).any(axis=1)
        one = slice(output, output + 1)
        return FilterParameters(
            self.layer,
            self.filters[used],
            self.biases[used],
            self.outputs[one, used],
            self.skip[one],
            self.offsets[one],
        )


def _positions(layer: Convolutional, cell: int) -> int:
    """Return what an exported output weight is multiplied with to be that of the pooled value."""
    return len(layer.cells[cell]) if layer.pooling is Pooling.AVERAGE else 1


def _single(values: FloatArray) -> FloatArray:
    """Round to float32; keep the type."""
    return np.asarray(values, dtype=np.float64).astype(np.float32).astype(np.float64)


def round_filters(chosen: UnitSum, layer: Convolutional, scaling: Scaling) -> FilterParameters:
    """Fold the scaling into filters, round them, and put equal ones together.

    Parameters
    ----------
    chosen : UnitSum
        In scaled pixels.
    layer : Convolutional
    scaling : Scaling
        Of one offset and one width.

    Soundness: folding and float32 round, so these parameters *are* the network from here on.
    """
    index: dict[bytes, int] = {}
    filters: list[FloatArray] = []
    terms: list[tuple[int, int, float]] = []
    constant = chosen.constant
    for unit, size in zip(chosen.units, chosen.sizes, strict=True):
        output, scaled = unit.sign * float(size), unit.weights
        snapped = np.where(np.abs(scaled[:-1]) < SNAP_TOLERANCE, 0.0, scaled[:-1])
        weights = _single(snapped / scaling.width[0])
        if not weights.any():
            count = len(layer.cells[unit.cell]) if layer.pooling is Pooling.SUM else 1
            constant += output * count * max(float(scaled[-1]), 0.0)
            continue
        bias = _single(np.array([scaled[-1] - weights.sum() * scaling.offset[0]]))
        k = _place(index, filters, np.concatenate([weights, bias]))
        terms.append((k, unit.cell, output / _positions(layer, unit.cell)))
    outputs = np.zeros((1, len(filters), len(layer.cells)))
    for k, cell, value in terms:
        outputs[0, k, cell] += value
    skip = _single(chosen.skip / scaling.width * scaling.target_width)
    offset = scaling.target_offset + scaling.target_width * constant - float(skip @ scaling.offset)
    table = np.array(filters).reshape(len(filters), layer.coordinates + 1)
    rounded = FilterParameters(
        layer,
        table[:, :-1],
        table[:, -1],
        _single(outputs * scaling.target_width),
        skip[None],
        _single(np.array([offset])),
    )
    # An output weight may have vanished, and its filter with it.
    return rounded.part(0)


def _place(index: dict[bytes, int], filters: list[FloatArray], both: FloatArray) -> int:
    """Return the place of a filter and its bias among others; add it where it is new."""
    # A zero has one sign, so that equal filters have equal bytes.
    both = both + 0.0
    k = index.setdefault(both.tobytes(), len(filters))
    if k == len(filters):
        filters.append(both)
    return k


def combine_filters(parts: Sequence[FilterParameters]) -> FilterParameters:
    """Put networks of one layer side by side; equal filters become one, and every output stays exactly what it was.

    Parameters
    ----------
    parts : sequence of FilterParameters
        Of the same layer.

    Raises
    ------
    InputError
        If there are none, or their layers differ.
    """
    if not parts or any(part.layer != parts[0].layer for part in parts):
        raise InputError(
            "networks are put side by side where they have one layer, and there is at least one; give such"
        )
    layer = parts[0].layer
    index: dict[bytes, int] = {}
    filters: list[FloatArray] = []
    places = [[_place(index, filters, row) for row in np.column_stack([part.filters, part.biases])] for part in parts]
    outputs = np.zeros((sum(len(part.offsets) for part in parts), len(filters), len(layer.cells)))
    first = 0
    for part, place in zip(parts, places, strict=True):
        outputs[first : first + len(part.offsets), place] = part.outputs
        first += len(part.offsets)
    table = np.array(filters).reshape(len(filters), layer.coordinates + 1)
    skip, offsets = np.concatenate([p.skip for p in parts]), np.concatenate([p.offsets for p in parts])
    return FilterParameters(layer, table[:, :-1], table[:, -1], outputs, skip, offsets)


def build_convolutional(parameters: FilterParameters) -> Network:
    """Write filters as a network of named nodes: input, filters, relu, pool, output.

    Parameters
    ----------
    parameters : FilterParameters
    """
    layer = parameters.layer
    nodes = [Node("input", Input(layer.pixels), shape=layer.full_shape)]
    maps: list[LinearMap] = []
    arguments: list[str] = []
    if parameters.units:
        convolution = layer.convolution(parameters.filters)
        biases = np.repeat(parameters.biases, len(layer.patches))
        nodes.append(Node("filters", Affine((convolution,), biases), ("input",), convolution.shape_out))
        nodes.append(Node("relu", Relu(len(biases)), ("filters",), convolution.shape_out))
        nodes.append(Node("pool", _pool(layer, parameters.units), ("relu",), (parameters.units, *layer.grid)))
        maps.append(Dense(parameters.outputs.reshape(len(parameters.offsets), -1)))
        arguments.append("pool")
    if parameters.skip.any() or not parameters.units:
        maps.append(Dense(parameters.skip))
        arguments.append("input")
    nodes.append(Node("output", Affine(tuple(maps), parameters.offsets), tuple(arguments)))
    return Network(tuple(nodes), ("output",))


def _pool(layer: Convolutional, filters: int) -> Op:
    """Return the operation that takes each filter's sum or maximum over each cell."""
    positions = len(layer.patches)
    groups = [k * positions + cell for k in range(filters) for cell in layer.cells]
    members = np.concatenate(groups)
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    if layer.pooling is Pooling.MAX:
        return Maximum(members, offsets, filters * positions)
    total = Sparse(np.ones(len(members)), members, offsets, filters * positions)
    return Affine((total,), np.zeros(len(groups)))
