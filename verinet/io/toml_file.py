"""TOML files that a pydantic model describes: parsing, validation, and one sentence for what is wrong."""

import os
import tomllib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from verinet.errors import FileFormatError
from verinet.io.files import read_bytes
from verinet.io.names import quoted, suggestion

__all__ = ["Table", "read_toml", "validated"]


class Table(BaseModel):
    """A table of a TOML file: types are taken strictly and unknown keys are refused, for they are misspelt."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: object) -> object:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if isinstance(value, Mapping):
            unknown = next((key for key in value if key not in known), None)
            if unknown is not None:
                raise ValueError(f"unknown key {quoted(str(unknown))} ({suggestion(str(unknown), known)})")
        return value


TableT = TypeVar("TableT", bound=Table)


def read_toml(path: str | os.PathLike[str], parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : path-like
    parse_float : callable
        What to make of the text of a number with a point or an exponent.

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not TOML, or `parse_float` refuses a number.
    """
    data = read_bytes(path)
    try:
        return tomllib.loads(data.decode("utf-8-sig"), parse_float=parse_float)
    except RecursionError:
        raise FileFormatError(f"{os.fspath(path)}: expected TOML, found brackets nested too deeply") from None
    except ValueError as error:
        raise FileFormatError(f"{os.fspath(path)}: expected a TOML file, found text that is not ({error})") from None


def validated(
    model: type[TableT], content: Mapping[str, Any], file: str, context: Mapping[str, Any] | None = None
) -> TableT:
    """Return the content of a file as an instance of its model.

    Parameters
    ----------
    model : type of Table
    content : mapping
        As `read_toml` returns it.
    file : str
        What to call the file in an error.
    context : mapping, optional
        For the model's validators.

    Raises
    ------
    FileFormatError
        If it does not fit; with the place, what was expected and what was found.
    """
    try:
        return model.model_validate(content, context=context)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    raise FileFormatError(f"{file}: {_sentence(problem, content)}")


_EXPECTATIONS: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "path_type": "a path",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
    "union_tag_invalid": "one of {expected_tags} as {discriminator}",
    "union_tag_not_found": "a {discriminator}",
}
"""What was expected, in the words of TOML, by pydantic's types of error; others keep pydantic's words."""


def _sentence(problem: ErrorDetails, content: Mapping[str, Any]) -> str:
    kind, message = problem["type"], problem["msg"]
    place = _place(problem["loc"], content, keep_last=kind == "missing")
    if kind == "missing":
        return f"{place} is missing; it is required"
    if kind == "value_error":
        message = message.removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    expected = message.removeprefix("Input should be ").removeprefix("Input should ")
    if kind in _EXPECTATIONS:
        expected = _EXPECTATIONS[kind].format(**problem.get("ctx", {}))
    return f"{place}: expected {expected}, found {_shown(problem['input'])}"


def _place(location: tuple[str | int, ...], content: Any, keep_last: bool) -> str:
    """Write where in the file an error is, such as ``property[2].input``; entries of lists are counted from one.

    pydantic puts the names of alternatives into its locations; they lead nowhere in the content and are left out.
    """
    place = ""
    for depth, part in enumerate(location):
        inside = isinstance(content, Mapping) and part in content
        if isinstance(content, list) and isinstance(part, int) and 0 <= part < len(content):
            place += f"[{part + 1}]"
            content = content[part]
        elif inside or (keep_last and depth == len(location) - 1):
            place += f"{'.' if place else ''}{part}"
            content = content[part] if inside else None
    return place


def _shown(found: object) -> str:
    if isinstance(found, Mapping):
        return f"a table with the keys {', '.join(map(repr, found))[:60] or 'none'}"
    if isinstance(found, list):
        return f"a list with {len(found)} entries"
    if isinstance(found, bool):
        return str(found).lower()
    text = repr(found) if isinstance(found, str) else f"{float(found):g}" if isinstance(found, Fraction) else str(found)
    return text if len(text) <= 60 else f"{text[:60]}..."
