"""Instances to measured verdicts, through the command line of a checkout."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.performance.verification.bench import REPOSITORY, Instance, read_bench
from tests.performance.verification.example import write_example
from tests.performance.verification.figures import Judgement, judge
from tests.performance.verification.process import Ended, Order, measure
from verinet.errors import InputError

__all__ = ["GRACE", "Measurement", "Version", "boxes_in", "reading_of", "run_side_by_side", "warm_up"]

GRACE = 15.0
"""Seconds after the time limit at which a process is killed: the limit does not count its start and its last words."""

MEANING = {
    "sat": ("violated",),
    "unsat": ("verified", "vacuous"),
    "unknown": ("unknown",),
    "timed-out": ("unknown",),
}
"""The first word of the output, and the answers that the record may give with it."""

BOXES = re.compile(r"\b(\d+) (?:boxes|domains)\b")


@dataclass(frozen=True)
class Version:
    """A checkout of the project and how its verifier is called.

    Parameters
    ----------
    label : str
    folder : Path
    engine : str
    threads : int
    falsify : bool
    """

    label: str = "this"
    folder: Path = REPOSITORY
    engine: str = "auto"
    threads: int = 1
    falsify: bool = True

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def command(self, instance: Instance, record: Path) -> list[str]:
        """Return the command line for an instance."""
        options = {
            "--network": instance.network_file.resolve(),
            "--timeout": instance.limit,
            "--engine": self.engine,
            "--threads": self.threads,
            "--json": record,
        }
        words = [str(word) for option in options.items() for word in option]
        falsify = [] if self.falsify else ["--no-falsify"]
        verify = [sys.executable, "-m", "verinet", "verify", str(instance.property_file.resolve())]
        return [*verify, *words, *falsify, "--quiet"]


@dataclass(frozen=True)
class Reading:
    """What a run printed and recorded.

    Parameters
    ----------
    verdict : str
        ``sat``, ``unsat``, ``unknown``, ``timed-out``; ``killed`` past the limit; ``error`` for anything else.
    solve : float or None
        Seconds by the verifier's own clock: reading of files and start of the process left out.
    engine : str
    evidence : tuple of str
    reason : str
    """

    verdict: str
    solve: float | None = None
    engine: str = ""
    evidence: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Measurement:
    """One run of one instance.

    Parameters
    ----------
    instance : Instance
    version : Version
    reading : Reading
    wall : float
        Seconds, process start included.
    peak : float
        MiB.
    repeat : int
        Number of the repetition, from 0.
    """

    instance: Instance
    version: Version
    reading: Reading
    wall: float
    peak: float
    repeat: int = 0
    boxes: int | None = field(init=False)
    """How many boxes the verifier says that it looked at."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", boxes_in((*self.reading.evidence, self.reading.reason)))

    @property
    def judgement(self) -> Judgement:
        return judge(self.reading.verdict, self.instance.expected)

    @property
    def verdict(self) -> str:
        return self.reading.verdict

    @property
    def solve(self) -> float | None:
        return self.reading.solve

    @property
    def limit(self) -> float:
        return self.instance.limit

    @property
    def known(self) -> bool:
        return self.instance.expected is not None

    @property
    def rate(self) -> float | None:
        """Boxes a second of solving."""
        return self.boxes / self.solve if self.boxes and self.solve else None


def boxes_in(sentences: Sequence[str]) -> int | None:
    """Add up the boxes that sentences of evidence speak of, the first number of each."""
    counts = [int(match[1]) for match in map(BOXES.search, sentences) if match]
    return sum(counts) if counts else None


def reading_of(ended: Ended, record: Path) -> Reading:
    """Read the verdict of a process: its first word, borne out by its record."""
    if ended.killed:
        return Reading("killed", reason="it outlasted its limit and was killed")
    word = ended.output.split("\n", 1)[0].strip()
    if ended.exit_code or word not in MEANING:
        last = ended.errors.strip().splitlines()[-1:] or [f"no verdict; exit code {ended.exit_code}"]
        return Reading("error", reason=last[0])
    try:
        (found,) = json.loads(record.read_text(encoding="utf-8"))
        if found["answer"] not in MEANING[word]:
            return Reading("error", reason=f"it printed {word}, but its record says {found['answer']}")
        return Reading(word, found["seconds"], found["engine"], tuple(found["evidence"]), found["reason"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Reading("error", reason=f"it printed {word}, but its record cannot be read: {error!r}")


def run_side_by_side(tasks: Sequence[tuple[Instance, Version]], repeat: int = 0) -> list[Measurement]:
    """Run instances at the same time, each as a process of its own in an empty folder."""
    with tempfile.TemporaryDirectory() as scratch:
        orders = []
        for number, (instance, version) in enumerate(tasks):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            command = version.command(instance, folder / "record.json")
            orders.append(Order(command, version.environment, folder, instance.limit + GRACE))
        return [
            Measurement(*task, reading_of(ended, order.folder / "record.json"), ended.wall, ended.peak, repeat)
            for task, order, ended in zip(tasks, orders, measure(orders), strict=True)
        ]


def warm_up(version: Version) -> None:
    """Make sure that a version is the one that runs and that it works, and let it compile and cache what it does.

    Raises
    ------
    InputError
        If another copy of the project would run, or the verifier cannot answer a tiny question.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "where").mkdir()
        where = [sys.executable, "-c", "import verinet; print(verinet.__file__)"]
        (ended,) = measure([Order(where, version.environment, place / "where", 60.0)])
        package = Path(ended.output.strip() or ".").resolve().parent
        if package != (version.folder / "verinet").resolve():
            raise InputError(f"{version.folder} should hold the package verinet, but {package} would run; check it")
        question = read_bench(write_example(place / "example"))[0]
        (found,) = run_side_by_side([(question, Version(version.label, version.folder, version.engine, 1, False))])
        if found.judgement is not Judgement.RIGHT:
            raise InputError(
                f"a tiny question should be {question.expected}, but the verifier ({version.label}) says "
                f"{found.verdict}: {found.reading.reason or 'no reason given'}"
            )
