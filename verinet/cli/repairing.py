"""``verinet repair``: a network and property files, to the smallest change of a layer with which they hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from verinet.audit import FileRecord, RepairRecord, ScoreRecord
from verinet.cli.certified_training import on_round, references_of
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.errors import InputError, PropertyError
from verinet.io import Dataset, NamedPath, read_csv, read_network, read_property_file, write_atomically, write_onnx
from verinet.io.names import quoted, suggestion
from verinet.io.table import read_cells
from verinet.model import Network, PropertySet
from verinet.train import CertifiedResult, UniversalProperty
from verinet.train.repair import Repaired, RepairLayer, RepairOptions, Score, repair, repair_layers, score_of

__all__ = ["RepairRequest", "repair_file"]


@dataclass(frozen=True)
class RepairRequest:
    """The arguments of ``verinet repair``.

    Parameters
    ----------
    model : Path
    properties : tuple of Path
    options : RepairOptions
    out : Path
    layer : str or None
        A name, or a number from 1 among the layers that can be repaired; None for the last one.
    data : Path or None
        A table to judge the network by.
    target : str or None
        Its column of right answers; None for the last one.
    networks : tuple of NamedPath
        Networks that properties compare with.
    quiet : bool
    """

    model: Path
    properties: tuple[Path, ...]
    options: RepairOptions
    out: Path
    layer: str | None = None
    data: Path | None = None
    target: str | None = None
    networks: tuple[NamedPath, ...] = ()
    quiet: bool = False


def repair_file(request: RepairRequest) -> Exit:
    """Repair a network as property files ask and write it with its record; write nothing where none passed."""
    network = read_network(request.model)
    frames = [_frame(file, network) for file in request.properties]
    references = references_of(request.networks)
    wanted = [UniversalProperty(prop, frame.domain, references) for frame in frames for prop in frame.properties]
    layer = _layer(repair_layers(network), request.layer)
    table = None if request.data is None else _table(request.data, request.target, frames[0].input_names)
    before = None if table is None else score_of(network, table.x, table.y)
    with progress(request.quiet) as report:
        search = replace(request.options.search, on_round=partial(on_round, report))
        found = repair(layer, wanted, replace(request.options, search=search))
    if found.result is None:
        result(_none_passed(found, layer, frames[0]))
        return Exit.VIOLATED if found.bound == math.inf else Exit.UNKNOWN
    after = None if table is None else score_of(found.result.network, table.x, table.y)
    _write(request, found, found.result, before, after)
    for line in _lines(found, found.result, len(layer.current), before, after):
        result(line)
    return Exit.DONE


def _frame(file: Path, network: Network) -> PropertySet:
    """Read a property file of the network's inputs and outputs."""
    frame = read_property_file(file)
    if len(frame.input_names) != network.size_in:
        raise PropertyError(
            f"{file}: the network takes {network.size_in} inputs, but the file gives {len(frame.input_names)}"
        )
    if frame.outputs and len(frame.outputs) != network.size_out:
        raise PropertyError(
            f"{file}: the network has {network.size_out} outputs, but the file names {len(frame.outputs)}"
        )
    return frame


def _layer(layers: Sequence[RepairLayer], wanted: str | None) -> RepairLayer:
    if wanted is None:
        return layers[-1]
    by_name: Mapping[str, RepairLayer] = {layer.name: layer for layer in layers}
    if wanted in by_name:
        return by_name[wanted]
    if wanted.isdecimal() and 1 <= int(wanted) <= len(layers):
        return layers[int(wanted) - 1]
    raise InputError(
        f"--layer: there is no layer {quoted(wanted)} to repair ({suggestion(wanted, list(by_name))}); "
        f"or give its number, 1 to {len(layers)}"
    )


def _table(file: Path, target: str | None, inputs: tuple[str, ...]) -> Dataset:
    """Read a table; its features are the property file's inputs where it has them all, else all other columns."""
    names = read_cells(file).names
    chosen = names[-1] if target is None else target
    has_all = set(inputs) <= set(names) - {chosen}
    return read_csv(file, chosen, inputs if has_all else None)


def _write(
    request: RepairRequest,
    found: CertifiedResult[Repaired],
    repaired: Repaired,
    before: Score | None,
    after: Score | None,
) -> None:
    request.out.mkdir(parents=True, exist_ok=True)
    path = request.out / "network.onnx"
    write_onnx(repaired.network, path)
    score = None
    if request.data is not None and before is not None and after is not None:
        score = ScoreRecord.of(before, after, FileRecord.of(request.data))
    original = FileRecord.of(request.model)
    record = RepairRecord.of(repaired, found.universal, original, FileRecord.of(path), score)
    write_atomically(request.out / "record.json", record.model_dump_json(indent=2) + "\n")


def _lines(
    found: CertifiedResult[Repaired], repaired: Repaired, size: int, before: Score | None, after: Score | None
) -> list[str]:
    """Say what changed, what holds, and what it cost."""
    proven = "proven smallest" if repaired.proven else f"not proven smallest: {repaired.reason}"
    universal = found.universal
    lines = [
        f"layer {repaired.layer}: {repaired.changed} of {size} weights and biases changed, by {float(repaired.l1):.6g} "
        f"in sum; {repaired.norm.value} {float(repaired.size):.6g}, bound {repaired.bound:.6g} (a solver's claim): "
        f"{proven}",
        *(f"everywhere: {kept.name}: {kept.verdict}, {kept.engine}" for kept in universal.kept),
    ]
    if before is not None and after is not None:
        lines.append(
            f"{before.measure} {before.value:.6g} before, {after.value:.6g} after: {before.lost(after):.6g} lost on "
            f"{before.samples} rows"
        )
    lines.append(
        f"{universal.rounds} rounds, {universal.counterexamples} counterexamples, {universal.seconds_training:.1f} s "
        f"of repair and {universal.seconds_verifying:.1f} s of verification"
    )
    return lines


def _none_passed(found: CertifiedResult[Repaired], layer: RepairLayer, frame: PropertySet) -> str:
    """Say why no network passed, and which counterexample was the last."""
    points = [
        ", ".join(f"{name} = {float(value):.9g}" for name, value in zip(frame.input_names, point, strict=True))
        for point in dict.fromkeys(found.counterexample)
    ]
    last = f"; the last counterexample is {' against '.join(points)}" if points else ""
    return (
        f"layer {layer.name} is not repaired: no network passed verification in {found.universal.rounds} rounds: "
        f"{found.reason}{last}; nothing is written"
    )
