"""Bench folders to instances: what to verify, for how long, what is known, and how fast others were."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verinet.errors import FileFormatError, InputError, MissingFileError

__all__ = ["REPOSITORY", "Instance", "Reference", "bench_folders", "fastest", "read_bench", "select"]

REPOSITORY = Path(__file__).resolve().parents[3]
BENCHES = REPOSITORY.parent / "shared" / "bench"

Pair = tuple[str, str]
"""A network file and a property file as a bench's tables name them."""


@dataclass(frozen=True)
class Reference:
    """The fastest other tool on an instance.

    Parameters
    ----------
    tool : str
    seconds : float
        As published or measured, usually with process start.
    """

    tool: str
    seconds: float


@dataclass(frozen=True)
class Instance:
    """One question.

    Parameters
    ----------
    bench, net, prop : str
        Short names.
    network_file, property_file : Path
    limit : float
        Seconds.
    expected : str or None
        ``sat`` or ``unsat`` where it is known.
    other : Reference or None
    """

    bench: str
    net: str
    prop: str
    network_file: Path
    property_file: Path
    limit: float
    expected: str | None = None
    other: Reference | None = None

    @property
    def name(self) -> str:
        return f"{self.net} {self.prop}"


def bench_folders(names: Sequence[str]) -> list[Path]:
    """Find bench folders: paths, or names in ``../shared/bench``; a folder of bench folders stands for all of them.

    Raises
    ------
    MissingFileError
        If a folder is absent or holds no instances.
    """
    return [folder for name in names or [""] for folder in _folders(name)]


def _folders(name: str) -> list[Path]:
    place = Path(name) if name and Path(name).is_dir() else BENCHES / name
    if not place.is_dir():
        what = f"the bench folder {name!r} is neither a path nor a folder in" if name else "there is no folder"
        raise MissingFileError(f"{what} ../shared/bench beside the repository; name one with --bench FOLDER")
    found = [path.parent for path in (place / "instances.csv", *sorted(place.glob("*/instances.csv"))) if path.exists()]
    if not found:
        raise MissingFileError(f"neither {place} nor a folder in it holds an instances.csv; name another with --bench")
    return found


def read_bench(folder: Path) -> list[Instance]:
    """Read the instances of a bench folder with what is known about each.

    Parameters
    ----------
    folder : Path
        Holds ``instances.csv`` (network, property, seconds; no header) and, if known, ``expected.csv`` and
        ``published_times.csv``.

    Raises
    ------
    MissingFileError
        If a file that an instance names is absent.
    FileFormatError
        If a table is not as described.
    """
    expected = _expected(folder / "expected.csv")
    published: dict[Pair, list[Mapping[str, str]]] = {}
    for row in _rows(folder / "published_times.csv", ("onnx", "vnnlib", "year", "tool", "result", "time_s")):
        published.setdefault((row["onnx"], row["vnnlib"]), []).append(row)
    instances = []
    for pair, limit in _instances(folder / "instances.csv"):
        answer = expected.get(pair)
        other = fastest(published.get(pair, ()), answer)
        files = folder / pair[0], folder / pair[1]
        instances.append(Instance(folder.resolve().name, *_short(pair), *files, limit, answer, other))
    return instances


def _instances(table: Path) -> Iterable[tuple[Pair, float]]:
    with table.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            if not row:
                continue
            place = f"{table}, line {number}"
            if len(row) != 3:
                raise FileFormatError(f"{place}: expected network, property and seconds, found {len(row)} fields")
            for name in row[:2]:
                if not (table.parent / name).is_file():
                    raise MissingFileError(f"{place}: the file {name!r} is absent; fetch it or delete the line")
            yield (row[0], row[1]), _seconds(row[2], place)


def _seconds(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise FileFormatError(f"{place}: expected a number of seconds above 0, found {text!r}")
    return value


def _rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header; none if the file is absent."""
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise FileFormatError(f"{table}: the header lacks {', '.join(missing)}")
        return list(reader)


def _expected(table: Path) -> dict[Pair, str]:
    answers = {}
    for row in _rows(table, ("onnx", "vnnlib", "result")):
        if row["result"] not in ("sat", "unsat", "unknown"):
            raise FileFormatError(f"{table}: a result is sat, unsat or unknown, found {row['result']!r}")
        if row["result"] != "unknown":
            answers[row["onnx"], row["vnnlib"]] = row["result"]
    return answers


def fastest(rows: Iterable[Mapping[str, str]], answer: str | None) -> Reference | None:
    """Return the fastest published run with the right answer, preparation left out; none if no answer is known."""
    right = [row for row in rows if row["result"] == answer]
    if not right:
        return None
    best = min(right, key=lambda row: float(row["time_s"]))
    return Reference(f"{best['tool']} {best['year']}", float(best["time_s"]))


def _short(pair: Pair) -> Pair:
    """Shorten file names: no folder ``onnx`` or ``vnnlib``, no suffix, and of ACAS Xu's networks the numbers only."""
    net = pair[0].removeprefix("onnx/").removesuffix(".onnx")
    prop = pair[1].removeprefix("vnnlib/").removesuffix(".gz").removesuffix(".vnnlib")
    return net.removeprefix("ACASXU_run2a_").removesuffix("_batch_2000"), prop


def select(instances: Sequence[Instance], wanted: Sequence[str], limit: int | None = None) -> list[Instance]:
    """Keep the instances whose ``net property``, with a blank on both sides, contains one of the wanted texts.

    Raises
    ------
    InputError
        If none is left.
    """
    kept = [one for one in instances if not wanted or any(text in f" {one.name} " for text in wanted)][:limit]
    if not kept:
        raise InputError(f"none of {len(instances)} instances matches; --select is part of 'net property'")
    return kept
