"""``verinet verify``: a property file and a network file, to verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verinet.audit import FileRecord, VerdictRecord
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.errors import InputError
from verinet.io import (
    Replayer,
    format_assignment,
    read_onnx,
    read_property_file,
    read_vnnlib,
    write_atomically,
)
from verinet.model import Network, Property, PropertySet, describe
from verinet.verify import Answer, Verdict, VerifyOptions, verify_property, verify_query

__all__ = ["VerifyRequest", "exit_code", "verify_file"]

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
    property_file, network : Path
    options : VerifyOptions
    json_file, counterexample_file : Path or None
    quiet : bool
    """

    property_file: Path
    network: Path
    options: VerifyOptions
    json_file: Path | None = None
    counterexample_file: Path | None = None
    quiet: bool = False


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict with the name and the words of what it is about."""

    name: str
    sentence: str
    verdict: Verdict


def verify_file(request: VerifyRequest) -> Exit:
    """Answer a property file and print the result."""
    if _is_vnnlib(request.property_file):
        return _verify_vnnlib(request)
    if request.property_file.suffix == ".toml":
        return _verify_toml(request)
    raise InputError(
        f"a property file ends in .vnnlib, .vnnlib.gz or .toml, found {request.property_file.name!r}; rename it"
    )


def _is_vnnlib(path: Path) -> bool:
    return path.suffix == ".vnnlib" or path.suffixes[-2:] == [".vnnlib", ".gz"]


def _verify_vnnlib(request: VerifyRequest) -> Exit:
    """Print ``sat`` with the assignment, ``unsat``, ``unknown`` or ``timed-out``."""
    prop = read_vnnlib(request.property_file)
    network = read_onnx(request.network)
    with progress(request.quiet) as report:
        verdict = verify_query(network, prop.query(network), _options(request, report))
    word = "timed-out" if verdict.timed_out else VNNLIB_ANSWERS[verdict.answer]
    assignment = _assignment(verdict)
    # Files first: once a verdict is printed, everything that belongs to it is there.
    _write_records(request, [Judged(request.property_file.name, "no input satisfies the file's assertions", verdict)])
    if request.counterexample_file is not None and assignment:
        write_atomically(request.counterexample_file, assignment + "\n")
    result(word)
    if assignment:
        result(assignment)
    return Exit.DONE


def _assignment(verdict: Verdict) -> str:
    if verdict.witness is None:
        return ""
    point = verdict.witness.points[0]
    return format_assignment(point.inputs, point.outputs)


def _verify_toml(request: VerifyRequest) -> Exit:
    """Print one line a property, and the counterexamples of those that are violated."""
    properties = read_property_file(request.property_file)
    network = read_onnx(request.network)
    judged = []
    with progress(request.quiet) as report:
        options = _options(request, report)
        for prop in properties.properties:
            judged.append(_judge(network, properties, prop, options))
    _write_records(request, judged)
    for item in judged:
        result(_line(item))
        for line in _counterexample_lines(item, properties):
            result(line)
    return exit_code([item.verdict for item in judged])


def _judge(network: Network, properties: PropertySet, prop: Property, options: VerifyOptions) -> Judged:
    verdict = verify_property(network, properties.domain, prop, options)
    return Judged(prop.name, describe(prop, properties), verdict)


def _options(request: VerifyRequest, report: object) -> VerifyOptions:
    return replace(request.options, replay=Replayer(request.network), on_progress=report)  # type: ignore[arg-type]


def exit_code(verdicts: Sequence[Verdict]) -> Exit:
    """Return the exit code of a property file: violated before unknown before verified."""
    answers = {verdict.answer for verdict in verdicts}
    if Answer.VIOLATED in answers:
        return Exit.VIOLATED
    return Exit.UNKNOWN if Answer.UNKNOWN in answers else Exit.DONE


def _line(item: Judged) -> str:
    verdict = item.verdict
    level = f" ({verdict.level.value})" if verdict.level is not None else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    return f"{verdict.answer.value + level:<14} {verdict.seconds:7.2f} s  {item.name} -- {item.sentence}{reason}"


def _counterexample_lines(item: Judged, properties: PropertySet) -> list[str]:
    if item.verdict.witness is None:
        return []
    lines = []
    inputs = list(properties.input_names)
    for number, point in enumerate(item.verdict.witness.points, start=1):
        outputs = properties.output_names(len(point.outputs))
        where = ", ".join(f"{n} = {float(v):.9g}" for n, v in zip(inputs, point.inputs, strict=True))
        value = ", ".join(f"{n} = {float(v):.9g}" for n, v in zip(outputs, point.outputs, strict=True))
        replayed = ""
        if point.replayed is not None:
            replayed = "  (onnxruntime: " + ", ".join(f"{v:.9g}" for v in point.replayed) + ")"
        lines.append(f"    input {number}: {where}  ->  {value}{replayed}")
    return lines


def _write_records(request: VerifyRequest, judged: Sequence[Judged]) -> None:
    if request.json_file is None and request.counterexample_file is None:
        return
    network, prop = FileRecord.of(request.network), FileRecord.of(request.property_file)
    records = [VerdictRecord.of(j.name, j.sentence, j.verdict, network, prop) for j in judged]
    if request.json_file is not None:
        write_atomically(request.json_file, "[" + ",\n".join(r.model_dump_json(indent=2) for r in records) + "]\n")
    violated = [r for r in records if r.counterexample is not None]
    if request.counterexample_file is not None and violated and not _is_vnnlib(request.property_file):
        text = "[" + ",\n".join(r.model_dump_json(indent=2) for r in violated) + "]\n"
        write_atomically(request.counterexample_file, text)
