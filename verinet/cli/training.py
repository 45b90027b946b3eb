"""``verinet train``: a training file to a network, its record and its pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from verinet.audit import FileRecord, SeveralTrainingsRecord, TrainingFileRecord, formulas_of
from verinet.cli.certified_training import none_passed, on_round, properties_of, universal_lines
from verinet.cli.exits import Exit
from verinet.cli.layered_request import layered_data, layered_specification
from verinet.cli.layered_training import layered_summary, write_layered
from verinet.cli.output import Reporter, progress, result
from verinet.cli.readable import sample_of, write_readable
from verinet.cli.targets import targets_of
from verinet.cli.training_request import objective_of, options_of, specification_of
from verinet.errors import InputError, MissingFileError
from verinet.io import (
    Dataset,
    NamedPath,
    TrainingFile,
    read_csv,
    read_onnx,
    read_training_file,
    write_atomically,
    write_onnx,
)
from verinet.program import Progress, Status
from verinet.train import (
    AnySpecification,
    CertifiedResult,
    ConvolutionalSpecification,
    Earlier,
    Loss,
    Method,
    Specification,
    TrainedOutputs,
    TrainingData,
    TrainingRecord,
    TrainingResult,
    TrainOptions,
    read_back,
    train,
    train_outputs,
)
from verinet.train.certified import train_certified
from verinet.train.layered import train_layered

__all__ = ["TrainRequest", "progress_line", "summary", "train_file", "write_training"]


RESUMABLE = "is for the method milp with one output"


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
    properties : tuple of Path
        Property files that the network has to satisfy.
    networks : tuple of NamedPath
        Networks that they compare with.
    rounds : int or None
        The most of training and verifying in turn.
    resume : Path or None
        The folder of an earlier training of the same file.
    """

    specification: Path
    out: Path
    time_limit: float | None = None
    solver: str | None = None
    quiet: bool = False
    properties: tuple[Path, ...] = ()
    networks: tuple[NamedPath, ...] = ()
    rounds: int | None = None
    resume: Path | None = None


def train_file(request: TrainRequest) -> Exit:
    """Train as a file says and write network, record, formulas, rules, pictures and page."""
    file = read_training_file(request.specification)
    table = read_csv(file.data.file, file.data.target, file.data.features)
    if not request.properties and (request.networks or request.rounds is not None):
        raise InputError("--network and --rounds are for training under properties; add --property FILE")
    if request.resume is not None and (file.model.layers is not None or request.properties):
        raise InputError(f"--resume {request.resume} {RESUMABLE}, found a stack of layers or properties")
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
        options = _options(file, request, report)
        if request.properties:
            found = _certified(request, file, tables, specification, options)
            if found.result is None:
                return _failed(found)
            trained = TrainedOutputs(found.result.network, found.result.parameters, (found.result.record,))
        elif request.resume is not None:
            trained = _resumed(request.resume, tables, specification, options)
        else:
            trained = train_outputs(tables, specification, options)
    write_training(request.out, trained, tables[0], outputs, targets.classes)
    result(summary(trained, table.feature_names, outputs))
    return Exit.DONE


def _train_layers(request: TrainRequest, file: TrainingFile, table: Dataset) -> Exit:
    """Train a stack of layers and write network, record, formulas, rules, pictures and page."""
    data, outputs, classes = layered_data(file, table)
    specification = layered_specification(file, objective_of(file), len(data.names))
    with progress(request.quiet) as report:
        options = _options(file, request, report)
        if request.properties:
            count = specification.architecture.outputs
            properties = properties_of(request.properties, request.networks, data.names, count)
            found = train_certified(data, specification, properties, options)
            if found.result is None:
                return _failed(found)
            trained = found.result
        else:
            trained = train_layered(data, specification, options)
    write_layered(request.out, trained, sample_of(data, outputs, classes))
    result(layered_summary(trained))
    return Exit.DONE


def _certified(
    request: TrainRequest,
    file: TrainingFile,
    tables: Sequence[TrainingData],
    specification: AnySpecification,
    options: TrainOptions,
) -> CertifiedResult[TrainingResult]:
    """Train one output under the properties of files."""
    if isinstance(specification, ConvolutionalSpecification):
        raise InputError("--property is not for filters; leave [filters] out or train a stack of layers (model.layers)")
    if len(tables) > 1:
        raise InputError(
            f"--property is for one output, found {len(tables)} classes of {file.data.target!r}; train a stack of "
            "layers (model.layers), which has an output for each"
        )
    properties = properties_of(request.properties, request.networks, tables[0].names, 1)
    return train_certified(tables[0], specification, properties, options)


def _resumed(
    folder: Path, tables: Sequence[TrainingData], specification: AnySpecification, options: TrainOptions
) -> TrainedOutputs:
    """Go on from what an earlier training wrote into a folder."""
    if not isinstance(specification, Specification) or len(tables) != 1:
        raise InputError(f"--resume {folder} {RESUMABLE}, found another method or {len(tables)} outputs")
    trained = train(tables[0], specification, options, earlier=_earlier(folder))
    return TrainedOutputs(trained.network, trained.parameters, (trained.record,))


def _earlier(folder: Path) -> Earlier:
    """Read a network and its record, which have to belong together."""
    try:
        record = TrainingFileRecord.model_validate_json((folder / "record.json").read_bytes())
    except OSError as error:
        raise MissingFileError(
            f"cannot read {folder / 'record.json'}: {error.strerror or error}; name the folder of an earlier training"
        ) from error
    except ValidationError as error:
        raise InputError(f"{folder / 'record.json'} is no record of a training of one output; name another") from error
    if FileRecord.of(folder / "network.onnx") != record.network:
        raise InputError(
            f"{folder / 'network.onnx'} is not the network of the record beside it; restore either of them"
        )
    bound = -math.inf if record.bound is None else record.bound
    raw = read_back(read_onnx(folder / "network.onnx"))
    return Earlier(raw, Fraction(record.objective.exact), bound, record.basis)


def _failed(found: CertifiedResult[Any]) -> Exit:
    """Say that no network passed; it is certain, as far as solvers go, where there is none."""
    result(none_passed(found))
    return Exit.VIOLATED if found.bound == math.inf else Exit.UNKNOWN


def _options(file: TrainingFile, request: TrainRequest, report: Reporter) -> TrainOptions:
    options = options_of(file, lambda state: report(progress_line(state)))
    limit = options.time_limit if request.time_limit is None else request.time_limit
    return replace(
        options,
        solver=request.solver or options.solver,
        time_limit=limit,
        most_rounds=request.rounds,
        on_round=partial(on_round, report) if request.properties else options.on_round,
    )


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


def _of(output: str, record: TrainingRecord) -> list[str]:
    over = " over networks of any width" if record.method is Method.ANY_WIDTH else ""
    proven = f"proven optimal{over}" if record.status is Status.OPTIMAL else f"gap {record.gap:.2%}"
    enclosed = f"objective {float(record.objective):.6g} (exact), bound {record.bound:.6g} ({record.basis})"
    return [
        f"{output}: {enclosed}: {proven}",
        f"{output}: {record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}",
        *(f"{output}: {line}" for line in universal_lines(record.universal)),
        *(f"{output}: note: {note}" for note in record.notes),
    ]
