"""Training of filters: from images to a network of one convolution, with its record."""

import time
from dataclasses import dataclass, field

import numpy as np

from verinet.errors import DataError, InputError
from verinet.model import Network
from verinet.train.any_width.budget import counts
from verinet.train.any_width.convolution import Convolutional, convolutional_family
from verinet.train.any_width.filter_export import FilterParameters, build_convolutional, round_filters
from verinet.train.any_width.generation import Problem
from verinet.train.any_width.pricing import Pricer
from verinet.train.any_width.trainer import check_targets, make_ready, make_record, optimise
from verinet.train.data import TrainingData
from verinet.train.result import TrainingRecord
from verinet.train.specification import AnyWidthSpecification, Objective, Skip, TrainOptions

__all__ = ["ConvolutionalResult", "ConvolutionalSpecification", "train_convolutional"]

QUICK = 3
"""Weights of a filter, the bias among them, up to which a search to the end takes no longer than a glance."""


COUNTED = "filters and their weights cannot be limited or priced by number; use l1, or fewer weights a filter"


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
            raise InputError(COUNTED)

    @classmethod
    def of(cls, layer: Convolutional, dense: AnyWidthSpecification) -> "ConvolutionalSpecification":
        """Return what a dense specification asks for, with filters of a layer for units.

        Raises
        ------
        InputError
            If it asks for what filters cannot do: directions, conditions, or see above.
        """
        if dense.monotone or dense.conditions or dense.universal:
            raise InputError(
                "filters cannot be monotone, nor fair, nor meet conditions; leave these out, or the filters"
            )
        if counts(dense):
            raise InputError(COUNTED)
        return cls(layer, dense.objective, dense.max_features_per_unit, dense.skip, dense.skip_penalty)

    @property
    def any_width(self) -> AnyWidthSpecification:
        """The same without the layer."""
        return AnyWidthSpecification(self.objective, self.max_pixels_per_filter, self.skip, self.skip_penalty)


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
    check_targets(data, specification.objective)
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

    generation, chosen = optimise(problem, pricer, options)
    parameters = round_filters(chosen, specification.layer, data.scaling)
    network = build_convolutional(parameters)
    record = make_record(data, problem, generation, network, parameters, options, started)
    return ConvolutionalResult(network, parameters, record)
