"""VNN-LIB property files of either version, and what version 1 says: the regions of a query, with exact numbers.

Version 1 knows ``(declare-const X_i Real)``, ``(declare-const Y_i Real)`` and ``(assert formula)``, where formulas are
``and`` / ``or`` over ``<= < >= > =`` of linear terms. The assertions together describe the *unsafe* points: the file
is ``sat`` if an input and the network's outputs for it meet all of them.

References
----------
Demarchi, Guidotti, Pulina, Tacchella: Supporting Standardization of Neural Networks Verification with VNN-LIB and
CoCoNet (2023).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verinet.errors import FileFormatError, InputError, PropertyError
from verinet.io.cases import conjunction, regions
from verinet.io.files import decompressed, read_bytes
from verinet.io.names import quoted
from verinet.io.s_expressions import Group, Source, read_groups
from verinet.io.vnnlib_formula import evaluate_assertion, operator_of
from verinet.io.vnnlib_query import VnnlibQuery, read_query
from verinet.model import Network, Query, Region, Side, Symbol

__all__ = ["VnnlibProperty", "parse_vnnlib", "read_vnnlib"]

_VARIABLE = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")
_VERSION_2 = ("vnnlib-version", "declare-network")
"""Commands that version 1 does not have."""


@dataclass(frozen=True)
class VnnlibProperty:
    """What a VNN-LIB file says: the unsafe points, in terms of flat inputs and outputs.

    Parameters
    ----------
    size_in, size_out : int
        Numbers of declared inputs and outputs.
    regions : tuple of Region
        The file is ``sat`` if one of them has a counterexample.
    """

    size_in: int
    size_out: int
    regions: tuple[Region, ...]

    def query(self, network: Network) -> Query:
        """Ask the question of a network.

        Raises
        ------
        PropertyError
            If the network has other numbers of inputs and outputs.
        """
        if (network.size_in, network.size_out) != (self.size_in, self.size_out):
            raise PropertyError(
                f"the property declares {self.size_in} inputs and {self.size_out} outputs, but the network has "
                f"{network.size_in} inputs and {network.size_out} outputs; choose the network it was written for"
            )
        return Query(network, self.regions)


def read_vnnlib(path: str | os.PathLike[str]) -> VnnlibProperty | VnnlibQuery:
    """Read a VNN-LIB file of version 1 or 2, plain or compressed by gzip.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    VnnlibProperty or VnnlibQuery
        Of version 1 or 2; the declarations tell them apart.

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not VNN-LIB, with the line.
    PropertyError
        If an input of version 1 is not bounded, or no input meets its assertions about inputs.

    Notes
    -----
    Soundness: decimals, sums and quotients are exact rationals, strict inequalities stay strict, and the regions are
    equivalent to the assertions.
    """
    file = os.fspath(path)
    data = decompressed(read_bytes(path), file)
    # A byte that is not UTF-8 does no harm in a comment and is an unknown name elsewhere.
    return parse_vnnlib(data.decode("utf-8-sig", errors="replace"), file)


def parse_vnnlib(text: str, file: str = "VNN-LIB text") -> VnnlibProperty | VnnlibQuery:
    """Read VNN-LIB from a string; `file` is what errors call it. See `read_vnnlib`."""
    source = Source(text, file)
    groups = read_groups(source)
    if any(group.items and group.items[0] in _VERSION_2 for group in groups):
        return read_query(source, groups)
    return _read_property(source, groups)


def _read_property(source: Source, groups: Sequence[Group]) -> VnnlibProperty:
    file = source.file
    commands: dict[str, list[Group]] = {"declare-const": [], "assert": []}
    for group in groups:
        try:
            commands[_command(group, commands)].append(group)
        except InputError as error:
            raise source.placed(error, group) from None
    symbols: dict[str, Symbol] = {}
    for group in commands["declare-const"]:
        try:
            _declare(group, symbols)
        except InputError as error:
            raise source.placed(error, group) from None
    size_in, size_out = (_count(symbols, side, file) for side in (Side.INPUT, Side.OUTPUT))
    assertions = conjunction([evaluate_assertion(group, symbols, source) for group in commands["assert"]])
    try:
        return VnnlibProperty(size_in, size_out, regions(assertions, [f"X_{i}" for i in range(size_in)]))
    except PropertyError as error:
        raise type(error)(f"{file}: {error}") from None


def _command(group: Group, commands: Mapping[str, object]) -> str:
    name = operator_of(group)
    if name not in commands:
        raise FileFormatError(f"expected {' or '.join(commands)}, found {quoted(name)}; remove that command")
    return name


def _declare(group: Group, symbols: dict[str, Symbol]) -> None:
    match group.items:
        case [_, str(name), "Real"]:
            pass
        case _:
            raise FileFormatError("expected (declare-const NAME Real), where NAME is X_0, X_1, ... or Y_0, Y_1, ...")
    variable = _VARIABLE.fullmatch(name)
    if variable is None:
        raise FileFormatError(f"expected a variable X_0, X_1, ... or Y_0, Y_1, ..., found {quoted(name)}; rename it")
    if name in symbols:
        raise FileFormatError(f"the variable {name} is declared twice; remove one declaration")
    symbols[name] = Symbol(Side(variable[1]), int(variable[2]))


def _count(symbols: Mapping[str, Symbol], side: Side, file: str) -> int:
    size = sum(symbol.side is side for symbol in symbols.values())
    if not size:
        raise FileFormatError(f"{file}: expected at least one variable {side.value}_0, found none; declare it")
    missing = next((i for i in range(size) if f"{side.value}_{i}" not in symbols), None)
    if missing is not None:
        raise FileFormatError(
            f"{file}: {size} variables {side.value}_i are declared, but not {side.value}_{missing}; number them from 0 "
            "without gaps"
        )
    return size
