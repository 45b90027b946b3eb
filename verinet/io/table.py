"""CSV tables to training data: named columns of numbers, and a target of numbers or class names."""

import csv
import io
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verinet.errors import DataError, FileFormatError
from verinet.io.files import read_bytes
from verinet.io.names import quoted, suggestion
from verinet.numeric import FloatArray

__all__ = ["Cells", "Dataset", "read_cells", "read_columns", "read_csv"]

_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_NO_VALUE = frozenset(("", "nan", "inf", "infinity"))
"""Spellings of a missing or infinite value, in lower case and without a sign; no class may have such a name."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples to learn from.

    Parameters
    ----------
    feature_names : tuple of str
    x : ndarray of float, shape (samples, features)
    target_name : str
    y : ndarray of float or str, shape (samples,)
        Text if the target has class names.
    """

    feature_names: tuple[str, ...]
    x: FloatArray
    target_name: str
    y: FloatArray | NDArray[np.str_]


@dataclass(frozen=True)
class Cells:
    """The cells of a file, without surrounding spaces.

    Parameters
    ----------
    file : str
    names : tuple of str
    cells : list of list of str
    lines : list of int
        Where in the file each row ends.
    """

    file: str
    names: tuple[str, ...]
    cells: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column.

        Raises
        ------
        DataError
            If there is no such column, or it has a missing or infinite value.
        """
        if name not in self.names:
            raise DataError(f"{self.file}: there is no column {quoted(name)} ({suggestion(name, self.names)})")
        index = self.names.index(name)
        column = [row[index] for row in self.cells]
        for line, cell in zip(self.lines, column, strict=True):
            if cell.lower().lstrip("+-") in _NO_VALUE:
                raise DataError(
                    f"{self.file}, row {line}, column {quoted(name)}: expected a value, found "
                    f"{quoted(cell)}; fill it in or drop the row"
                )
        return column

    def numbers(self, name: str) -> list[float]:
        """Return a column of numbers.

        Raises
        ------
        DataError
            Also if a cell is no finite number.
        """
        column = self.column(name)
        for line, cell in zip(self.lines, column, strict=True):
            if not _is_number(cell):
                raise DataError(
                    f"{self.file}, row {line}, column {quoted(name)}: expected a finite number, found "
                    f"{quoted(cell)}; encode it or leave the column out of the features"
                )
        return [float(cell) for cell in column]

    def target(self, name: str) -> FloatArray | NDArray[np.str_]:
        """Return a column of numbers or of class names.

        Raises
        ------
        DataError
            Also if it mixes both, for then a misprint would turn numbers into classes.
        """
        column = self.column(name)
        numeric = [_is_number(cell) for cell in column]
        if not any(numeric):
            return np.array(column, dtype=np.str_)
        if not all(numeric):
            odd = numeric.index(False)
            raise DataError(
                f"{self.file}, row {self.lines[odd]}, column {quoted(name)}: expected a number as in other rows, found "
                f"{quoted(column[odd])}; use numbers only or names only"
            )
        return np.array([float(cell) for cell in column])


def read_csv(path: str | os.PathLike[str], target: str, features: Sequence[str] | None = None) -> Dataset:
    """Read a CSV file with a header.

    Parameters
    ----------
    path : path-like
    target : str
        The column to predict.
    features : sequence of str, optional
        The columns to predict from; by default all others.

    Returns
    -------
    Dataset
        A decimal becomes the float64 nearest to it.

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not a CSV file, rows have different lengths or columns the same name.
    DataError
        If a column or row is missing, or a cell has no usable value; with its row as counted in the file.
    """
    rows = read_cells(path)
    y = rows.target(target)
    names = tuple(features) if features is not None else tuple(name for name in rows.names if name != target)
    if not names:
        raise DataError(f"{rows.file}: expected at least one feature beside the target {quoted(target)}, found none")
    if target in names or len(set(names)) < len(names):
        raise DataError(
            f"{rows.file}: expected distinct features other than the target {quoted(target)}, found {names}"
        )
    return Dataset(names, np.array([rows.numbers(name) for name in names]).T.copy(), target, y)


def read_columns(
    path: str | os.PathLike[str], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], FloatArray]:
    """Read columns of numbers from a CSV file with a header.

    Parameters
    ----------
    path : path-like
    names : sequence of str, optional
        By default all columns.

    Returns
    -------
    names : tuple of str
    x : ndarray of float, shape (rows, columns)

    Raises
    ------
    MissingFileError, FileFormatError, DataError
        As `read_csv` does.
    """
    rows = read_cells(path)
    chosen = rows.names if names is None else tuple(names)
    if not chosen or len(set(chosen)) < len(chosen):
        raise DataError(f"{rows.file}: expected distinct columns, at least one, found {chosen}")
    return chosen, np.array([rows.numbers(name) for name in chosen]).T.copy()


def read_cells(path: str | os.PathLike[str]) -> Cells:
    """Read the cells of a CSV file with a header, as text; raises as `read_csv` does."""
    file = os.fspath(path)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{file}: expected UTF-8 text, found other bytes ({error}); convert it") from None
    # Line ends inside quotes belong to the cell, so the reader must see them unchanged.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise FileFormatError(f"{file}, row {reader.line_num}: expected comma-separated values ({error})") from None
    if len(rows) < 2:
        raise DataError(f"{file}: expected a header and at least one row of data, found {len(rows)} rows")
    names = tuple(rows[0])
    _check_header(names, file)
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if len(row) != len(names):
            raise FileFormatError(f"{file}, row {line}: expected {len(names)} cells as in the header, found {len(row)}")
    return Cells(file, names, rows[1:], lines[1:])


def _check_header(names: tuple[str, ...], file: str) -> None:
    for index, name in enumerate(names):
        if not name:
            raise FileFormatError(f"{file}: column {index + 1} has no name; name it in the first row")
        if name in names[:index]:
            raise FileFormatError(f"{file}: two columns have the name {quoted(name)}; rename one")


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))
