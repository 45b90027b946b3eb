"""VNN-LIB 1.0 property files: S-expressions to the regions of a query, with exact numbers.

The language: ``(declare-const X_i Real)``, ``(declare-const Y_i Real)`` and ``(assert formula)``, where formulas are
``and`` / ``or`` over ``<= < >= > =`` of linear terms. The assertions together describe the *unsafe* points: the file
is ``sat`` if an input and the network's outputs for it meet all of them.

References
----------
Demarchi, Guidotti, Pulina, Tacchella: Supporting Standardization of Neural Networks Verification with VNN-LIB and
CoCoNet (2023).
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from verinet.errors import FileFormatError, InputError, PropertyError
from verinet.io.cases import conjunction, regions
from verinet.io.files import read_bytes
from verinet.io.names import quoted
from verinet.io.s_expressions import Group, Source, read_groups
from verinet.io.vnnlib_formula import evaluate_assertion, operator_of
from verinet.model import Network, Query, Region, Side, Symbol

__all__ = ["VnnlibProperty", "parse_vnnlib", "read_vnnlib"]

MOST_BYTES = 1 << 30
"""A compressed file that grows beyond this is refused; the largest published ones have about 100 MB."""

_VARIABLE = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")
_VERSION_2 = ("vnnlib-version", "declare-network")


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


def read_vnnlib(path: str | os.PathLike[str]) -> VnnlibProperty:
    """Read a VNN-LIB 1.0 file, plain or compressed by gzip.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    VnnlibProperty

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is not VNN-LIB 1.0, with the line.
    PropertyError
        If an input is not bounded, or no input meets the assertions about inputs.

    Notes
    -----
    Soundness: decimals, sums and quotients are exact rationals, strict inequalities stay strict, and the regions are
    equivalent to the assertions.
    """
    file = os.fspath(path)
    data = read_bytes(path)
    if file.endswith(".gz") or data.startswith(b"\x1f\x8b"):
        data = _decompressed(data, file)
    # A byte that is not UTF-8 does no harm in a comment and is an unknown name elsewhere.
    return parse_vnnlib(data.decode("utf-8-sig", errors="replace"), file)


def _decompressed(data: bytes, file: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{file}: expected a gzip file, found damaged data ({error}); fetch it again") from None
    if len(content) > MOST_BYTES:
        raise FileFormatError(
            f"{file}: expected at most {MOST_BYTES} bytes once decompressed, found more; split the file"
        )
    return content


def parse_vnnlib(text: str, file: str = "VNN-LIB text") -> VnnlibProperty:
    """Read VNN-LIB 1.0 from a string; `file` is what errors call it. See `read_vnnlib`."""
    source = Source(text, file)
    commands: dict[str, list[Group]] = {"declare-const": [], "assert": []}
    for group in read_groups(source):
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
        return VnnlibProperty(size_in, size_out, regions(assertions, size_in))
    except PropertyError as error:
        raise PropertyError(f"{file}: {error}") from None


def _command(group: Group, commands: Mapping[str, object]) -> str:
    name = operator_of(group)
    if name in _VERSION_2:
        raise FileFormatError(f"found {name!r} of VNN-LIB 2, which is not supported yet; use a VNN-LIB 1.0 file")
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
