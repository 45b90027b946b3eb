"""What the command line gives beside files: points, prices of changes, expressions; read into the model's terms."""

import csv
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from verinet.errors import DataError, InputError, PropertyError
from verinet.io import read_bytes
from verinet.io.conditions import parse_formula
from verinet.io.decimals import parse_decimal
from verinet.io.names import quoted, suggestion
from verinet.io.vocabulary import Vocabulary
from verinet.model import Atom, LinearExpression, PropertySet

__all__ = ["Prices", "read_expression", "read_point", "read_prices"]


@dataclass(frozen=True)
class Prices:
    """The price of a unit of change of each network input, either way; None forbids it.

    Parameters
    ----------
    up, down : tuple of (Fraction or None)
    """

    up: tuple[Fraction | None, ...]
    down: tuple[Fraction | None, ...]


def read_expression(text: str, frame: PropertySet) -> LinearExpression:
    """Read a linear expression over the names of inputs and outputs, such as ``score - 2 * debt``.

    Raises
    ------
    PropertyError
        If it is none, or uses unknown names.
    """
    if any(sign in text for sign in "<>=!"):
        raise PropertyError(f"--output needs a name or a linear expression, found the condition {quoted(text)}")
    try:
        formula = parse_formula(f"({text}) <= 0", Vocabulary(frame).symbols(text))
    except PropertyError as error:
        raise PropertyError(f"--output: {error}") from None
    if not isinstance(formula, Atom):
        raise PropertyError(f"--output needs a name or a linear expression, found {quoted(text)}")
    return formula.expression


def read_point(text: str, row: int, frame: PropertySet) -> tuple[Fraction, ...]:
    """Read a point: ``v1,v2,...`` with one value for each input, or a row of a CSV file.

    Parameters
    ----------
    text : str
        Values, or the path of a file that ends in ``.csv``. Its header names the inputs; other columns are ignored.
    row : int
        Of the file, from 1.
    frame : PropertySet
        Gives names, types and ranges.

    Returns
    -------
    tuple of Fraction
        One number for each network input.

    Raises
    ------
    InputError
        If a value is missing, unknown or out of its range.
    """
    cells = _cells_of_row(Path(text), row, frame) if text.lower().endswith(".csv") else text.split(",")
    values = [_value(cell.strip()) for cell in cells]
    try:
        return Vocabulary(frame).point(values)
    except PropertyError as error:
        raise PropertyError(f"--point: {error}") from None


def _cells_of_row(path: Path, row: int, frame: PropertySet) -> list[str]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found other bytes ({error}); convert it") from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: expected comma-separated values ({error})") from None
    rows = [[cell.strip() for cell in line] for line in lines if line]
    if not 1 <= row < len(rows):
        raise DataError(f"{path}: --row needs a number from 1 to {max(len(rows) - 1, 0)}, found {row}")
    header, cells = rows[0], rows[row]
    if len(header) != len(cells):
        raise DataError(f"{path}, row {row}: expected {len(header)} cells as in the header, found {len(cells)}")
    for feature in frame.features:
        if header.count(feature.name) != 1:
            raise DataError(
                f"{path}: expected one column {quoted(feature.name)}, found {header.count(feature.name)} "
                f"({suggestion(feature.name, header)})"
            )
    return [cells[header.index(feature.name)] for feature in frame.features]


def _value(text: str) -> Fraction | str:
    """Read a number, or the name of a category."""
    try:
        return parse_decimal(text)
    except InputError:
        if not text:
            raise InputError("--point: expected a value, found an empty one; give one for each input") from None
        return text


def read_prices(text: str, frame: PropertySet) -> Prices:
    """Read ``name=price,name=up:down,...``; ``inf`` forbids a change, and what is not named costs 1.

    Raises
    ------
    InputError
        If a name is unknown or a price is none.
    """
    known = {feature.name: (Fraction(1), Fraction(1)) for feature in frame.features}
    prices: dict[str, tuple[Fraction | None, Fraction | None]] = {**known}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.rpartition("="))
        if not equals:
            raise InputError(f"--costs needs name=price or name=up:down, found {quoted(item)}")
        if name not in known:
            raise InputError(f"--costs: there is no input {quoted(name)} ({suggestion(name, list(known))})")
        up, colon, down = value.partition(":")
        prices[name] = (_price(up), _price(down if colon else up))
    columns = [prices[feature.name] for feature in frame.features for _ in range(feature.width)]
    return Prices(tuple(up for up, _ in columns), tuple(down for _, down in columns))


def _price(text: str) -> Fraction | None:
    if text.strip().lower() in ("inf", "infinity"):
        return None
    price = parse_decimal(text.strip())
    if price < 0:
        raise InputError(f"--costs needs prices of at least 0, found {quoted(text.strip())}")
    return price
