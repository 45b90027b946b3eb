"""Losses over the outputs of a stack of layers, as rows of a programme."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Expressions, Indicator, ProgrammeBuilder
from verinet.train.layered.specification import LayeredSpecification
from verinet.train.specification import Loss, Objective

__all__ = [
    "CURVED",
    "MARGIN_TOLERANCE",
    "LossRows",
    "Sample",
    "add_errors",
    "add_loss",
    "sample_losses",
    "tangent_rows",
]

MARGIN_TOLERANCE = 1e-6
"""Share of its margin by which a sample may miss it and still be no error: solvers' rows have a tolerance too."""

FIRST_TANGENTS = 9
"""Tangents of a curved loss that a programme begins with; others are added where it is too low."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What the losses need to know of the samples.

    Parameters
    ----------
    targets : ndarray, shape (samples,)
        Scaled; -1 and 1; or the number of the class.
    weights : ndarray, shape (samples,)
    outputs : int
        Of the network.
    """

    targets: FloatArray
    weights: FloatArray
    outputs: int


@dataclass(frozen=True, eq=False)
class LossRows:
    """The loss in a programme.

    Parameters
    ----------
    total : Expressions
        The mean loss, or a lower bound of it where the loss is curved.
    complete : callable
        Sets the loss variables at a point from the outputs, shape (samples, outputs).
    losses : Expressions
        One for each sample.
    margins : Expressions or None
        Of classes, for each sample one row for each rival class.
    """

    total: Expressions
    complete: Callable[[FloatArray, FloatArray], None]
    losses: Expressions
    margins: Expressions | None = None


def margins_of(samples: Sample, outputs: Expressions) -> Expressions:
    """Return the margins of classes, for each sample one row for each rival class."""
    count = len(samples.targets)
    if samples.outputs == 1:
        return outputs.scaled(samples.targets)
    own, rivals = _classes(samples)
    rows = np.arange(count)[:, None] * samples.outputs
    return outputs[(rows + own[:, None] + 0 * rivals).ravel()] - outputs[(rows + rivals).ravel()]


def _classes(samples: Sample) -> tuple[IntArray, IntArray]:
    own = samples.targets.astype(np.int64)
    every = np.arange(samples.outputs)
    rivals = np.array([every[every != k] for k in own]).reshape(len(own), samples.outputs - 1)
    return own, rivals


def margin_values(samples: Sample, outputs: FloatArray) -> FloatArray:
    """Return the smallest margin of each sample, from outputs of shape (samples, outputs)."""
    if samples.outputs == 1:
        return np.asarray(outputs[:, 0] * samples.targets)
    own, rivals = _classes(samples)
    right = np.take_along_axis(outputs, own[:, None], axis=1)
    return np.asarray((right - np.take_along_axis(outputs, rivals, axis=1)).min(axis=1))


def is_error(objective: Objective, margins: FloatArray) -> BoolArray:
    """Tell which margins are missed by more than their tolerance."""
    return np.asarray(margins < objective.margin * (1 - MARGIN_TOLERANCE))


MARGIN_LOSSES: Mapping[Loss, Callable[[Objective, FloatArray], FloatArray]] = {
    Loss.HINGE: lambda objective, margins: np.maximum(objective.margin - margins, 0.0),
    Loss.ZERO_ONE: lambda objective, margins: is_error(objective, margins).astype(np.float64),
    Loss.LOGISTIC: lambda objective, margins: np.logaddexp(0.0, -margins),
}
"""Losses of classes, from the margins of samples."""

ERROR_LOSSES: Mapping[Loss, Callable[[Objective, FloatArray], FloatArray]] = {
    Loss.L1: lambda objective, error: np.abs(error),
    Loss.EPSILON_INSENSITIVE: lambda objective, error: np.maximum(np.abs(error) - objective.epsilon, 0.0),
    Loss.PINBALL: lambda objective, error: np.maximum(objective.quantile * error, (objective.quantile - 1) * error),
    Loss.SQUARED: lambda objective, error: error**2,
}
"""Losses of numbers, from targets minus outputs."""


def sample_losses(specification: LayeredSpecification, samples: Sample, outputs: FloatArray) -> FloatArray:
    """Return the loss of each sample in float64.

    Parameters
    ----------
    specification : LayeredSpecification
    samples : Sample
    outputs : ndarray, shape (samples, outputs)
    """
    objective = specification.objective
    if specification.classifies:
        margins = margin_values(samples, outputs)
        return MARGIN_LOSSES[objective.loss](objective, margins)
    error = samples.targets - outputs[:, 0]
    return ERROR_LOSSES[objective.loss](objective, error)


def _loss_variables(builder: ProgrammeBuilder, count: int) -> Expressions:
    return Expressions.variables(builder.variables("loss", np.zeros(count), np.full(count, np.inf)))


def _add_hinge(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, outputs: Expressions
) -> LossRows:
    margins = margins_of(samples, outputs)
    losses = _loss_variables(builder, len(samples.targets))
    repeated = losses[np.repeat(np.arange(losses.size), max(samples.outputs - 1, 1))]
    builder.rows(margins + repeated, lower=specification.objective.margin)
    return _rows(specification, samples, losses, margins)


def _rows(
    specification: LayeredSpecification, samples: Sample, losses: Expressions, margins: Expressions | None = None
) -> LossRows:
    indices = losses.matrix.indices

    def complete(point: FloatArray, outputs: FloatArray) -> None:
        point[indices] = sample_losses(specification, samples, outputs)

    return LossRows(losses.linear(samples.weights[None, :]), complete, losses, margins)


def add_errors(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, margins: Expressions
) -> LossRows:
    """Add a binary for each sample: unless it is 1, every margin is reached."""
    count, rivals = len(samples.targets), max(samples.outputs - 1, 1)
    errors = builder.binaries("error", count)
    short = (-margins).shifted(specification.objective.margin)
    _, upper = builder.enclosure(short)
    builder.semantic(Indicator(np.repeat(errors, rivals), short, upper, active=False))

    def complete(point: FloatArray, outputs: FloatArray) -> None:
        point[errors] = is_error(specification.objective, margin_values(samples, outputs))

    losses = Expressions.variables(errors)
    return LossRows(losses.linear(samples.weights[None, :]), complete, losses, margins)


def _add_zero_one(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, outputs: Expressions
) -> LossRows:
    return add_errors(builder, specification, samples, margins_of(samples, outputs))


def _add_two_sided(
    builder: ProgrammeBuilder,
    specification: LayeredSpecification,
    samples: Sample,
    outputs: Expressions,
    slopes: tuple[float, float],
    free: float,
) -> LossRows:
    """Add ``loss >= above * (f - y - free)`` and ``loss >= below * (y - f - free)``."""
    below, above = slopes
    losses = _loss_variables(builder, len(samples.targets))
    builder.rows(losses + outputs.scaled(below), lower=below * (samples.targets - free))
    builder.rows(losses - outputs.scaled(above), lower=-above * (samples.targets + free))
    return _rows(specification, samples, losses)


def _add_squared(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, outputs: Expressions
) -> LossRows:
    return _add_curved(builder, specification, samples, outputs, np.linspace(0.0, 1.0, FIRST_TANGENTS))


def _add_logistic(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, outputs: Expressions
) -> LossRows:
    return _add_curved(builder, specification, samples, outputs, np.linspace(-4.0, 4.0, FIRST_TANGENTS))


def _add_curved(
    builder: ProgrammeBuilder,
    specification: LayeredSpecification,
    samples: Sample,
    outputs: Expressions,
    places: FloatArray,
) -> LossRows:
    losses = _loss_variables(builder, len(samples.targets))
    for place in places:
        tangent_rows(builder, specification, samples, outputs, losses, np.full(losses.size, place))
    return _rows(specification, samples, losses)


def tangent_rows(
    builder: ProgrammeBuilder,
    specification: LayeredSpecification,
    samples: Sample,
    outputs: Expressions,
    losses: Expressions,
    places: FloatArray,
) -> None:
    """Add the tangent of each sample's curved loss at a value of its output: never above the loss.

    Parameters
    ----------
    builder : ProgrammeBuilder
    specification : LayeredSpecification
        Its loss is squared or logistic.
    samples : Sample
    outputs, losses : Expressions
        One for each sample.
    places : ndarray, shape (samples,)

    Soundness: the constant is lowered by more than float64 can be off.
    """
    y = samples.targets
    if specification.objective.loss is Loss.SQUARED:
        slope, value = 2 * (places - y), (places - y) ** 2
    else:
        slope, value = -y / (1 + np.exp(y * places)), np.logaddexp(0.0, -y * places)
    constant = value - slope * places
    slack = 1e-12 * (1 + np.abs(value) + np.abs(slope * places))
    builder.rows(losses - outputs.scaled(slope), lower=constant - slack)


LOSSES: Mapping[Loss, Callable[[ProgrammeBuilder, LayeredSpecification, Sample, Expressions], LossRows]] = {
    Loss.HINGE: _add_hinge,
    Loss.ZERO_ONE: _add_zero_one,
    Loss.L1: lambda b, s, n, f: _add_two_sided(b, s, n, f, (1.0, 1.0), 0.0),
    Loss.EPSILON_INSENSITIVE: lambda b, s, n, f: _add_two_sided(b, s, n, f, (1.0, 1.0), s.objective.epsilon),
    Loss.PINBALL: lambda b, s, n, f: _add_two_sided(b, s, n, f, (s.objective.quantile, 1 - s.objective.quantile), 0.0),
    Loss.SQUARED: _add_squared,
    Loss.LOGISTIC: _add_logistic,
}
"""How each loss enters a programme."""

CURVED = (Loss.SQUARED, Loss.LOGISTIC)
"""Losses that the programme bounds by tangents."""


def add_loss(
    builder: ProgrammeBuilder, specification: LayeredSpecification, samples: Sample, outputs: Expressions
) -> LossRows:
    """Add the loss of a specification.

    Parameters
    ----------
    builder : ProgrammeBuilder
    specification : LayeredSpecification
    samples : Sample
    outputs : Expressions
        Sample after sample, each with all its outputs.
    """
    return LOSSES[specification.objective.loss](builder, specification, samples, outputs)
