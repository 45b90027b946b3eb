"""``verinet train``: a training file to a network, its record and its pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from verinet.audit import (
    FileRecord,
    TrainingFileRecord,
    draw_network,
    draw_progress,
    draw_units,
    network_formulas,
)
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.cli.training_request import options_of, specification_of
from verinet.errors import DataError
from verinet.io import Dataset, TrainingFile, read_csv, read_training_file, write_atomically, write_onnx
from verinet.numeric import FloatArray
from verinet.program import Progress, Status
from verinet.train import Loss, Method, TrainingData, TrainingResult, TrainOptions, UniversalRecord, train_network

__all__ = ["TrainRequest", "progress_line", "summary", "train_file", "write_training"]


@dataclass(frozen=True)
class TrainRequest:
    """The arguments of ``verinet train``.

    Parameters
    ----------
    specification : Path
    out : Path
    time_limit : float or None
        Overrides the file's.
    solver : str or None
        Overrides the file's.
    quiet : bool
    """

    specification: Path
    out: Path
    time_limit: float | None = None
    solver: str | None = None
    quiet: bool = False


def train_file(request: TrainRequest) -> Exit:
    """Train as a file says and write network, record, formulas and pictures."""
    file = read_training_file(request.specification)
    table = read_csv(file.data.file, file.data.target, file.data.features)
    loss = Loss(file.objective.loss)
    data = TrainingData.prepare(table.x, _targets(table, loss), classes=loss.classifies, names=table.feature_names)
    with progress(request.quiet) as report:
        outcome = train_network(data, specification_of(file, data.names), _options(file, request, report))
    write_training(request.out, outcome, data, file.data.target)
    result(summary(outcome, data.names, file.data.target))
    return Exit.DONE


def _targets(table: Dataset, loss: Loss) -> FloatArray:
    """Return classes as -1 and 1, the later name (or larger number) positive; real targets as they are."""
    if not loss.classifies:
        if table.y.dtype.kind != "f":
            raise DataError(f"regression needs numbers in column {table.target_name!r}, found text")
        return np.asarray(table.y, dtype=np.float64)
    classes = np.unique(table.y)
    if len(classes) != 2:
        raise DataError(
            f"classification needs two classes in column {table.target_name!r}, found {len(classes)} "
            f"({', '.join(map(str, classes[:5]))})"
        )
    return np.where(table.y == classes[1], 1.0, -1.0)


def _options(file: TrainingFile, request: TrainRequest, report: Callable[[str], None]) -> TrainOptions:
    options = options_of(file, lambda state: report(progress_line(state)))
    limit = options.time_limit if request.time_limit is None else request.time_limit
    return replace(options, solver=request.solver or options.solver, time_limit=limit)


def progress_line(state: Progress) -> str:
    """Write incumbent, bound, gap and seconds on one line."""
    if state.objective is None:
        return f"training: no incumbent, bound {state.bound:.6g}, {state.seconds:.0f} s"
    gap = (state.objective - state.bound) / max(abs(state.objective), 1e-10)
    return f"training: incumbent {state.objective:.6g}, bound {state.bound:.6g}, gap {gap:.2%}, {state.seconds:.0f} s"


def write_training(folder: Path, outcome: TrainingResult, data: TrainingData, target: str) -> None:
    """Write the network (ONNX), its formulas and pictures, and its record into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parameters, names = outcome.parameters, data.names
    write_onnx(outcome.network, folder / "network.onnx")
    write_atomically(folder / "network.svg", draw_network(parameters, names, target))
    write_atomically(folder / "network.txt", network_formulas(parameters, names, target) + "\n")
    write_atomically(folder / "units.svg", draw_units(parameters, names, target, data.scaling))
    write_atomically(folder / "progress.svg", draw_progress(outcome.record))
    record = TrainingFileRecord.of(outcome.record, FileRecord.of(folder / "network.onnx"))
    write_atomically(folder / "record.json", record.model_dump_json(indent=2) + "\n")


def _universal_lines(universal: UniversalRecord) -> list[str]:
    """Say what holds at all inputs, and what that costs."""
    low, high = universal.price
    return [
        *(f"everywhere: {kept.name}: {kept.verdict}, {kept.engine}" for kept in universal.kept),
        f"price of that: {low:.3g} to {high:.3g} of the objective (by construction "
        f"{universal.constructed_objective:.6g}); "
        f"{universal.rounds} rounds, {len(universal.rows)} counterexamples, {universal.seconds_training:.1f} s of "
        f"training and {universal.seconds_verifying:.1f} s of verification",
    ]


def summary(outcome: TrainingResult, names: tuple[str, ...], target: str) -> str:
    """Write what came out: optimum or gap, size, formulas."""
    record = outcome.record
    over = " over networks of any width" if record.method is Method.ANY_WIDTH else ""
    proven = f"proven optimal{over}" if record.status is Status.OPTIMAL else f"gap {record.gap:.2%}"
    lines = [
        f"objective {float(record.objective):.6g} (exact), bound {record.bound:.6g} ({record.basis}): {proven}",
        f"{record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}",
        *(_universal_lines(record.universal) if record.universal is not None else []),
        *(f"note: {note}" for note in record.notes),
        network_formulas(outcome.parameters, names, target),
    ]
    return "\n".join(lines)
