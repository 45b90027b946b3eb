"""``verinet train``: a training file to a network, its record and its pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from verinet.audit import (
    FileRecord,
    Sample,
    Target,
    TrainingFileRecord,
    draw_network,
    draw_progress,
    draw_units,
    extract_rules,
    network_formulas,
    network_page,
    network_stages,
    rules_text,
)
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.cli.training_request import options_of, specification_of
from verinet.errors import DataError
from verinet.io import Dataset, TrainingFile, read_csv, read_training_file, write_atomically, write_onnx
from verinet.numeric import FloatArray
from verinet.program import Progress, Status
from verinet.train import Loss, Method, TrainingData, TrainingResult, TrainOptions, train_network

__all__ = ["TrainRequest", "class_targets", "progress_line", "summary", "train_file", "write_training"]

MOST_WORK_FOR_RULES = 10_000_000
"""Rows times inputs times neurons, beyond which rules may take minutes: ``verinet rules`` writes them when asked."""


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
    y, classes = class_targets(table) if loss.classifies else (_numbers(table), ())
    data = TrainingData.prepare(table.x, y, classes=loss.classifies, names=table.feature_names)
    with progress(request.quiet) as report:
        outcome = train_network(data, specification_of(file, data.names), _options(file, request, report))
    write_training(request.out, outcome, data, file.data.target, classes)
    result(summary(outcome, data.names, file.data.target))
    return Exit.DONE


def _numbers(table: Dataset) -> FloatArray:
    """Return a target of numbers."""
    if table.y.dtype.kind != "f":
        raise DataError(f"regression needs numbers in column {table.target_name!r}, found text")
    return np.asarray(table.y, dtype=np.float64)


def class_targets(table: Dataset) -> tuple[FloatArray, tuple[str, ...]]:
    """Return classes as -1 and 1, the later name (or larger number) positive, and their names.

    Raises
    ------
    DataError
        If there are not two.
    """
    classes = np.unique(table.y)
    if len(classes) != 2:
        raise DataError(
            f"classification needs two classes in column {table.target_name!r}, found {len(classes)} "
            f"({', '.join(map(str, classes[:5]))})"
        )
    names = tuple(f"{c:g}" if table.y.dtype.kind == "f" else str(c) for c in classes)
    return np.where(table.y == classes[1], 1.0, -1.0), names


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


def write_training(
    folder: Path, outcome: TrainingResult, data: TrainingData, target: str, classes: tuple[str, ...] = ()
) -> None:
    """Write the network (ONNX), its formulas, rules, pictures and page, and its record into a folder.

    Parameters
    ----------
    folder : Path
    outcome : TrainingResult
    data : TrainingData
    target : str
    classes : tuple of str
        The names of the classes -1 and 1; empty for a target of numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network, names, record = outcome.network, data.names, outcome.record
    stages = network_stages(network, names, (target,))
    write_onnx(network, folder / "network.onnx")
    file_record = TrainingFileRecord.of(record, FileRecord.of(folder / "network.onnx"))
    write_atomically(folder / "record.json", file_record.model_dump_json(indent=2) + "\n")
    write_atomically(folder / "network.svg", draw_network(stages))
    write_atomically(folder / "network.txt", network_formulas(stages) + "\n")
    write_atomically(folder / "units.svg", draw_units(outcome.parameters, names, target, data.scaling))
    write_atomically(folder / "progress.svg", draw_progress(record))
    sample = _sample(data, target, classes)
    is_small = sample.x.size * max(network.neurons, 1) <= MOST_WORK_FOR_RULES
    rules = extract_rules(network, sample) if is_small else None
    if rules is None:
        # Rules of an earlier training must not be taken for this one's.
        (folder / "rules.txt").unlink(missing_ok=True)
    else:
        write_atomically(folder / "rules.txt", rules_text(rules) + "\n")
    title = f"{target}: a trained network"
    page = network_page(network, names, (target,), title=title, sample=sample, rules=rules, record=record)
    write_atomically(folder / "network.html", page)


def _sample(data: TrainingData, target: str, classes: tuple[str, ...]) -> Sample:
    """Return the rows of the training, each as often as the table holds it."""
    x, y = (np.repeat(values, data.copies, axis=0) for values in (data.x, data.y))
    return Sample(x, data.names, (target,), Target(target, y, classes))


def summary(outcome: TrainingResult, names: tuple[str, ...], target: str) -> str:
    """Write what came out: optimum or gap, size, formulas."""
    record = outcome.record
    over = " over networks of any width" if record.method is Method.ANY_WIDTH else ""
    proven = f"proven optimal{over}" if record.status is Status.OPTIMAL else f"gap {record.gap:.2%}"
    lines = [
        f"objective {float(record.objective):.6g} (exact), bound {record.bound:.6g} ({record.basis}): {proven}",
        f"{record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}",
        *(f"note: {note}" for note in record.notes),
        network_formulas(network_stages(outcome.network, names, (target,))),
    ]
    return "\n".join(lines)
