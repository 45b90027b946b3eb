"""Print the grid of trainings beside the plain model; see README.md."""

import argparse
import csv
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from tests.performance.training.global_gap import esl_lev
from tests.performance.training_any_width.tables import DEFAULT_FOLDER
from verinet.encode import lower_programme
from verinet.errors import VerinetError
from verinet.model import evaluate
from verinet.program import Status
from verinet.train import Loss, Objective, Specification, TrainingData, TrainOptions, UnitTightening, train
from verinet.train.layered import (
    Architecture,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    Goal,
    LayeredSpecification,
    MaxPoolLayer,
    ReluLayer,
    Tightening,
    build_layered,
    integer,
    train_layered,
)
from verinet.verify import compile_kernels

SOLVERS = Path(__file__).with_name("solvers.csv")
"""Seconds of each solver on the same programmes, the limit where the gap stayed open."""

Tightenings = Tightening | UnitTightening

Run = Callable[[TrainOptions, Any], tuple[float, float, float]]
"""From options and tightenings to seconds, objective and gap."""


@dataclass(frozen=True)
class Case:
    """One row of the grid, and which tightenings it has."""

    name: str
    run: Run
    tightening: type[Tightenings]


def planted(samples: int, features: int, units: int, seed: int = 0) -> TrainingData:
    """Label random points by a random ternary network, a tenth of them wrongly."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (samples, features)).round(2)
    hidden = np.maximum(x @ rng.integers(-1, 2, (units, features)).T + rng.integers(-1, 2, units), 0)
    f = hidden @ rng.choice([-1, 1], units)
    y = np.where(f > np.median(f), 1.0, -1.0)
    return TrainingData.prepare(x, np.where(rng.random(samples) < 0.1, -y, y), classes=True)


def continuous(samples: int, features: int, positive: int, negative: int) -> Case:
    data = planted(samples, features, positive + negative)
    specification = Specification(positive, negative, objective=Objective(Loss.HINGE, l1=0.01))

    def run(options: TrainOptions, tightening: UnitTightening) -> tuple[float, float, float]:
        begin = time.monotonic()
        record = train(data, specification, options, tightening=tightening).record
        return time.monotonic() - begin, float(record.objective), record.gap

    return Case(f"continuous ({samples},{features},{positive}+{negative})", run, UnitTightening)


def layered(name: str, data: TrainingData, specification: LayeredSpecification) -> Case:
    def run(options: TrainOptions, tightening: Tightening) -> tuple[float, float, float]:
        begin = time.monotonic()
        record = train_layered(data, specification, options, tightening=tightening).record
        return time.monotonic() - begin, float(record.objective), record.gap

    return Case(name, run, Tightening)


def dense(samples: int, features: int, *units: int) -> Case:
    layers = [part for size in units for part in (DenseLayer(size), ReluLayer())]
    architecture = Architecture((features,), (*layers, DenseLayer(1)))
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=1e-3))
    name = f"ternary ({samples},{features},{'-'.join(map(str, units))})"
    return layered(name, planted(samples, features, units[0]), specification)


def digits(images: int, filters: int) -> Case:
    x, y = load_digits(return_X_y=True)
    chosen = np.flatnonzero(y < 2)
    chosen = np.random.default_rng(0).permutation(chosen)[:images]
    data = TrainingData.prepare(x[chosen], np.where(y[chosen] == 1, 1.0, -1.0), classes=True, shared=True)
    architecture = Architecture(
        (1, 8, 8), (ConvolutionLayer(filters), ReluLayer(), MaxPoolLayer(), FlattenLayer(), DenseLayer(1))
    )
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, l1=0.0, l0=1e-3))
    return layered(f"digits 0 v 1 ({images} images, {filters} filters)", data, specification)


def cases() -> list[Case]:
    sizes = ((20, 2, 1, 1), (30, 2, 1, 1), (50, 2, 1, 1), (20, 2, 2, 1), (30, 4, 1, 1), (20, 4, 2, 2), (100, 8, 1, 1))
    rows = [continuous(*size) for size in sizes]
    rows += [dense(30, 5, 2), dense(60, 5, 2), dense(100, 10, 2), dense(20, 4, 3, 2)]
    return rows + [digits(images, filters) for filters in (1, 2) for images in (10, 20, 40)]


def warm_up() -> None:
    """Train tiny networks of each kind, so that the compiled loops are there before the clock runs."""
    for case in (dense(10, 1, 1), dense(10, 1, 1, 1)):
        case.run(TrainOptions(time_limit=10.0), Tightening())


def grid(arguments: argparse.Namespace) -> None:
    warm_up()
    print(f"{'case':38s} {'solver':7s} {'model':16s} {'seconds':>8s} {'CPU':>8s} {'objective':>10s} {'gap':>7s}")
    ratios: list[float] = []
    for case in cases():
        if arguments.select not in case.name:
            continue
        for solver in arguments.solvers:
            options = TrainOptions(time_limit=arguments.limit, solver="auto", gap_tolerance=1e-3)
            # Enumeration, cells and the choice of a solver belong to this project, which stands there once; the plain
            # model gets the solver.
            none = case.tightening.none()
            if solver == arguments.solvers[0]:
                tight = show(case, "auto", "this project", options, case.tightening())
            plain = show(case, solver, "plain", replace(options, solver=solver), none)
            if tight is not None and plain is not None:
                ratios.append(plain / tight)
            for field in fields(case.tightening) if arguments.ablate else ():
                # What is off by default is tried on top of everything.
                usual = getattr(case.tightening(), field.name)
                other = replace(case.tightening(), **{field.name: not usual})
                show(case, solver, f"{'no' if usual else 'and'} {field.name}", options, other)
                alone = replace(none, **{field.name: True})
                named = "auto" if field.name == "cells" else solver
                show(case, solver, f"only {field.name}", replace(options, solver=named), alone)
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"plain over this project, geometric mean of {len(ratios)}: {mean:.2f}; least {min(ratios):.2f}")


def solver_grid(arguments: argparse.Namespace) -> None:
    """Measure each solver on the tightened programmes, without cells and enumeration, and write the table."""
    rows = [
        continuous(20, 2, 1, 1),
        continuous(30, 2, 1, 1),
        continuous(20, 2, 2, 1),
        continuous(30, 4, 1, 1),
        dense(12, 3, 1),
    ]
    with SOLVERS.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "solver", "seconds", "gap"])
        for case in rows:
            for solver in ("gurobi", "highs", "scip", "cpsat"):
                options = TrainOptions(time_limit=arguments.limit, solver=solver, gap_tolerance=1e-3)
                try:
                    seconds, _, gap = case.run(options, case.tightening())
                except VerinetError as error:
                    print(f"{case.name}: {solver}: {error}", flush=True)
                    continue
                table.writerow([case.name, solver, f"{seconds:.2f}", f"{gap:.4f}"])
                print(f"{case.name:38s} {solver:7s} {seconds:8.2f} {gap:7.2%}", flush=True)


def show(case: Case, solver: str, model: str, options: TrainOptions, tightening: Tightenings) -> float | None:
    """Print a row and return the seconds, the limit for a case that is open."""
    busy = processor_seconds()
    try:
        seconds, objective, gap = case.run(options, tightening)
    except VerinetError as error:
        print(f"{case.name:38s} {solver:7s} {model:16s} {type(error).__name__}: {error}", flush=True)
        return None
    busy = processor_seconds() - busy
    print(
        f"{case.name:38s} {solver:7s} {model:16s} {seconds:8.2f} {busy:8.2f} {objective:10.5f} {gap:7.2%}", flush=True
    )
    return seconds if gap <= 2e-3 else options.time_limit


def processor_seconds() -> float:
    """Return the seconds that this process and its children have computed; a busy machine shows in the difference."""
    return sum(os.times()[:4])


def breast_cancer(arguments: argparse.Namespace) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    y = np.where(y == 1, 1.0, -1.0)
    architecture = Architecture((30,), (DenseLayer(8, integer(3)), ReluLayer(), DenseLayer(1, integer(3))))
    objective = Objective(Loss.ZERO_ONE, margin=0.1, l1=0.0)
    for rows in arguments.rows:
        for number, (fold, test) in enumerate(
            RepeatedStratifiedKFold(n_splits=5, n_repeats=1, random_state=0).split(x, y)
        ):
            chosen, _ = train_test_split(fold, train_size=rows, stratify=y[fold], random_state=0)
            data = TrainingData.prepare(x[chosen], y[chosen], classes=True, allow_constant=True)
            errors = LayeredSpecification(architecture, objective, goals=(Goal.ERRORS,))
            begin = time.monotonic()
            first = train_layered(data, errors, TrainOptions(time_limit=arguments.limit))
            seconds = time.monotonic() - begin
            line = f"{rows} rows, fold {number}: {float(first.goals[0].value):.4f} errors in {seconds:.1f} s"
            if arguments.sparse_limit > 0:
                sparse, begin = replace(errors, goals=(Goal.ERRORS, Goal.NONZEROS)), time.monotonic()
                second = train_layered(
                    data, sparse, TrainOptions(time_limit=arguments.sparse_limit), start=first.values
                )
                line += f"; {second.record.nonzeros} non-zeros of 257 (bound {second.goals[1].bound:.0f})"
                line += f" in {time.monotonic() - begin:.1f} s"
                line += f" at {float(second.goals[0].value):.4f} errors"
                first = second
            accuracy = np.mean(np.sign(evaluate(first.network, x[test])[:, 0]) == y[test])
            scaler = StandardScaler().fit(x[chosen])
            logistic = LogisticRegression(max_iter=1000).fit(scaler.transform(x[chosen]), y[chosen])
            print(
                f"{line}; test {accuracy:.3f}, logistic {logistic.score(scaler.transform(x[test]), y[test]):.3f}",
                flush=True,
            )


def one_against_one(arguments: argparse.Namespace) -> None:
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    fit = np.concatenate([rng.permutation(np.flatnonzero(y == k))[: arguments.per_class] for k in range(10)])
    test = np.setdiff1d(np.arange(len(y)), fit)
    architecture = Architecture((64,), (DenseLayer(2), ReluLayer(), DenseLayer(1)))
    # A wide margin asks for several pixels that agree.
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=5.0, l1=0.0, l0=1e-3))
    votes, outputs = np.zeros((len(test), 10)), np.zeros((len(test), 10))
    links, proven, begin, busy = 0, 0, time.monotonic(), processor_seconds()
    pairs = list(combinations(range(10), 2))
    for first, second in pairs:
        own = fit[np.isin(y[fit], (first, second))]
        data = TrainingData.prepare(x[own], np.where(y[own] == first, 1.0, -1.0), classes=True, shared=True)
        trained = train_layered(data, specification, TrainOptions(time_limit=arguments.limit, gap_tolerance=1e-3))
        f = evaluate(trained.network, x[test])[:, 0]
        for digit, score in ((first, f), (second, -f)):
            votes[:, digit] += score > 0
            outputs[:, digit] += np.clip(score, -1.0, 1.0)
        links += trained.record.nonzeros
        proven += trained.record.status is Status.OPTIMAL
    seconds, busy = time.monotonic() - begin, processor_seconds() - busy
    # Ties of votes go to the larger sum of outputs, which is below half a vote here.
    accuracy = float(np.mean(np.argmax(votes + outputs / 20.0, axis=1) == y[test]))
    cut = 1 - links / (len(pairs) * (64 * 2 + 2))
    logistic = LogisticRegression(max_iter=2000).fit(x[fit] / 16, y[fit]).score(x[test] / 16, y[test])
    nearest = KNeighborsClassifier(1).fit(x[fit], y[fit]).score(x[test], y[test])
    print(
        f"{arguments.per_class} images a digit: accuracy {accuracy:.3f}, links cut {cut:.1%}, {seconds:.0f} s "
        f"({busy:.0f} s CPU), {proven} of {len(pairs)} proven"
    )
    print(f"logistic regression {logistic:.3f}, nearest neighbour {nearest:.3f}")


def memory(arguments: argparse.Namespace) -> None:
    """Print the seconds and the memory of building the programme of the largest dense row."""
    data = planted(100, 10, 2)
    architecture = Architecture((10,), (DenseLayer(2), ReluLayer(), DenseLayer(1)))
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=1e-3))
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    programme = lower_programme(build_layered(specification, data).programme).programme
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = programme.rows.expressions.size
    print(
        f"ternary (100,10,2): {programme.size} variables and {rows} rows in {seconds:.2f} s, "
        f"{after / 1024:.0f} MiB in all, {(after - before) / 1024:.0f} MiB more than before"
    )


MODES: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "grid": grid,
    "solvers": solver_grid,
    "breast-cancer": breast_cancer,
    "digits": one_against_one,
    "memory": memory,
    "esl-lev": esl_lev,
}
"""Each prints its rows; see README.md."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.training")
    parser.add_argument("mode", nargs="?", choices=list(MODES), default="grid")
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--sparse-limit", type=float, default=600.0)
    parser.add_argument("--solvers", nargs="+", default=["gurobi", "highs"])
    parser.add_argument("--select", default="")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--units", type=int, default=2)
    parser.add_argument("--l1", type=float, nargs="+", default=[0.01, 0.003, 0.001])
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    arguments = parser.parse_args()
    # Once for an installation, and no part of any training.
    compile_kernels("cones")
    MODES[arguments.mode](arguments)


if __name__ == "__main__":
    main()
