"""Certified monotone networks beside the published ones, on the published folds.

Everything that is chosen is chosen by cross-validation inside the training part of a fold: the loss, the features of a
unit, the price of the weights. The test part is looked at once, by the one network trained with what was chosen.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.performance.training_any_width.tables import (
    DEFAULT_FOLDER,
    SETS,
    MonotoneTable,
    best_published,
    read_table,
)
from tests.performance.verification.report import Table
from verinet.model import Domain, Monotone, evaluate
from verinet.train import (
    AnyWidthSpecification,
    Loss,
    Objective,
    TrainingData,
    TrainingResult,
    TrainOptions,
    Validation,
    cross_validate,
    train_any_width,
)
from verinet.train.export import worst_slope
from verinet.verify import Answer, verify_property

__all__ = ["Choice", "FoldResult", "add_options", "print_tables", "run_fold"]

FINE = tuple(np.geomspace(1e-2, 1e-5, 8))
"""Prices for the squared loss of a target in 0..1."""

MIDDLE = tuple(np.geomspace(1e-2, 1e-4, 8))
"""Prices for the squared loss of classes."""

COARSE = tuple(np.geomspace(3e-2, 2e-4, 8))
"""Prices for the hinge and the logistic loss."""

NEARBY, NEARBY_CLASSES = 20.0, 5.0
"""Units of more features are tried at prices within this factor of the best for units of fewer."""

FEW_FEATURES = 4
"""Sets with no more features are also tried with three to a unit; elsewhere the inner folds would take hours."""

COLUMNS = (
    ("set", -15),
    ("error", 7),
    ("std", 6),
    ("free", 7),
    ("units", 6),
    ("nonzeros", 8),
    ("gap", 8),
    ("seconds", 8),
    ("monotone", -9),
    ("verified", -9),
    ("best published, certified", -30),
    ("error", 7),
    ("std", 6),
    ("weights", 7),
    ("", -6),
)


INNER = TrainOptions(time_limit=2.0, gap_tolerance=5e-3)
"""Limits of the trainings that choose."""

FINAL = TrainOptions(time_limit=60.0, gap_tolerance=1e-3)
"""Limits of the one training after the choice."""


@dataclass(frozen=True)
class Choice:
    """What inner cross-validation chooses: loss, features of a unit, and the price with its scores."""

    loss: Loss
    features: int
    validation: Validation

    def specification(self, table: MonotoneTable) -> AnyWidthSpecification:
        return specification_of(table, self.loss, self.features, self.validation.l1)


@dataclass(frozen=True)
class FoldResult:
    """The network of one fold.

    Parameters
    ----------
    choice : Choice
    error : float
        RMSE, or the share of wrong classes, on the test part.
    free : float
        The same of the optimum for the same choice without directions.
    units, nonzeros : int
    gap, seconds, choosing : float
        Seconds of the last training, and of the choice before it.
    is_monotone : bool
        Whether every marked feature's slope has the right sign in every activation pattern, in exact arithmetic.
    level : str
        The least level at which the verifier says so of a feature; empty where it does not.
    """

    choice: Choice
    error: float
    free: float
    units: int
    nonzeros: int
    gap: float
    seconds: float
    choosing: float
    is_monotone: bool
    level: str


def specification_of(table: MonotoneTable, loss: Loss, features: int, price: float) -> AnyWidthSpecification:
    return AnyWidthSpecification(Objective(loss, l1=price), max_features_per_unit=features, monotone=table.monotone)


def choose(table: MonotoneTable, data: TrainingData, options: TrainOptions) -> Choice:
    """Return the loss, then the features of a unit, each with its price, of the smallest error on the inner folds."""
    losses = (Loss.SQUARED, Loss.LOGISTIC, Loss.HINGE) if table.classes else (Loss.SQUARED,)
    best = min((_validate(table, data, loss, 1, _prices(table, loss), options) for loss in losses), key=_error_of)
    most = min(3 if len(table.names) <= FEW_FEATURES else 2, len(table.names))
    for features in range(2, most + 1):
        factor, centre = NEARBY_CLASSES if table.classes else NEARBY, best.validation.l1
        prices = [price for price in _prices(table, best.loss) if centre / factor <= price <= centre * factor]
        best = min(best, _validate(table, data, best.loss, features, prices, options), key=_error_of)
    return best


def _validate(
    table: MonotoneTable, data: TrainingData, loss: Loss, features: int, prices: Sequence[float], options: TrainOptions
) -> Choice:
    found = cross_validate(data, specification_of(table, loss, features, prices[0]), prices, options)
    return Choice(loss, features, min(found, key=lambda validation: validation.error))


def _prices(table: MonotoneTable, loss: Loss) -> Sequence[float]:
    return COARSE if loss is not Loss.SQUARED else MIDDLE if table.classes else FINE


def _error_of(choice: Choice) -> float:
    return choice.validation.error


def run_fold(table: MonotoneTable, fold: int, inner: TrainOptions = INNER, final: TrainOptions = FINAL) -> FoldResult:
    """Choose on the training part of a fold, train once, and look at the test part once."""
    test = table.folds == fold
    data = TrainingData.prepare(
        table.x[~test], table.y[~test], classes=table.classes, names=table.names, allow_constant=True
    )
    started = time.monotonic()
    choice = choose(table, data, inner)
    choosing = time.monotonic() - started
    specification = choice.specification(table)
    result = train_any_width(data, specification, final)
    free = train_any_width(data, replace(specification, monotone={}), final)
    record = result.record
    errors = [_error(table, evaluate(r.network, table.x[test])[:, 0], table.y[test]) for r in (result, free)]
    return FoldResult(
        choice,
        *errors,
        record.units,
        record.nonzeros,
        record.gap,
        record.seconds,
        choosing,
        all(worst_slope(result.parameters, j, direction) >= 0 for j, direction in table.monotone.items()),
        _level(table, result),
    )


def _error(table: MonotoneTable, outputs: np.ndarray, y: np.ndarray) -> float:
    wrong = (outputs > 0) != (y > 0) if table.classes else (outputs - y) ** 2
    return float(np.mean(wrong) if table.classes else np.sqrt(np.mean(wrong)))


def _level(table: MonotoneTable, result: TrainingResult) -> str:
    size = len(table.names)
    domain = Domain.from_box([0] * size, [1] * size)
    verdicts = [
        verify_property(result.network, domain, Monotone(table.names[j], (j,), 0, direction > 0))
        for j, direction in table.monotone.items()
    ]
    levels = [v.level.value for v in verdicts if v.answer is Answer.VERIFIED and v.level is not None]
    return min(levels) if len(levels) == len(verdicts) else ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options of ``monotone``."""
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET", help=" ".join(SETS))
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="default %(default)s")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="folds side by side, default 2")


def print_tables(options: argparse.Namespace) -> bool:
    """Measure and print, each set with what was chosen on its inner folds; return whether every network is monotone."""
    tables = [read_table(options.data, name) for name in options.sets]
    summary, good = Table(COLUMNS), True
    print(summary.header, flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        for table in tables:
            folds = _run_folds(pool, table)
            print(summary.line(_summary(table, folds, options.data)), flush=True)
            print("\n".join(_detail(table, fold, result) for fold, result in enumerate(folds)), flush=True)
            good &= all(result.is_monotone and result.level for result in folds)
    return good


def _run_folds(pool: Executor, table: MonotoneTable) -> list[FoldResult]:
    waiting = [pool.submit(run_fold, table, fold) for fold in range(int(table.folds.max()) + 1)]
    return [future.result() for future in waiting]


def _summary(table: MonotoneTable, folds: Sequence[FoldResult], folder: Path) -> list[str]:
    other = best_published(folder, table.name)
    errors = [fold.error for fold in folds]
    mean = statistics.mean(errors)
    return [
        table.name,
        f"{mean:.4f}",
        f"{statistics.pstdev(errors):.4f}",
        f"{statistics.mean(fold.free for fold in folds):.4f}",
        f"{statistics.mean(fold.units for fold in folds):.1f}",
        f"{statistics.mean(fold.nonzeros for fold in folds):.1f}",
        f"{max(fold.gap for fold in folds):.3%}",
        f"{statistics.mean(fold.seconds for fold in folds):.1f}",
        f"{sum(fold.is_monotone for fold in folds)} of {len(folds)}",
        min(fold.level for fold in folds) or "not",
        other.method,
        f"{other.error:.4f}",
        f"{other.spread:.4f}",
        str(other.parameters),
        "better" if round(mean, 4) < other.error else "equal" if round(mean, 4) == other.error else "worse",
    ]


def _detail(table: MonotoneTable, fold: int, result: FoldResult) -> str:
    choice = result.choice
    return (
        f"  {table.name} {fold}: {choice.loss.value}, s={choice.features}, lambda={choice.validation.l1:.2g}, inner "
        f"error {choice.validation.error:.4f}; test error {result.error:.4f} ({result.free:.4f} free), "
        f"{result.units} units, {result.nonzeros} nonzeros, gap {result.gap:.3%}, {result.seconds:.1f} s after "
        f"{result.choosing:.0f} s of choosing"
    )
