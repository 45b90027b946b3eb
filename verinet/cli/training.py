"""``verinet train``: a training file to a network, its record and its picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verinet.audit import FileRecord, TrainingFileRecord, draw_network, network_formulas
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.errors import DataError
from verinet.io import Dataset, TrainingFile, read_csv, read_training_file, write_atomically, write_onnx
from verinet.numeric import FloatArray
from verinet.program import Progress
from verinet.train import (
    Budget,
    Loss,
    Objective,
    Specification,
    TrainingData,
    TrainingResult,
    TrainOptions,
    train,
)

__all__ = ["TrainRequest", "progress_line", "summary", "train_file", "write_training"]

DIRECTIONS = {"increasing": 1, "decreasing": -1}


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
    """Train as a file says and write network, record, formulas and picture."""
    file = read_training_file(request.specification)
    table = read_csv(file.data.file, file.data.target, file.data.features)
    loss = Loss(file.objective.loss)
    data = TrainingData.prepare(table.x, _targets(table, loss), classes=loss.classifies, names=table.feature_names)
    with progress(request.quiet) as report:
        outcome = train(data, _specification(file, loss, table), _options(file, request, report))
    write_training(request.out, outcome, data.names, file.data.target)
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


def _specification(file: TrainingFile, loss: Loss, table: Dataset) -> Specification:
    names = list(table.feature_names)
    unknown = [name for name in file.constraints.monotone if name not in names]
    if unknown:
        raise DataError(f"constraints.monotone names {unknown[0]!r}, the features are {', '.join(names)}")
    units = file.model.units
    budget = file.budget.units if file.budget.units is not None else units
    return Specification(
        file.model.positive_units if file.model.positive_units is not None else units,
        file.model.negative_units if file.model.negative_units is not None else units,
        skip=file.model.skip,
        weight_bound=file.model.weight_bound,
        objective=Objective(
            loss,
            file.objective.margin,
            file.objective.l1,
            file.objective.l0,
            file.objective.unit_penalty,
            file.objective.feature_penalty,
        ),
        budget=Budget(file.budget.nonzeros, budget, file.budget.features),
        monotone={names.index(n): DIRECTIONS[direction] for n, direction in file.constraints.monotone.items()},
    )


def _options(file: TrainingFile, request: TrainRequest, report: Callable[[str], None]) -> TrainOptions:
    return TrainOptions(
        solver=request.solver or file.solver.name,
        time_limit=file.solver.time_limit if request.time_limit is None else request.time_limit,
        gap_tolerance=file.solver.gap_tolerance,
        threads=file.solver.threads,
        seed=file.solver.seed,
        on_progress=lambda state: report(progress_line(state)),
    )


def progress_line(state: Progress) -> str:
    """Write incumbent, bound, gap and seconds on one line."""
    if state.objective is None:
        return f"training: no incumbent, bound {state.bound:.6g}, {state.seconds:.0f} s"
    gap = (state.objective - state.bound) / max(abs(state.objective), 1e-10)
    return f"training: incumbent {state.objective:.6g}, bound {state.bound:.6g}, gap {gap:.2%}, {state.seconds:.0f} s"


def write_training(folder: Path, outcome: TrainingResult, names: tuple[str, ...], target: str) -> None:
    """Write ``network.onnx``, ``network.svg``, ``network.txt`` and ``record.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(outcome.network, folder / "network.onnx")
    write_atomically(folder / "network.svg", draw_network(outcome.parameters, names, target))
    write_atomically(folder / "network.txt", network_formulas(outcome.parameters, names, target) + "\n")
    record = TrainingFileRecord.of(outcome.record, FileRecord.of(folder / "network.onnx"))
    write_atomically(folder / "record.json", record.model_dump_json(indent=2) + "\n")


def summary(outcome: TrainingResult, names: tuple[str, ...], target: str) -> str:
    """Write what came out: optimum or gap, size, formulas."""
    record = outcome.record
    proven = "proven optimal" if record.status.value == "optimal" else f"gap {record.gap:.2%}"
    lines = [
        f"objective {float(record.objective):.6g} (exact), bound {record.bound:.6g} (claimed): {proven}",
        f"{record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}",
        *(f"note: {note}" for note in record.notes),
        network_formulas(outcome.parameters, names, target),
    ]
    return "\n".join(lines)
