"""The monotone data sets: rows, published folds, marked directions and published results."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verinet.errors import FileFormatError, MissingFileError
from verinet.numeric import FloatArray, IntArray

__all__ = ["DEFAULT_FOLDER", "SETS", "MonotoneTable", "Published", "best_published", "read_table"]

DEFAULT_FOLDER = Path("..") / "shared" / "data" / "monotone"
"""Beside the repository, seen from its root."""

SETS = {"auto-mpg": "", "auto-mpg-seven": "eleven_set_study", "esl": "", "lev": "", "heart": "", "compas": ""}
"""Each with the source of its directions; empty: those that the schema marks."""


@dataclass(frozen=True, eq=False)
class MonotoneTable:
    """A data set in the units of the published protocol.

    Parameters
    ----------
    name : str
    names : tuple of str
        Of the features; a categorical one has a column for each code.
    x : ndarray, shape (rows, features)
        Scaled to 0..1 with all rows.
    y : ndarray, shape (rows,)
        The target scaled likewise, or the classes -1 and 1.
    folds : ndarray of int, shape (rows,)
        The published test fold of each row.
    monotone : dict
        Feature -> +1 or -1.
    classes : bool
    """

    name: str
    names: tuple[str, ...]
    x: FloatArray
    y: FloatArray
    folds: IntArray
    monotone: dict[int, int]
    classes: bool


@dataclass(frozen=True)
class Published:
    """A published result.

    Parameters
    ----------
    method : str
    error, spread : float
        Mean and standard deviation over the folds.
    parameters : int
    """

    method: str
    error: float
    spread: float
    parameters: int


def read_table(folder: Path, name: str) -> MonotoneTable:
    """Read a set by its name in `SETS`.

    Raises
    ------
    MissingFileError, FileFormatError
    """
    place = folder / name.removesuffix("-seven")
    if not place.is_dir():
        raise MissingFileError(f"the data sets are not there: expected {place}; name their folder with --data")
    rows = np.genfromtxt(place / "data.csv", delimiter=",", skip_header=1)
    folds = np.genfromtxt(place / "folds" / "lujano_5fold.csv", delimiter=",", skip_header=1, dtype=np.int64)
    schema = json.loads((place / "schema.json").read_text())
    if len(folds) != len(rows) or len(schema["features"]) + 1 != rows.shape[1]:
        raise FileFormatError(f"{place}: data, folds and schema do not have the same rows and columns")
    classes = schema["task"] == "binary classification"
    columns, names, monotone = [], [], {}
    for feature, values in zip(schema["features"], rows.T[:-1], strict=True):
        direction = feature.get("monotone_by_source", {}).get(SETS[name], feature["monotone"])
        if direction:
            monotone[len(columns)] = direction
        for label, column in _columns(feature, values):
            names.append(label)
            columns.append(column)
    target = _scaled(rows[:, -1])
    return MonotoneTable(
        name,
        tuple(names),
        np.column_stack(columns),
        2 * target - 1 if classes else target,
        folds[:, 1],
        monotone,
        classes,
    )


def _columns(feature: dict, values: FloatArray) -> list[tuple[str, FloatArray]]:
    codes = np.unique(values)
    if feature["type"] == "categorical" and len(codes) > 2:
        return [(f"{feature['name']}={int(code)}", (values == code).astype(float)) for code in codes]
    return [(feature["name"], _scaled(values))]


def _scaled(values: FloatArray) -> FloatArray:
    return (values - values.min()) / np.ptp(values)


def best_published(folder: Path, name: str) -> Published:
    """Return the certified method with the smallest error on the same folds."""
    with (folder / "published.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["data_set"] == name.removesuffix("-seven")
            and row["monotone_guarantee"] == "by construction"
            and "lujano_5fold" in row["protocol"]
        ]
    best = min(rows, key=lambda row: float(row["value"]))
    return Published(best["method"], float(best["value"]), float(best["std"]), int(best["parameters"]))
