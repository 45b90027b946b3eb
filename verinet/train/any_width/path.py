"""The regularisation path: training at falling prices of the weights, cross-validated, and the choice among them.

A sweep goes from the largest price to the smallest. Every training starts with the units of the one before it, and the
pricing of units is prepared once, so a path costs little more than its last training.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.train.any_width.generation import INTERRUPTED, Generation, Problem
from verinet.train.any_width.pricing import Pricer, Unit
from verinet.train.any_width.trainer import conclude, optimise, prepare_problem
from verinet.train.any_width.unit_sum import UnitSum
from verinet.train.data import TrainingData
from verinet.train.programme import predict
from verinet.train.result import TrainingResult
from verinet.train.specification import AnyWidthSpecification, TrainOptions

__all__ = [
    "PathPoint",
    "PathRule",
    "RegularisationPath",
    "Score",
    "Validation",
    "cross_validate",
    "regularisation_path",
]


class PathRule(Enum):
    """Which price of the weights is chosen."""

    BEST = "best"
    ONE_STANDARD_ERROR = "one-standard-error"


@dataclass(frozen=True)
class Score:
    """How well a network does on some samples.

    Parameters
    ----------
    accuracy : float or None
        The share of right classes, where targets are -1 and 1.
    rmse : float or None
        Root of the mean squared error, in the target's units; None for losses of classes.
    r2 : float or None
        The share of the target's variance that is explained; None for losses of classes.
    """

    accuracy: float | None = None
    rmse: float | None = None
    r2: float | None = None

    @property
    def error(self) -> float:
        """What is to be small: the share of wrong classes, or the RMSE."""
        return 1.0 - self.accuracy if self.accuracy is not None else float(self.rmse or 0.0)


@dataclass(frozen=True)
class Validation:
    """A price of the weights, and how networks trained at it do on the folds they did not see.

    Parameters
    ----------
    l1 : float
    folds : tuple of Score
        At least two.
    """

    l1: float
    folds: tuple[Score, ...]

    @property
    def mean(self) -> Score:
        """The mean over the folds."""
        return Score(*(None if v is None else float(v.mean()) for v in self._values()))

    @property
    def standard_error(self) -> Score:
        """The standard error of each mean."""
        count = len(self.folds)
        return Score(*(None if v is None else float(v.std(ddof=1) / np.sqrt(count)) for v in self._values()))

    @property
    def error(self) -> float:
        """The mean of what is to be small."""
        return self.mean.error

    @property
    def error_spread(self) -> float:
        """The standard error of that mean."""
        errors = np.array([fold.error for fold in self.folds])
        return float(errors.std(ddof=1) / np.sqrt(len(errors)))

    def _values(self) -> Iterator[FloatArray | None]:
        for name in ("accuracy", "rmse", "r2"):
            values = [getattr(fold, name) for fold in self.folds]
            yield None if None in values else np.array(values)


@dataclass(frozen=True, eq=False)
class PathPoint:
    """One price of the weights: the network trained on all samples, and its scores.

    Parameters
    ----------
    result : TrainingResult
    train : Score
        On the samples it was trained on.
    validation : Validation
        Of networks trained on parts of them.
    """

    result: TrainingResult
    train: Score
    validation: Validation

    @property
    def l1(self) -> float:
        """The price."""
        return self.validation.l1

    @property
    def objective(self) -> Fraction:
        """Of the network, recomputed exactly."""
        return self.result.record.objective

    @property
    def bound(self) -> float:
        """Of every network's objective at this price."""
        return self.result.record.bound

    @property
    def gap(self) -> float:
        """Relative distance of objective and bound."""
        return self.result.record.gap

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return self.result.record.units

    @property
    def nonzeros(self) -> int:
        """Number of hidden and skip weights that are not zero."""
        return self.result.record.nonzeros


@dataclass(frozen=True, eq=False)
class RegularisationPath:
    """A regularisation path.

    Parameters
    ----------
    points : tuple of PathPoint
        From the largest price to the smallest.
    chosen : int
        Index of the point that the rule chose.
    rule : PathRule
    """

    points: tuple[PathPoint, ...]
    chosen: int
    rule: PathRule

    @property
    def best(self) -> PathPoint:
        """The point that the rule chose."""
        return self.points[self.chosen]


def regularisation_path(
    data: TrainingData,
    specification: AnyWidthSpecification,
    lambdas: Sequence[float],
    options: TrainOptions | None = None,
    folds: int = 5,
    rule: str | PathRule = PathRule.BEST,
) -> RegularisationPath:
    """Train at several prices of the weights and choose one by cross-validation.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification
        Its objective's `l1` is replaced; a skip with a price of its own keeps it.
    lambdas : sequence of float
        Prices, in any order.
    options : TrainOptions or None
        Limits of each training; the seed also divides the samples.
    folds : int
    rule : str or PathRule
        ``best``: the smallest mean error; ``one-standard-error``: the largest price whose mean error exceeds that by no
        more than its standard error.

    Returns
    -------
    RegularisationPath

    Raises
    ------
    InputError
        For no price, fewer than two folds, or more folds than samples.
    KeyboardInterrupt
        A path with prices missing is of no use.
    """
    options, rule = options or TrainOptions(), PathRule(rule)
    validations = cross_validate(data, specification, lambdas, options, folds)
    prices = [validation.l1 for validation in validations]
    trained = _sweep(prepare_problem(data, specification), prices, options)
    points = []
    for validation, step in zip(validations, trained, strict=True):
        result = conclude(data, step.problem, step.generation, step.network, options, step.started)
        points.append(PathPoint(result, _score(data, specification, _outputs(data, step.network)), validation))
    return RegularisationPath(tuple(points), choose(validations, rule), rule)


def cross_validate(
    data: TrainingData,
    specification: AnyWidthSpecification,
    lambdas: Sequence[float],
    options: TrainOptions | None = None,
    folds: int = 5,
) -> tuple[Validation, ...]:
    """Score prices of the weights on samples that the training did not see.

    Parameters
    ----------
    data : TrainingData
        Its scaling holds in all folds.
    specification : AnyWidthSpecification
    lambdas : sequence of float
    options : TrainOptions or None
        Limits of each training; the seed also divides the samples.
    folds : int
        Each with its share of both classes.

    Returns
    -------
    tuple of Validation
        From the largest price to the smallest.

    Raises
    ------
    InputError
        See `regularisation_path`.
    """
    options = options or TrainOptions()
    prices = sorted({float(value) for value in lambdas}, reverse=True)
    if not prices:
        raise InputError("a regularisation path needs at least one price of the weights, found none")
    members = divide(data, folds, _has_classes(data), options.seed)
    scores = [_score_fold(data, specification, prices, options, members == fold) for fold in range(folds)]
    return tuple(Validation(price, tuple(row)) for price, row in zip(prices, zip(*scores, strict=True), strict=True))


def choose(validations: Sequence[Validation], rule: PathRule) -> int:
    """Return which of some prices, the largest first, a rule chooses."""
    errors = np.array([validation.error for validation in validations])
    best = int(np.argmin(errors))
    if rule is PathRule.BEST:
        return best
    return int(np.flatnonzero(errors <= errors[best] + validations[best].error_spread)[0])


def divide(data: TrainingData, folds: int, stratified: bool, seed: int) -> IntArray:
    """Return the fold of each row of the table that the data came from, in the order of `_rows`.

    Classes, where they are stratified, are shared out one after the other, so no fold lacks more than one row of any.
    """
    rows = _rows(data)
    if not 2 <= folds <= len(rows):
        raise InputError(f"cross-validation needs between 2 folds and one a sample, {len(rows)}, found folds={folds}")
    order = np.random.default_rng(seed).permutation(len(rows))
    if stratified:
        order = order[np.argsort(data.y[rows[order]], kind="stable")]
    members = np.empty(len(rows), dtype=np.int64)
    members[order] = np.arange(len(rows)) % folds
    return members


def _rows(data: TrainingData) -> IntArray:
    """Return the distinct sample of each row: identical rows of a table may fall in different folds."""
    return np.repeat(np.arange(len(data.y)), data.copies)


def _part(data: TrainingData, counts: IntArray) -> TrainingData:
    """Return so many of the copies of each sample, scaled as the whole."""
    kept = counts > 0
    weights = (data.weights * counts / data.copies)[kept]
    return replace(
        data, x=data.x[kept], y=data.y[kept], weights=weights / weights.sum(), copies=counts[kept].astype(np.int64)
    )


def _score_fold(
    data: TrainingData,
    specification: AnyWidthSpecification,
    prices: Sequence[float],
    options: TrainOptions,
    held_out: BoolArray,
) -> list[Score]:
    rows = _rows(data)
    train = _part(data, np.bincount(rows[~held_out], minlength=len(data.y)))
    test = _part(data, np.bincount(rows[held_out], minlength=len(data.y)))
    return [
        _score(test, specification, _outputs(test, step.network))
        for step in _sweep(prepare_problem(train, specification), prices, options)
    ]


@dataclass(frozen=True, eq=False)
class _Step:
    """A training of a sweep, and when it began."""

    problem: Problem
    generation: Generation
    network: UnitSum
    started: float


def _sweep(problem: Problem, prices: Sequence[float], options: TrainOptions) -> Iterator[_Step]:
    """Train at falling prices, each time from the units of the last."""
    specification = problem.specification
    pricer = Pricer(problem.family, specification.monotone, options.solver, options.threads)
    units: list[Unit] = []
    for price in prices:
        started = time.monotonic()
        priced = replace(problem, specification=_at(specification, price))
        generation, network = optimise(priced, pricer, options, units)
        if generation.reason == INTERRUPTED:
            raise KeyboardInterrupt
        units = list(network.units)
        yield _Step(priced, generation, network, started)


def _at(specification: AnyWidthSpecification, price: float) -> AnyWidthSpecification:
    return replace(specification, objective=replace(specification.objective, l1=price))


def _outputs(data: TrainingData, network: UnitSum) -> FloatArray:
    """Evaluate a network at samples, in units of their target."""
    signs = tuple(unit.sign for unit in network.units)
    scaled = predict(network.parameters(), signs, data.scaled_x)
    return data.scaling.target_offset + data.scaling.target_width * scaled


def _score(data: TrainingData, specification: AnyWidthSpecification, outputs: FloatArray) -> Score:
    accuracy = float(data.weights @ ((outputs > 0) == (data.y > 0))) if _has_classes(data) else None
    if specification.objective.loss.classifies:
        return Score(accuracy)
    squared = float(data.weights @ (outputs - data.y) ** 2)
    variance = float(data.weights @ (data.y - data.weights @ data.y) ** 2)
    return Score(accuracy, float(np.sqrt(squared)), 1.0 - squared / max(variance, 1e-300))


def _has_classes(data: TrainingData) -> bool:
    """Whether targets are classes, to which a squared loss may be fitted as well."""
    return bool(np.isin(data.y, (-1.0, 1.0)).all())
