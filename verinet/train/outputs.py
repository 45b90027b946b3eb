"""Networks of one output or several: each output is trained on its own, and equal hidden units stand once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from verinet.errors import InputError
from verinet.model import Network
from verinet.numeric import float_down
from verinet.program import Status
from verinet.train.any_width import (
    ConvolutionalResult,
    ConvolutionalSpecification,
    FilterParameters,
    build_convolutional,
    combine_filters,
    gap_between,
    train_convolutional,
)
from verinet.train.combination import combine
from verinet.train.data import TrainingData
from verinet.train.dispatch import train_network
from verinet.train.export import RawParameters, build_network
from verinet.train.objective import exact_objective
from verinet.train.result import TrainingRecord, TrainingResult
from verinet.train.specification import AnyWidthSpecification, Specification, TrainOptions

__all__ = ["AnySpecification", "TrainedOutputs", "train_outputs"]

AnySpecification: TypeAlias = Specification | AnyWidthSpecification | ConvolutionalSpecification
"""Everything that a network can be trained by."""

LEAST_SECONDS = 0.1
"""For an output whose turn comes when the time is over."""


@dataclass(frozen=True, eq=False)
class TrainedOutputs:
    """A network of one output or several, and what is known about each.

    Parameters
    ----------
    network : Network
        In raw units.
    parameters : RawParameters or FilterParameters
        The same, as arrays.
    records : tuple of TrainingRecord
        One for each output; their objectives are those of the network.
    """

    network: Network
    parameters: RawParameters | FilterParameters
    records: tuple[TrainingRecord, ...]

    @property
    def objective(self) -> Fraction:
        """The sum over the outputs, exactly."""
        return sum((record.objective for record in self.records), Fraction(0))

    @property
    def bound(self) -> float:
        """The sum over the outputs, rounded down."""
        if len(self.records) == 1:
            return self.records[0].bound
        bounds = [record.bound for record in self.records]
        if not np.isfinite(bounds).all():
            return -np.inf
        return float_down(sum(map(Fraction, bounds), Fraction(0)))

    @property
    def gap(self) -> float:
        """Relative distance of objective and bound."""
        return self.records[0].gap if len(self.records) == 1 else gap_between(self.objective, self.bound)

    @property
    def status(self) -> Status:
        """OPTIMAL if every output is."""
        proven = all(record.status is Status.OPTIMAL for record in self.records)
        return Status.OPTIMAL if proven else Status.UNKNOWN


def train_outputs(
    tables: Sequence[TrainingData], specification: AnySpecification, options: TrainOptions | None = None
) -> TrainedOutputs:
    """Train each output by itself, within one time limit, and put the networks side by side.

    Parameters
    ----------
    tables : sequence of TrainingData
        One for each output, of the same features.
    specification : Specification, AnyWidthSpecification or ConvolutionalSpecification
        Of every output; budgets are for each.
    options : TrainOptions or None
        The outputs to come share what is left of the time; Ctrl-C ends one of them.

    Raises
    ------
    InputError, DataError
        If data and specification do not fit, or several outputs have universal constraints.
    """
    if len(tables) > 1 and isinstance(specification, AnyWidthSpecification) and specification.universal:
        # Units that become one are off by roundoff: the network would not be the one that passed.
        raise InputError(
            f"constraints by counterexamples are for one output, found {len(tables)}; leave monotone_by at "
            "'construction' and fair out, or train each output by itself"
        )
    options = options or TrainOptions()
    ends = time.monotonic() + options.time_limit
    results = []
    for number, data in enumerate(tables):
        share = (ends - time.monotonic()) / (len(tables) - number)
        results.append(_train(data, specification, replace(options, time_limit=max(share, LEAST_SECONDS))))
    records = tuple(result.record for result in results)
    if len(results) == 1:
        return TrainedOutputs(results[0].network, results[0].parameters, records)
    filters = [r.parameters for r in results if isinstance(r, ConvolutionalResult)]
    if filters:
        together = combine_filters(filters)
        return TrainedOutputs(build_convolutional(together), together, records)
    parts = [r.parameters for r in results if isinstance(r, TrainingResult)]
    # Multiples keep the directions of units, on which alone any-width training builds monotone networks.
    combined = combine(parts, multiples=isinstance(specification, AnyWidthSpecification))
    if isinstance(specification, AnyWidthSpecification):
        records = _recomputed(records, combined, tables, specification)
    return TrainedOutputs(build_network(combined), combined, records)


def _train(
    data: TrainingData, specification: AnySpecification, options: TrainOptions
) -> TrainingResult | ConvolutionalResult:
    if isinstance(specification, ConvolutionalSpecification):
        return train_convolutional(data, specification, options)
    return train_network(data, specification, options)


def _recomputed(
    records: Sequence[TrainingRecord],
    combined: RawParameters,
    tables: Sequence[TrainingData],
    specification: AnyWidthSpecification,
) -> tuple[TrainingRecord, ...]:
    """Give the records the objectives of the combined network: units that became one are off by roundoff."""
    found = []
    for number, (record, data) in enumerate(zip(records, tables, strict=True)):
        part = combined.part(number)
        price = specification.price_of_skip
        objective = exact_objective(build_network(part), part, specification.objective, data, price)
        found.append(replace(record, objective=objective, gap=gap_between(objective, record.bound)))
    return tuple(found)
