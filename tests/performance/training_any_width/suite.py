"""The table of the suite, row by row."""

import argparse
import csv
import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.performance.training_any_width.cases import Case, all_cases, select
from tests.performance.training_any_width.models import (
    boosted,
    fit_any_width,
    fold_score,
    linear,
    milp_gap,
    perceptron,
    score,
)
from tests.performance.verification.report import Table, plain, seconds
from verinet.io import write_atomically
from verinet.train import TrainOptions

__all__ = ["Row", "add_options", "measure", "print_table"]

TOLERANCE, FOLD_TOLERANCE = 1e-3, 1e-2
"""Gaps at which the training of a row, and of its folds, ends."""

COLUMNS = Table(
    (
        ("row", -37),
        ("N", 5),
        ("1% s", 7),
        ("0.1% s", 7),
        ("gap", 7),
        ("units", 5),
        ("nonz.", 5),
        ("train", 6),
        ("5-fold", 6),
        ("linear", 6),
        ("trees", 6),
        ("MLP", 6),
        ("MILP gap", 8),
        ("row s", 6),
    )
)


@dataclass(frozen=True)
class Row:
    """What was measured of a case; None where it was not, or a gap was not reached."""

    name: str
    samples: int
    seconds_to_1_percent: float | None
    seconds_to_0_1_percent: float | None
    gap: float
    units: int
    nonzeros: int
    train_score: float
    test_score: float | None
    linear_score: float
    trees_score: float
    perceptron_score: float
    milp_gap: float | None
    row_seconds: float

    def cells(self) -> list[str]:
        scores = (self.train_score, self.test_score, self.linear_score, self.trees_score, self.perceptron_score)
        return [
            self.name,
            str(self.samples),
            seconds(self.seconds_to_1_percent),
            seconds(self.seconds_to_0_1_percent),
            f"{self.gap:.2%}",
            str(self.units),
            str(self.nonzeros),
            *(plain(value, ".3f") for value in scores),
            plain(self.milp_gap, ".0%"),
            plain(self.row_seconds, ".1f"),
        ]


def measure(case: Case, options: argparse.Namespace, scores: dict[tuple[str, str], float]) -> Row:
    """Measure one case; scores of models that do not depend on the price are kept for its data's other cases."""
    started = time.monotonic()
    limits = TrainOptions(time_limit=options.limit, gap_tolerance=TOLERANCE, threads=options.threads)
    fitted = fit_any_width(case, case.x, case.y, limits)
    folds = TrainOptions(time_limit=options.limit, gap_tolerance=FOLD_TOLERANCE, threads=options.threads)
    milp = TrainOptions(time_limit=options.milp, threads=options.threads)
    return Row(
        case.name,
        len(case.y),
        fitted.seconds_to(1e-2),
        fitted.seconds_to(TOLERANCE),
        fitted.gap,
        fitted.units,
        fitted.nonzeros,
        score(case, case.y, fitted.predict(case.x)),
        fold_score(case, lambda x, y: fit_any_width(case, x, y, folds).predict) if _has_folds(case, options) else None,
        _kept(scores, (case.data, "linear"), lambda: fold_score(case, linear(case))),
        _kept(scores, (case.data, "trees"), lambda: fold_score(case, boosted(case))),
        _kept(scores, (case.data, str(fitted.units)), lambda: fold_score(case, perceptron(case, fitted.units))),
        milp_gap(case, fitted, milp) if case.milp and options.milp else None,
        time.monotonic() - started,
    )


def warm_up() -> None:
    """Train once, uncounted, so that compiled kernels are in their cache."""
    case = all_cases()[0]
    fit_any_width(case, case.x, case.y, TrainOptions(gap_tolerance=0.1))


def _has_folds(case: Case, options: argparse.Namespace) -> bool:
    return options.folds == "all" or (options.folds == "quick" and case.folds)


def _kept(scores: dict[tuple[str, str], float], key: tuple[str, str], find: Callable[[], float]) -> float:
    if key not in scores:
        scores[key] = find()
    return scores[key]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options of the suite itself."""
    add = parser.add_argument
    add("--select", action="append", default=[], metavar="TEXT", help="part of ' row '; repeatable")
    add("--limit", type=float, default=300.0, metavar="S", help="seconds of each training, default 300")
    add("--milp", type=float, default=30.0, metavar="S", help="seconds of the mixed-integer form; 0 leaves it out")
    add("--threads", type=int, default=2, metavar="N", help="default 2")
    add("--folds", choices=("none", "quick", "all"), default="quick", help="test scores; quick: where trainings are")
    add("--out", type=Path, metavar="FILE", help="a .csv of all rows, whole after every row")


def print_table(options: argparse.Namespace) -> list[Row]:
    """Measure, print and return the rows that are asked for."""
    cases, rows, scores = select(all_cases(), options.select), list[Row](), dict[tuple[str, str], float]()
    warm_up()
    print(COLUMNS.header, flush=True)
    for case in cases:
        rows.append(measure(case, options, scores))
        print(COLUMNS.line(rows[-1].cells()), flush=True)
        if options.out is not None:
            _write(options.out, rows)
    return rows


def _write(place: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(place, text.getvalue())
