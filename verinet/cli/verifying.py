"""``verinet verify``: a property file and a network file, to verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from verinet.cli.declared import DeclaredQuestion, read_declared
from verinet.cli.exits import Exit
from verinet.cli.output import Reporter, progress, result
from verinet.cli.questions import is_vnnlib, main_network, only_network, unknown_kind
from verinet.errors import InputError, PropertyError
from verinet.io import (
    NamedPath,
    VnnlibQuery,
    format_assignment,
    read_network,
    read_property_file,
    read_vnnlib,
    replay_of,
    write_atomically,
)
from verinet.model import Network, PropertySet, Query, describe
from verinet.verify import (
    Answer,
    Interrupted,
    Replay,
    ReplayedPoint,
    Verdict,
    VerifyOptions,
    verify_property,
    verify_query,
)

if TYPE_CHECKING:
    from verinet.audit import VerdictRecord

__all__ = [
    "Judged",
    "VerifyRequest",
    "exit_code",
    "judge_all",
    "records_of",
    "records_text",
    "replay_on",
    "verdict_lines",
    "verify_file",
]

VNNLIB_ANSWERS = {
    Answer.VIOLATED: "sat",
    Answer.VERIFIED: "unsat",
    Answer.VACUOUS: "unsat",
    Answer.UNKNOWN: "unknown",
}
"""How VNN-LIB spells verdicts; an empty region has no counterexample."""


@dataclass(frozen=True)
class VerifyRequest:
    """The arguments of ``verinet verify``.

    Parameters
    ----------
    property_file : Path
    networks : tuple of NamedPath
    options : VerifyOptions
    json_file, counterexample_file : Path or None
    serialised : Path or None
        Folder for an assignment in the standard's serialised form.
    quiet : bool
    """

    property_file: Path
    networks: tuple[NamedPath, ...]
    options: VerifyOptions
    json_file: Path | None = None
    counterexample_file: Path | None = None
    serialised: Path | None = None
    quiet: bool = False


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict with the name and the words of what it is about."""

    name: str
    sentence: str
    verdict: Verdict


def verify_file(request: VerifyRequest) -> Exit:
    """Answer a property file and print the result."""
    if is_vnnlib(request.property_file):
        return _verify_vnnlib(request)
    if request.serialised is not None:
        raise InputError("--serialise-assignments is for VNN-LIB 2 files; use --counterexample for others")
    if request.property_file.suffix == ".toml":
        return _verify_toml(request)
    raise unknown_kind(request.property_file)


@dataclass(frozen=True, eq=False)
class _OldQuestion:
    """A VNN-LIB 1 property with its network file; it has the methods of `DeclaredQuestion`."""

    query: Query
    replay: Replay | None

    def judge(self, options: VerifyOptions) -> Verdict:
        return verify_query(self.query.network, self.query, replace(options, replay=self.replay))

    def assignment(self, verdict: Verdict) -> str:
        if verdict.witness is None:
            return ""
        point = verdict.witness.points[0]
        return format_assignment(point.inputs, point.outputs)

    def serialise(self, verdict: Verdict, folder: Path) -> None:
        raise InputError("--serialise-assignments is for VNN-LIB 2 files; use --counterexample for others")


_VnnlibQuestion = _OldQuestion | DeclaredQuestion


def _read_vnnlib(request: VerifyRequest) -> _VnnlibQuestion:
    prop = read_vnnlib(request.property_file)
    if isinstance(prop, VnnlibQuery):
        return read_declared(prop, request.networks)
    if request.serialised is not None:
        raise InputError("--serialise-assignments is for VNN-LIB 2 files; use --counterexample for others")
    path = only_network(request.networks)
    return _OldQuestion(prop.query(read_network(path)), replay_on(path))


def _verify_vnnlib(request: VerifyRequest) -> Exit:
    """Print ``sat`` with the assignment, ``unsat``, ``unknown`` or ``timed-out``; also when interrupted."""
    if request.json_file is not None:
        # A record names one network; say so before the search and not after it.
        only_network(request.networks)
    question = _read_vnnlib(request)
    with progress(request.quiet) as report:
        try:
            verdict = question.judge(_options(request, report))
        except Interrupted as stop:
            _answer_vnnlib(request, question, report, stop.verdict)
            raise
        _answer_vnnlib(request, question, report, verdict)
    return Exit.DONE


def _answer_vnnlib(request: VerifyRequest, question: _VnnlibQuestion, report: Reporter, verdict: Verdict) -> None:
    word = "timed-out" if verdict.timed_out else VNNLIB_ANSWERS[verdict.answer]
    assignment = question.assignment(verdict)
    # Files first: once a verdict is printed, everything that belongs to it is there.
    if request.json_file is not None:
        _write_records(
            request, [Judged(request.property_file.name, "no input satisfies the file's assertions", verdict)]
        )
    if request.counterexample_file is not None and assignment:
        write_atomically(request.counterexample_file, assignment + "\n")
    if request.serialised is not None:
        question.serialise(verdict, request.serialised)
    report.clear()
    result(word)
    if assignment and request.serialised is None:
        result(assignment)
    if verdict.reason:
        report.notice(verdict.reason)


def _verify_toml(request: VerifyRequest) -> Exit:
    """Print one line a property, and the counterexamples of those that are violated; also when interrupted."""
    properties = read_property_file(request.property_file)
    path, references = main_network(request.networks)
    network = read_network(path)
    judged: list[Judged] = []
    with progress(request.quiet) as report:
        try:
            others = {name: read_network(other) for name, other in references.items()}
            options = replace(_options(request, report), replay=replay_on(path))
            judged.extend(_judge_each(network, properties, options, others))
        except Interrupted as stop:
            prop = properties.properties[len(judged)]
            judged.append(Judged(prop.name, describe(prop, properties), stop.verdict))
            report.clear()
            _answer_toml(request, judged, properties)
            raise
    _answer_toml(request, judged, properties)
    return exit_code([item.verdict for item in judged])


def _answer_toml(request: VerifyRequest, judged: Sequence[Judged], properties: PropertySet) -> None:
    _write_records(request, judged)
    for item in judged:
        for line in verdict_lines(item, properties):
            result(line)


def judge_all(network: Network, properties: PropertySet, options: VerifyOptions) -> list[Judged]:
    """Verify every property of a set, each within the time limit."""
    return list(_judge_each(network, properties, options, {}))


def _judge_each(
    network: Network, properties: PropertySet, options: VerifyOptions, references: Mapping[str, Network]
) -> Iterator[Judged]:
    named, domain = len(properties.outputs), properties.domain
    if named and named != network.size_out:
        raise PropertyError(f"the network has {network.size_out} outputs, but the property file names {named}")
    for prop in properties.properties:
        verdict = verify_property(network, domain, prop, options, references)
        yield Judged(prop.name, describe(prop, properties), verdict)
        # Reading the files was part of the first one's time.
        options = replace(options, started=None)


def _options(request: VerifyRequest, report: Reporter) -> VerifyOptions:
    return replace(request.options, on_progress=report, on_notice=report.notice)


def replay_on(path: Path) -> Replay | None:
    """Return what runs a network file at an input; the runtime starts when first needed. None for NNet files."""
    runtime = replay_of(path)
    if runtime is None:
        return None
    return lambda inputs: np.asarray(runtime([float(v) for v in inputs]), dtype=np.float64)


def exit_code(verdicts: Sequence[Verdict]) -> Exit:
    """Return the exit code of a property file: violated before unknown before verified."""
    answers = {verdict.answer for verdict in verdicts}
    if Answer.VIOLATED in answers:
        return Exit.VIOLATED
    return Exit.UNKNOWN if Answer.UNKNOWN in answers else Exit.DONE


def verdict_lines(item: Judged, properties: PropertySet) -> list[str]:
    """Write a verdict on one line, and its counterexample on the next ones."""
    verdict = item.verdict
    level = f" ({verdict.level.value})" if verdict.level is not None else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    head = f"{verdict.answer.value + level:<14} {verdict.seconds:7.2f} s  {item.name} -- {item.sentence}{reason}"
    points = verdict.witness.points if verdict.witness is not None else ()
    return [head, *(_point_line(number, point, properties) for number, point in enumerate(points, start=1))]


def _point_line(number: int, point: ReplayedPoint, properties: PropertySet) -> str:
    where = _assignments(properties.input_names, point.inputs)
    value = _assignments(properties.output_names(len(point.outputs)), point.outputs)
    replayed = ""
    if point.replayed is not None:
        replayed = f"  (onnxruntime: {', '.join(f'{v:.9g}' for v in point.replayed)})"
    return f"    input {number}: {where}  ->  {value}{replayed}"


def _assignments(names: Sequence[str], values: Sequence[Fraction]) -> str:
    return ", ".join(f"{name} = {float(value):.9g}" for name, value in zip(names, values, strict=True))


def _write_records(request: VerifyRequest, judged: Sequence[Judged]) -> None:
    if request.json_file is None and request.counterexample_file is None:
        return
    path, references = main_network(request.networks)
    records = records_of(judged, path, request.property_file, references)
    if request.json_file is not None:
        write_atomically(request.json_file, records_text(records))
    violated = [record for record in records if record.counterexample is not None]
    if request.counterexample_file is not None and violated and not is_vnnlib(request.property_file):
        write_atomically(request.counterexample_file, records_text(violated))


def records_of(
    judged: Sequence[Judged], network: Path, property_file: Path, references: Mapping[str, Path] | None = None
) -> "list[VerdictRecord]":
    """Record verdicts together with the hashes of what they are about."""
    # Schemas take a while to import; a question without a record should not wait for them.
    from verinet.audit import FileRecord, VerdictRecord

    files = FileRecord.of(network), FileRecord.of(property_file)
    others = {name: FileRecord.of(path) for name, path in (references or {}).items()}
    return [VerdictRecord.of(item.name, item.sentence, item.verdict, *files, others) for item in judged]


def records_text(records: "Sequence[VerdictRecord]") -> str:
    """Write records as a JSON list."""
    return "[\n" + ",\n".join(record.model_dump_json(indent=2) for record in records) + "\n]\n"
