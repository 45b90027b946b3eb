"""Points from the rows of a CSV file, with exact decimals."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from verinet.errors import DataError
from verinet.io.decimals import parse_decimal
from verinet.io.names import quoted
from verinet.io.table import read_cells
from verinet.model import PropertySet

__all__ = ["read_points"]


def read_points(
    path: Path, frame: PropertySet, rows: Sequence[int] | None
) -> Iterator[tuple[int, list[Fraction | str]]]:
    """Read points of named inputs; other columns are ignored.

    Parameters
    ----------
    path : Path
        A CSV file with a header that names every input.
    frame : PropertySet
    rows : sequence of int or None
        Rows of data, counted from 1; None for all.

    Yields
    ------
    tuple of (int, list)
        The row, and its value for each feature: a number, or the name of a categorical input's value.

    Raises
    ------
    InputError
        If the file cannot be read, a column or a row is missing, or a cell is no number.
    """
    table = read_cells(path)
    columns = [table.column(feature.name) for feature in frame.features]
    for row in rows if rows is not None else range(1, len(table.cells) + 1):
        if row > len(table.cells):
            raise DataError(f"{path}: there is no row {row}, the file has {len(table.cells)} rows of data")
        point: list[Fraction | str] = []
        for feature, cells in zip(frame.features, columns, strict=True):
            try:
                point.append(cells[row - 1] if feature.values else parse_decimal(cells[row - 1]))
            except ValueError as error:
                raise DataError(f"{path}, row {row} of data, column {quoted(feature.name)}: {error}") from None
        yield row, point
