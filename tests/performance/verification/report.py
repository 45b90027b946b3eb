"""Runs as text and files: aligned tables that grow line by line, summaries, CSV and JSON."""

import csv
import io
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.performance.verification.bench import Instance
from tests.performance.verification.figures import Summary, summarise
from tests.performance.verification.runs import Measurement
from verinet.errors import InputError
from verinet.io import write_atomically

__all__ = ["Recorder", "Table", "names_of", "plain", "run_cells", "run_table", "seconds", "summary_lines"]

LONGEST_NET, LONGEST_PROPERTY = 24, 36


def plain(value: float | None, form: str = ".0f") -> str:
    """Write a number, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def seconds(value: float | None) -> str:
    return plain(value, ".2f")


def shorten(text: str, width: int) -> str:
    """Leave out the middle of what is too long."""
    if len(text) <= width:
        return text
    tail = (width - 2) // 2
    return f"{text[: width - 2 - tail]}..{text[-tail:]}"


@dataclass(frozen=True)
class Table:
    """Columns of a table; lines are made one at a time.

    Parameters
    ----------
    columns : tuple of (str, int)
        Titles with widths; a negative width aligns to the left.
    """

    columns: tuple[tuple[str, int], ...]

    @property
    def header(self) -> str:
        return self.line([title for title, _ in self.columns])

    def line(self, cells: Sequence[str]) -> str:
        parts = []
        for (_, width), cell in zip(self.columns, cells, strict=True):
            text = shorten(cell, abs(width))
            parts.append(text.ljust(-width) if width < 0 else text.rjust(width))
        return "  ".join(parts).rstrip()


def names_of(instances: Sequence[Instance]) -> tuple[tuple[str, int], ...]:
    """Return the first two columns of every table."""
    net = min(LONGEST_NET, max(len(one.net) for one in instances))
    prop = min(LONGEST_PROPERTY, max(len(one.prop) for one in instances))
    return ("net", -max(3, net)), ("property", -max(8, prop))


def run_table(instances: Sequence[Instance], other: str) -> Table:
    """Return the table of single runs; `other` names whose times stand in the last column."""
    numbers = [("solve s", 8), ("wall s", 8), ("boxes", 10), ("boxes/s", 9), ("MiB", 6)]
    words = [("expected", -8), ("verdict", -9), ("", -9)]
    return Table((*names_of(instances), *words, *numbers, (other, -22), ("its s", 8)))


def run_cells(run: Measurement) -> list[str]:
    """Return the cells of a run for `run_table`."""
    one, other = run.instance, run.instance.other
    return [
        one.net,
        one.prop,
        one.expected or "-",
        run.verdict,
        run.judgement.value,
        seconds(run.solve),
        seconds(run.wall),
        plain(run.boxes),
        plain(run.rate),
        plain(run.peak),
        other.tool if other else "-",
        seconds(other.seconds if other else None),
    ]


def summary_lines(title: str, found: Summary) -> list[str]:
    """Write a summary in a few lines."""
    others = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.undecided.items())) or "none"
    late = (
        f"the latest ended {found.overrun:.1f} s past its limit" if found.overrun > 0 else "none ended past its limit"
    )
    return [
        f"{title}: solved {found.right} of {found.known} with a known verdict, {found.wrong} WRONG; "
        f"{found.unchecked} decided of {found.runs - found.known} without; undecided: {others}",
        f"  solve s: sum {found.solve_sum:.2f}, median {seconds(found.solve_median)};  wall s: sum "
        f"{found.wall_sum:.2f}, median {seconds(found.wall_median)};  PAR-2 {seconds(found.par2)};  {late}",
    ]


def _row(run: Measurement) -> dict[str, object]:
    one, other = run.instance, run.instance.other
    return {
        "bench": one.bench,
        "net": one.net,
        "property": one.prop,
        "expected": one.expected,
        "verdict": run.verdict,
        "judgement": run.judgement.value,
        "solve_s": run.solve,
        "wall_s": round(run.wall, 4),
        "limit_s": one.limit,
        "boxes": run.boxes,
        "boxes_per_s": run.rate,
        "peak_mib": round(run.peak, 1),
        "version": run.version.label,
        "engine_asked": run.version.engine,
        "threads": run.version.threads,
        "falsify": run.version.falsify,
        "repeat": run.repeat,
        "engine": run.reading.engine,
        "evidence": "; ".join(run.reading.evidence),
        "reason": run.reading.reason,
        "other_tool": other.tool if other else None,
        "other_s": other.seconds if other else None,
    }


def _csv(runs: Sequence[Measurement]) -> str:
    rows = [_row(run) for run in runs]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json(runs: Sequence[Measurement]) -> str:
    machine = {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    written = datetime.now(UTC).isoformat(timespec="seconds")
    labels = dict.fromkeys(run.version.label for run in runs)
    summary = {label: asdict(summarise([run for run in runs if run.version.label == label])) for label in labels}
    whole = {"written": written, "machine": machine, "summary": summary, "runs": [_row(run) for run in runs]}
    return json.dumps(whole, indent=1) + "\n"


FORMATS: dict[str, Callable[[Sequence[Measurement]], str]] = {".csv": _csv, ".json": _json}


class Recorder:
    """Keeps a file of all runs; it is whole after every run, so that an interruption loses nothing.

    Parameters
    ----------
    path : Path or None
        Ends in ``.csv`` or ``.json``; None keeps no file.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None and path.suffix not in FORMATS:
            raise InputError(f"--out needs a name that ends in .csv or .json, found {path.name!r}")
        if path is not None and not path.parent.is_dir():
            raise InputError(f"--out needs a folder that exists, found {str(path.parent)!r}; make it first")
        self._path = path

    def write(self, runs: Sequence[Measurement]) -> None:
        """Write all runs so far, at least one."""
        if self._path is not None:
            write_atomically(self._path, FORMATS[self._path.suffix](runs))
