"""``verinet demo``: the whole way on data that ships with scikit-learn.

Five measurements of cell nuclei are used whose medical direction is known: larger, more uneven in texture, rougher,
with more concave outlines and less symmetric means more likely malignant. The score is trained to be non-decreasing in
each of them, so a patient's worse measurement can never lower it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.cli.training import progress_line, summary, write_training
from verinet.cli.verifying import Judged, judge_all, records_of, records_text, replay_on, verdict_lines
from verinet.io import read_onnx, read_property_file, write_atomically, write_property_file
from verinet.model import (
    Atom,
    Feature,
    Linear,
    LinearExpression,
    Monotone,
    Property,
    PropertySet,
    Robust,
    Side,
    Symbol,
    evaluate,
)
from verinet.numeric import FloatArray
from verinet.train import AnyWidthSpecification, Objective, TrainingData, TrainOptions, train_outputs
from verinet.verify import Answer, VerifyOptions

__all__ = ["DemoRequest", "run_demo"]

FEATURES = ("worst radius", "worst texture", "worst smoothness", "worst concave points", "worst symmetry")
OUTPUT = "malignancy"
ROBUST_POINTS = 10
ROBUST_SHARE = Fraction(1, 100)
"""Each measurement may be off by this share of its range."""

GAP = 1e-3
"""Relative, at which the optimum counts as proven."""

SMALL_RADIUS = 12
"""Below the median of benign nuclei."""


@dataclass(frozen=True)
class DemoRequest:
    """The arguments of ``verinet demo``.

    Parameters
    ----------
    out : Path
    time_limit : float
    solver : str
    quiet : bool
    """

    out: Path
    time_limit: float
    solver: str
    quiet: bool


@dataclass(frozen=True, eq=False)
class _Table:
    """Training and test rows; classes are 1 for malignant and -1 for benign."""

    train_x: FloatArray
    train_y: FloatArray
    test_x: FloatArray
    test_y: FloatArray


def _load() -> _Table:
    bunch = load_breast_cancer()
    columns = [list(bunch.feature_names).index(name) for name in FEATURES]
    y = np.where(bunch.target == 0, 1.0, -1.0)
    parts = train_test_split(bunch.data[:, columns], y, test_size=0.2, stratify=y, random_state=0)
    train_x, test_x, train_y, test_y = parts
    return _Table(train_x, train_y, test_x, test_y)


def run_demo(request: DemoRequest) -> Exit:
    """Train, draw, verify, refute, and write everything into a folder."""
    table = _load()
    data = TrainingData.prepare(table.train_x, table.train_y, classes=True, names=FEATURES)
    # A skip that may only rise, and units that may only push in that direction: monotone by construction.
    specification = AnyWidthSpecification(Objective(l1=1e-3), monotone=dict.fromkeys(range(len(FEATURES)), 1))
    result(f"1. Train on {len(table.train_y)} patients, {len(FEATURES)} measurements, each one monotone:")
    with progress(request.quiet) as report:
        options = TrainOptions(
            solver=request.solver,
            time_limit=request.time_limit,
            gap_tolerance=GAP,
            threads=os.cpu_count() or 1,
            on_progress=lambda p: report(progress_line(p)),
        )
        outcome = train_outputs([data], specification, options)
    write_training(request.out, outcome, data, (OUTPUT,), ("benign", "malignant"))
    result(summary(outcome, data.names, (OUTPUT,)))
    for name, x, y in (("training", table.train_x, table.train_y), ("test", table.test_x, table.test_y)):
        accuracy = accuracy_score(y > 0, evaluate(outcome.network, x)[:, 0] > 0)
        result(f"accuracy on the {name} patients: {accuracy:.1%}")
    result("2. Verify the ONNX file (L1: Z3 agrees in rational arithmetic; L0: one engine's claim):")
    _verify(request, table, "monotone", _monotone())
    _verify(request, table, "robust", _robust(table))
    result("3. A property that does not hold, with its counterexample:")
    refuted = _verify(request, table, "refuted", [_small_is_benign()])
    result(f"Everything is in {request.out}: network.onnx; network.html, a page with its formulas, rules and pictures,")
    result(
        "which also stand alone (.txt, .svg); record.json with the proof of the bound; and for each property file its"
    )
    result("verdicts as JSON.")
    expected = all(item.verdict.answer is Answer.VIOLATED for item in refuted)
    return Exit.DONE if expected else Exit.INTERNAL_ERROR


def _verify(request: DemoRequest, table: _Table, name: str, properties: Sequence[Property]) -> list[Judged]:
    """Write a property file, verify what stands in the files, and print and record the verdicts."""
    path, model = request.out / f"{name}.toml", request.out / "network.onnx"
    write_property_file(path, PropertySet(_features(table), (OUTPUT,), tuple(properties)))
    read = read_property_file(path)
    with progress(request.quiet) as report:
        options = VerifyOptions(timeout=30, solver=request.solver, replay=replay_on(model), on_progress=report)
        judged = judge_all(read_onnx(model), read, options)
    for item in judged:
        for line in verdict_lines(item, read):
            result(line)
    write_atomically(request.out / f"{name}.json", records_text(records_of(judged, model, path)))
    return judged


def _features(table: _Table) -> tuple[Feature, ...]:
    """Take the range of all rows, rounded outward to two digits, as what may be asked of the network."""
    x = np.concatenate([table.train_x, table.test_x])
    step = 10.0 ** (np.floor(np.log10(np.ptp(x, axis=0))) - 1)
    low, high = np.floor(x.min(axis=0) / step), np.ceil(x.max(axis=0) / step)
    return tuple(
        Feature(name, _decimal(low[j] * step[j]), _decimal(high[j] * step[j])) for j, name in enumerate(FEATURES)
    )


def _decimal(value: float) -> Fraction:
    return Fraction(f"{value:.10g}")


def _monotone() -> list[Property]:
    return [Monotone(f"{name} raises the score", (j,), 0, increasing=True) for j, name in enumerate(FEATURES)]


def _robust(table: _Table) -> list[Property]:
    """Ask for a stable class at ten test patients, under a small error of every measurement."""
    features = _features(table)
    radius = tuple(_decimal(float(ROBUST_SHARE * (f.upper - f.lower))) for f in features)
    points = (tuple(_decimal(float(v)) for v in row) for row in table.test_x[:ROBUST_POINTS])
    return [Robust(f"patient {i} keeps the class", point, radius) for i, point in enumerate(points, start=1)]


def _small_is_benign() -> Property:
    """Claim, wrongly, that small nuclei are never called malignant."""
    score = LinearExpression.from_terms([(Symbol(Side.OUTPUT, 0), Fraction(1))])
    size = LinearExpression.from_terms([(Symbol(Side.INPUT, 0), Fraction(1))], Fraction(-SMALL_RADIUS))
    return Linear("small nuclei are benign", Atom(score), (Atom(size),))
