"""``verinet train``: a training file to a network, its record and its pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from verinet.audit import FileRecord, SeveralTrainingsRecord, TrainingFileRecord, formulas_of
from verinet.cli.exits import Exit
from verinet.cli.layered_request import layered_data, layered_specification
from verinet.cli.layered_training import layered_summary, write_layered
from verinet.cli.output import progress, result
from verinet.cli.readable import sample_of, write_readable
from verinet.cli.targets import targets_of
from verinet.cli.training_request import objective_of, options_of, specification_of
from verinet.io import Dataset, TrainingFile, read_csv, read_training_file, write_atomically, write_onnx
from verinet.program import Progress, Status
from verinet.train import (
    Loss,
    Method,
    TrainedOutputs,
    TrainingData,
    TrainingRecord,
    TrainOptions,
    UniversalRecord,
    train_outputs,
)
from verinet.train.layered import train_layered

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
    """Train as a file says and write network, record, formulas, rules, pictures and page."""
    file = read_training_file(request.specification)
    table = read_csv(file.data.file, file.data.target, file.data.features)
    if file.model.layers is not None:
        return _train_layers(request, file, table)
    loss = Loss(file.objective.loss)
    targets = targets_of(table, loss)
    outputs = tuple(targets.of_output)
    tables = [
        TrainingData.prepare(
            table.x, y, classes=loss.classifies, names=table.feature_names, shared=file.filters is not None
        )
        for y in targets.of_output.values()
    ]
    specification = specification_of(file, table.feature_names)
    with progress(request.quiet) as report:
        trained = train_outputs(tables, specification, _options(file, request, report))
    write_training(request.out, trained, tables[0], outputs, targets.classes)
    result(summary(trained, table.feature_names, outputs))
    return Exit.DONE


def _train_layers(request: TrainRequest, file: TrainingFile, table: Dataset) -> Exit:
    """Train a stack of layers and write network, record, formulas, rules, pictures and page."""
    data, outputs, classes = layered_data(file, table)
    specification = layered_specification(file, objective_of(file), len(data.names))
    with progress(request.quiet) as report:
        trained = train_layered(data, specification, _options(file, request, report))
    write_layered(request.out, trained, sample_of(data, outputs, classes))
    result(layered_summary(trained))
    return Exit.DONE


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
    folder: Path,
    trained: TrainedOutputs,
    data: TrainingData,
    outputs: tuple[str, ...],
    classes: tuple[str, ...] = (),
) -> None:
    """Write the network (ONNX) and its record into a folder, and all that people read of it.

    Parameters
    ----------
    folder : Path
    trained : TrainedOutputs
    data : TrainingData
        Of the first output.
    outputs : tuple of str
        Names.
    classes : tuple of str
        The names of the classes -1 and 1 of one output; empty for numbers, and for several outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(trained.network, folder / "network.onnx")
    file = FileRecord.of(folder / "network.onnx")
    record: TrainingFileRecord | SeveralTrainingsRecord = (
        TrainingFileRecord.of(trained.records[0], file)
        if len(outputs) == 1
        else SeveralTrainingsRecord.of(trained, outputs, file)
    )
    write_atomically(folder / "record.json", record.model_dump_json(indent=2) + "\n")
    write_readable(folder, trained, sample_of(data, outputs, classes))


def summary(trained: TrainedOutputs, names: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    """Write what came out: optimum or gap of each output, size, formulas."""
    lines = [line for output, record in zip(outputs, trained.records, strict=True) for line in _of(output, record)]
    if len(outputs) == 1:
        lines = [line.removeprefix(f"{outputs[0]}: ") for line in lines]
    else:
        lines.append(
            f"all outputs: objective {float(trained.objective):.6g}, bound {trained.bound:.6g}, "
            f"gap {trained.gap:.2%}; {trained.parameters.units} units, {trained.parameters.nonzeros} non-zero weights"
        )
    return "\n".join([*lines, formulas_of(trained.network, names, outputs, trained)])


def _universal_lines(universal: UniversalRecord | None) -> list[str]:
    """Say what holds at all inputs, and what that costs."""
    if universal is None:
        return []
    low, high = universal.price
    return [
        *(f"everywhere: {kept.name}: {kept.verdict}, {kept.engine}" for kept in universal.kept),
        f"price of that: {low:.3g} to {high:.3g} of the objective (by construction "
        f"{universal.constructed_objective:.6g}); "
        f"{universal.rounds} rounds, {len(universal.rows)} counterexamples, {universal.seconds_training:.1f} s of "
        f"training and {universal.seconds_verifying:.1f} s of verification",
    ]


def _of(output: str, record: TrainingRecord) -> list[str]:
    over = " over networks of any width" if record.method is Method.ANY_WIDTH else ""
    proven = f"proven optimal{over}" if record.status is Status.OPTIMAL else f"gap {record.gap:.2%}"
    enclosed = f"objective {float(record.objective):.6g} (exact), bound {record.bound:.6g} ({record.basis})"
    return [
        f"{output}: {enclosed}: {proven}",
        f"{output}: {record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}",
        *(f"{output}: {line}" for line in _universal_lines(record.universal)),
        *(f"{output}: note: {note}" for note in record.notes),
    ]
