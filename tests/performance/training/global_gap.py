"""Two units on all rows of data that no programme holds: objective and bound as they close."""

import argparse
import time

from tests.performance.training_any_width.tables import read_table
from verinet.program import Progress
from verinet.train import Budget, Loss, Objective, Specification, TrainingData, TrainOptions, train

__all__ = ["esl_lev"]

CLOSE = 0.1
"""The gap whose time is printed."""


def esl_lev(arguments: argparse.Namespace) -> None:
    """Print a row for each set and price of the weights."""
    print(f"{'set':4s} {'l1':>7s} {'rows':>5s} {'points':>6s} {'objective':>10s} {'bound':>8s} {'gap':>7s} seconds")
    for name in ("esl", "lev"):
        table = read_table(arguments.data, name)
        data = TrainingData.prepare(table.x, table.y, classes=False, names=table.names)
        for l1 in arguments.l1:
            objective = Objective(Loss.L1, l1=l1)
            specification = Specification(
                arguments.units, arguments.units, objective=objective, budget=Budget(units=arguments.units)
            )
            show(name, len(table.y), data, specification, TrainOptions(time_limit=arguments.limit))


def show(name: str, rows: int, data: TrainingData, specification: Specification, options: TrainOptions) -> None:
    begin = time.monotonic(), time.process_time()
    record = train(data, specification, options).record
    wall, used = time.monotonic() - begin[0], time.process_time() - begin[1]
    points = len({tuple(row) for row in data.x.tolist()})
    print(
        f"{name:4s} {specification.objective.l1:7g} {rows:5d} {points:6d} {float(record.objective):10.5f} "
        f"{record.bound:8.5f} {record.gap:7.2%} {wall:.0f} ({used:.0f} of a core); under {CLOSE:.0%} after "
        f"{first_below(record.history)}; {record.basis}; {record.solver}",
        flush=True,
    )


def first_below(history: tuple[Progress, ...]) -> str:
    closed = (s.seconds for s in history if s.objective and s.objective - s.bound <= CLOSE * s.objective)
    seconds = next(closed, None)
    return "no time" if seconds is None else f"{seconds:.0f} s"
