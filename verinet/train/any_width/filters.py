"""Training of filters: from images to a network of one convolution, with its record.

The exported numbers are float32, since ONNX has no convolution in double precision that runs everywhere; the rounded
network *is* the network from there on, and its objective is recomputed exactly.
"""

import time
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from verinet.errors import DataError, InputError
from verinet.model import Affine, Dense, Input, Maximum, Network, Node, Op, Relu, Sparse
from verinet.numeric import FloatArray, IntArray
from verinet.program import Progress
from verinet.train.any_width.budget import counts
from verinet.train.any_width.convolution import Convolutional, Pooling, convolutional_family
from verinet.train.any_width.generation import Problem, Round, generate
from verinet.train.any_width.pricing import Pricer
from verinet.train.any_width.trainer import UnitSum, assemble, make_ready, make_record
from verinet.train.data import Scaling, TrainingData
from verinet.train.export import SNAP_TOLERANCE, size_of_skip
from verinet.train.result import TrainingRecord
from verinet.train.specification import AnyWidthSpecification, Objective, Skip, TrainOptions
from verinet.verify import Deadline

__all__ = [
    "ConvolutionalResult",
    "ConvolutionalSpecification",
    "FilterParameters",
    "build_convolutional",
    "round_filters",
    "train_convolutional",
]

QUICK = 3
"""Weights of a filter, the bias among them, up to which a search to the end takes no longer than a glance."""


@dataclass(frozen=True)
class ConvolutionalSpecification:
    """A network of one convolution with any number of filters, and what it is trained for.

    ``f(x) = c + p.x + sum over filters and cells a_kc pool_c(relu(w_k * x + b_k))`` minimises
    ``mean loss + l1 * (sum over filters and cells |a_kc| (||w_k||_1 + |b_k|) + ||p||_1)``, in scaled pixels.

    Parameters
    ----------
    layer : Convolutional
    objective : Objective
    max_pixels_per_filter : int or None
        Weights of a filter that may differ from zero, beside the bias; None for all. Few of them are priced to the
        end, so the optimum is proven; with three or more the bound is as good as time allows.
    skip : Skip
        From the pixels; not free.
    skip_penalty : float or None
        Of the skip's size; None for `l1`.

    Raises
    ------
    InputError
        If the skip is free, the objective counts weights or units, or see `AnyWidthSpecification`.
    """

    layer: Convolutional
    objective: Objective = field(default_factory=Objective)
    max_pixels_per_filter: int | None = None
    skip: Skip = Skip.NONE
    skip_penalty: float | None = None

    def __post_init__(self) -> None:
        if self.skip is Skip.FREE:
            raise InputError("a skip from pixels cannot be free, pixels depend on one another; penalise it")
        if counts(self.any_width):
            raise InputError("filters and their weights cannot be priced by number; use l1, or max_pixels_per_filter")

    @property
    def any_width(self) -> AnyWidthSpecification:
        """The same without the layer."""
        return AnyWidthSpecification(self.objective, self.max_pixels_per_filter, self.skip, self.skip_penalty)


@dataclass(frozen=True, eq=False)
class FilterParameters:
    """``f(x) = offset + skip.x + sum over terms outputs pool(relu(filter * x + bias))`` in raw units, as exported.

    Parameters
    ----------
    layer : Convolutional
    filters : ndarray, shape (filters, coordinates)
        Different from one another and not zero.
    biases : ndarray, shape (filters,)
    of, cells : ndarray of int, shape (terms,)
        Each term's filter, and the cell over which it is pooled.
    outputs : ndarray, shape (terms,)
        Not zero. Those of averages are divided by the number of positions, and multiply sums.
    skip : ndarray, shape (pixels,)
    offset : float
    """

    layer: Convolutional
    filters: FloatArray
    biases: FloatArray
    of: IntArray
    cells: IntArray
    outputs: FloatArray
    skip: FloatArray
    offset: float

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
        read = self.skip != 0
        for k, cell in zip(self.of, self.cells, strict=True):
            places = self.layer.patches[self.layer.cells[cell]]
            read[places[:, self.filters[k] != 0]] = True
        return tuple(int(j) for j in np.flatnonzero(read))

    def sizes(self, scaling: Scaling) -> tuple[Fraction, Fraction]:
        """Return the L1 sizes of filters and of the skip in scaled pixels, exactly."""
        width, offset = Fraction(float(scaling.width[0])), Fraction(float(scaling.offset[0]))
        norms = []
        for weights, bias in zip(self.filters, self.biases, strict=True):
            exact = [Fraction(float(w)) for w in weights]
            slope = sum((abs(w) for w in exact), Fraction(0))
            norms.append(width * slope + abs(Fraction(float(bias)) + offset * sum(exact, Fraction(0))))
        total = Fraction(0)
        for k, cell, output in zip(self.of, self.cells, self.outputs, strict=True):
            total += abs(Fraction(float(output))) * _positions(self.layer, int(cell)) * norms[k]
        return total / Fraction(scaling.target_width), size_of_skip(self.skip, scaling)


@dataclass(frozen=True, eq=False)
class ConvolutionalResult:
    """A trained network of one convolution and its record.

    Parameters
    ----------
    network : Network
        In raw units.
    parameters : FilterParameters
        The same, as arrays.
    record : TrainingRecord
        Its units are filters.
    """

    network: Network
    parameters: FilterParameters
    record: TrainingRecord


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
    terms: dict[tuple[int, int], float] = {}
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
        both = np.concatenate([weights, bias])
        k = index.setdefault(both.tobytes(), len(filters))
        if k == len(filters):
            filters.append(both)
        terms[k, unit.cell] = terms.get((k, unit.cell), 0.0) + output / _positions(layer, unit.cell)
    return _gathered(filters, terms, chosen.skip, constant, layer, scaling)


def _gathered(
    filters: list[FloatArray],
    terms: dict[tuple[int, int], float],
    skip: FloatArray,
    constant: float,
    layer: Convolutional,
    scaling: Scaling,
) -> FilterParameters:
    """Round the output layer, and drop what has no part in it."""
    outputs = _single(np.array(list(terms.values())) * scaling.target_width)
    pairs = np.array(list(terms), dtype=np.int64).reshape(-1, 2)[outputs != 0]
    used, of = np.unique(pairs[:, 0], return_inverse=True)
    kept = np.array(filters).reshape(-1, layer.coordinates + 1)[used]
    slopes = _single(skip / scaling.width * scaling.target_width)
    offset = scaling.target_offset + scaling.target_width * constant - float(slopes @ scaling.offset)
    return FilterParameters(
        layer,
        kept[:, :-1],
        kept[:, -1],
        of,
        pairs[:, 1],
        outputs[outputs != 0],
        slopes,
        float(_single(np.array([offset]))[0]),
    )


def build_convolutional(parameters: FilterParameters) -> Network:
    """Write filters as a network of named nodes: input, filters, relu, pool, output.

    Parameters
    ----------
    parameters : FilterParameters
    """
    layer = parameters.layer
    nodes = [Node("input", Input(layer.pixels), shape=layer.full_shape)]
    maps, arguments = [], []
    if parameters.units:
        convolution = layer.convolution(parameters.filters)
        positions = len(layer.patches)
        biases = np.repeat(parameters.biases, positions)
        nodes.append(Node("filters", Affine((convolution,), biases), ("input",), convolution.shape_out))
        nodes.append(Node("relu", Relu(len(biases)), ("filters",), convolution.shape_out))
        nodes.append(Node("pool", _pool(parameters), ("relu",)))
        maps.append(Dense(parameters.outputs[None, :]))
        arguments.append("pool")
    if parameters.skip.any() or not parameters.units:
        maps.append(Dense(parameters.skip[None, :]))
        arguments.append("input")
    nodes.append(Node("output", Affine(tuple(maps), np.array([parameters.offset])), tuple(arguments)))
    return Network(tuple(nodes), ("output",))


def _pool(parameters: FilterParameters) -> Op:
    """Return the operation that takes each term's sum or maximum over its cell."""
    layer = parameters.layer
    positions = len(layer.patches)
    groups = [k * positions + layer.cells[cell] for k, cell in zip(parameters.of, parameters.cells, strict=True)]
    members = np.concatenate(groups)
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    size = parameters.units * positions
    if layer.pooling is Pooling.MAX:
        return Maximum(members, offsets, size)
    return Affine((Sparse(np.ones(len(members)), members, offsets, size),), np.zeros(len(groups)))


def prepare_images(data: TrainingData, specification: ConvolutionalSpecification) -> Problem:
    """Return the problem of some images.

    Raises
    ------
    InputError
        If the data does not have the layer's shape, or filters are to have more weights than there are.
    DataError
        If pixels are not scaled alike, or a classification loss meets other targets than -1 and 1.
    """
    scaling = data.scaling
    if np.ptp(scaling.offset) != 0 or np.ptp(scaling.width) != 0:
        raise DataError("filters need pixels that are scaled alike; prepare the data with shared=True")
    if specification.objective.loss.classifies and not np.isin(data.y, (-1.0, 1.0)).all():
        raise DataError("a classification loss needs targets -1 and 1")
    x = data.scaled_x
    family = convolutional_family(x, specification.layer, specification.max_pixels_per_filter)
    return Problem(x, data.scaled_y, data.weights, family, specification.any_width)


def train_convolutional(
    data: TrainingData, specification: ConvolutionalSpecification, options: TrainOptions | None = None
) -> ConvolutionalResult:
    """Train the filters of a network of one convolution, against a bound over any number of filters.

    Parameters
    ----------
    data : TrainingData
        Prepared with ``shared=True``.
    specification : ConvolutionalSpecification
    options : TrainOptions or None

    Returns
    -------
    ConvolutionalResult
        Its objective is exact; its bound is recomputed in rational arithmetic from the dual solution in the record.

    Raises
    ------
    InputError, DataError
        See `prepare_images`.
    """
    options = options or TrainOptions()
    make_ready(options)
    started = time.monotonic()
    problem = prepare_images(data, specification)
    by_levels = problem.family.supports.shape[1] > QUICK
    pricer = Pricer(problem.family, {}, options.solver, options.threads, options.seed, by_levels)

    def report(state: Round) -> None:
        options.on_progress(Progress(state.seconds, state.objective, state.bound))

    deadline = Deadline(started + options.time_limit)
    generation = generate(problem, pricer, options.gap_tolerance, deadline, seed=options.seed, on_round=report)
    chosen = assemble(problem, generation.units, generation.fit.values)
    parameters = round_filters(chosen, specification.layer, data.scaling)
    network = build_convolutional(parameters)
    record = make_record(data, problem, generation, network, parameters, options, started)
    return ConvolutionalResult(network, parameters, record)
