"""A VNN-LIB 2 query and the model files of its networks become one query over one network.

The networks stand side by side in one graph: its inputs are the declared ones in order, its outputs every declared
hidden node and output in order. Copies by ``equal-to`` share their parameters, and inputs that every case demands equal
become one. Everything behind this point handles one network, as it does for a property that compares two inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.errors import EmptyDomainError, InputError, PropertyError
from verinet.io.cases import Form, atomic, conjunction, regions
from verinet.io.files import read_bytes
from verinet.io.names import quoted
from verinet.io.network_file import NetworkFile, TensorInterface, read_network_file
from verinet.io.vnnlib_query import REAL, NetworkDeclaration, Role, Variable, VnnlibQuery
from verinet.model import (
    Arithmetic,
    Atom,
    Identification,
    LinearExpression,
    Network,
    Query,
    Region,
    Side,
    Symbol,
    identify_equal_inputs,
    join_networks,
)
from verinet.numeric import FloatArray

__all__ = ["ANSWERED_TYPES", "BoundQuery", "NamedPath", "bind"]

ANSWERED_TYPES = (REAL, "float32", "float64")
"""The element types that a question may be about."""


REACH = Fraction(1000)
"""How far counterexamples are looked for along an input without bounds."""


ROUNDING = Fraction(1, 2**20)
"""More than the relative distance of a literal from its float32."""


@dataclass(frozen=True)
class NamedPath:
    """A model file as the command line names it.

    Parameters
    ----------
    name : str
        Of the declared network; empty if only a path was given.
    path : str
    """

    name: str
    path: str


@dataclass(frozen=True, eq=False)
class BoundQuery:
    """A query over one network, and the way back to the declared variables.

    Parameters
    ----------
    declared : VnnlibQuery
    query : Query
        ``sat`` if and only if it has a counterexample, over real numbers.
    files : tuple of NetworkFile
        One for each declared network.
    identification : Identification
        From the entries of all declared inputs to the inputs of the query's network.
    is_whole : bool
        Whether the query covers all inputs; without bounds on them it covers a part, and only ``sat`` can be said.
    """

    declared: VnnlibQuery
    query: Query
    files: tuple[NetworkFile, ...]
    identification: Identification
    is_whole: bool = True

    @property
    def is_comparison(self) -> bool:
        """Whether several networks, or copies of one, are compared."""
        return len(self.files) > 1

    def given(self, entries: Sequence[Fraction], position: int) -> list[Fraction]:
        """Return what one network takes of the entries of all declared inputs, in the order of its file."""
        return [entries[i] for i in self.columns[position]]

    def replay(self, point: Sequence[Fraction]) -> FloatArray | None:
        """Evaluate all model files in their own float type; None if one has no runtime.

        Parameters
        ----------
        point : sequence of Fraction
            Of the query's network.

        Returns
        -------
        ndarray or None
            Every hidden node and output, in order.
        """
        entries = self.identification.invert(point)
        found: list[FloatArray] = []
        for position, file in enumerate(self.files):
            if file.runtime is None:
                return None
            result = file.runtime([float(value) for value in self.given(entries, position)])
            found.append(np.asarray(result, dtype=np.float64))
        return np.concatenate(found)

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """For each network: which entries of all declared inputs its file takes."""
        return _input_columns(self.declared)

    def spelled_out(self) -> Network | None:
        """Return the query's network with nodes of its own for each operator of the files, None where there is none."""
        networks = [file.spelled_out for file in self.files]
        parts = [
            (network, [self.identification.columns[i] for i in columns])
            for network, columns in zip(networks, self.columns, strict=True)
            if network is not None
        ]
        return _joined(parts, self.identification.size) if len(parts) == len(networks) else None


def bind(declared: VnnlibQuery, paths: Sequence[NamedPath]) -> BoundQuery:
    """Read the model files of a query's networks and ask its question of them.

    Parameters
    ----------
    declared : VnnlibQuery
    paths : sequence of NamedPath
        One for each network that is no copy by ``equal-to``; one for a copy is accepted if it is the same file.

    Returns
    -------
    BoundQuery

    Raises
    ------
    InputError
        If files are missing or superfluous, do not fit the declarations, or an element type is not answered.
    """
    _check_types(declared)
    files = _files(declared, _assigned(declared, paths))
    defaults: dict[str, TensorInterface] = {}
    for network, file in zip(declared.networks, files, strict=True):
        defaults |= _check_interface(declared, network, file)
    names = declared.entries(Side.INPUT)
    found, is_whole = _regions(declared, names, _fixed(declared, defaults))
    identification = _identification(declared, found, len(names))
    parts: list[tuple[Network, list[int]]] = [
        (file.network, [identification.columns[i] for i in columns])
        for file, columns in zip(files, _input_columns(declared), strict=True)
    ]
    is_plain = len(parts) == 1 and parts[0][1] == list(range(identification.size))
    whole = parts[0][0] if is_plain else _joined(parts, identification.size)
    return BoundQuery(declared, Query(whole, identification.regions), files, identification, is_whole)


def _identification(declared: VnnlibQuery, found: tuple[Region, ...], size: int) -> Identification:
    """Make one input of equal ones where that holds for the declared type too."""
    identification = identify_equal_inputs(found, size)
    if declared.is_real:
        return identification
    # Products that are equal once rounded are no reason for equal factors, and bounds that cross may round to one.
    if declared.arithmetic is Arithmetic.DIRECT and len(identification.regions) == len(found):
        return identification
    return Identification(found, tuple(range(size)), size)


def _check_types(declared: VnnlibQuery) -> None:
    if REAL in declared.element_types and not declared.is_real:
        raise PropertyError(
            f"{declared.file}: a query over real numbers declares every variable {REAL}, found other types as well; "
            "declare all of them real or none"
        )
    other = sorted(declared.element_types - set(ANSWERED_TYPES))
    if other:
        raise PropertyError(
            f"{declared.file}: the element types {', '.join(ANSWERED_TYPES)} are answered, found {', '.join(other)}; "
            f"declare every variable {REAL} to ask about exact real numbers instead"
        )
    if len(declared.element_types) > 1:
        found = ", ".join(sorted(declared.element_types))
        raise PropertyError(
            f"{declared.file}: one float type for all variables is answered, found {found}; declare every variable "
            f"{REAL} to ask about exact real numbers instead"
        )


def _assigned(declared: VnnlibQuery, paths: Sequence[NamedPath]) -> dict[str, str]:
    """Return the path of each network that needs one."""
    needed = [network.name for network in declared.networks if network.equal_to is None]
    if len(needed) == len(paths) == 1 and (not paths[0].name or paths[0].name not in _names(declared)):
        if paths[0].name:
            raise _unknown_network(declared, paths[0].name)
        return {needed[0]: paths[0].path}
    assigned: dict[str, str] = {}
    for named in paths:
        if not named.name:
            raise InputError(f"--network needs NAME=FILE for each of {', '.join(needed)}, found {named.path!r} alone")
        if named.name not in _names(declared):
            raise _unknown_network(declared, named.name)
        if named.name in assigned:
            raise InputError(f"--network names {named.name} twice; give one file for each network")
        assigned[named.name] = named.path
    missing = next((name for name in needed if name not in assigned), None)
    if missing is not None:
        raise InputError(f"{declared.file}: network {missing} has no model file; add --network {missing}=FILE")
    for network in declared.networks:
        if network.equal_to is not None and network.name in assigned:
            copy, original = assigned.pop(network.name), assigned[network.equal_to]
            if read_bytes(copy) != read_bytes(original):
                raise InputError(
                    f"network {network.name} is equal to {network.equal_to}, but {copy!r} and {original!r} differ; "
                    f"leave out --network {network.name}=..."
                )
    return assigned


def _names(declared: VnnlibQuery) -> list[str]:
    return [network.name for network in declared.networks]


def _unknown_network(declared: VnnlibQuery, name: str) -> InputError:
    known = ", ".join(_names(declared))
    return InputError(f"--network names {quoted(name)}, but {declared.file} declares {known}; use one of these names")


def _files(declared: VnnlibQuery, paths: Mapping[str, str]) -> tuple[NetworkFile, ...]:
    """Read one file for each declaration; those that are equal are read once if they show the same hidden nodes."""
    read: dict[tuple[str, tuple[str, ...]], NetworkFile] = {}
    files = []
    for network in declared.networks:
        key = (paths[network.equal_to or network.name], tuple(v.node for v in network.those(Role.HIDDEN)))
        if key not in read:
            read[key] = read_network_file(*key)
        files.append(read[key])
    return tuple(files)


def _check_interface(
    declared: VnnlibQuery, network: NetworkDeclaration, file: NetworkFile
) -> dict[str, TensorInterface]:
    """Check a file against its declaration and return the tensors whose values initialised inputs keep."""
    kept = [variable for variable in network.those(Role.INPUT) if variable.is_initialised]
    given = [variable for variable in network.those(Role.INPUT) if not variable.is_initialised]
    pairs: list[tuple[Variable, TensorInterface]] = []
    for what, variables, tensors in (
        ("inputs", given, [tensor for tensor in file.inputs if tensor.default is None]),
        ("initialized inputs", kept, [tensor for tensor in file.inputs if tensor.default is not None] if kept else []),
        ("outputs", network.those(Role.OUTPUT), file.outputs),
        ("hidden nodes", network.those(Role.HIDDEN), file.hidden),
    ):
        if len(variables) != len(tensors):
            raise PropertyError(
                f"network {network.name} declares {len(variables)} {what}, but {file.path} has {len(tensors)}; choose "
                "the file it was written for"
            )
        pairs += zip(variables, tensors, strict=True)
    for variable, tensor in pairs:
        if _squeezed(variable.shape) != _squeezed(tensor.shape):
            raise PropertyError(
                f"{variable.name} is declared with shape {list(variable.shape)}, but {tensor.name!r} of {file.path} "
                f"has shape {list(tensor.shape)}; correct the declaration"
            )
        if not declared.is_real and variable.element_type != tensor.element_type:
            raise PropertyError(
                f"{variable.name} is declared {variable.element_type}, but {tensor.name!r} of {file.path} is "
                f"{tensor.element_type or 'of no float type'}; correct it, or declare every variable {REAL}"
            )
    return {variable.name: tensor for variable, tensor in pairs if variable.is_initialised}


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of size one, which other tools add and leave out at will."""
    return tuple(size for size in shape if size != 1)


def _input_columns(declared: VnnlibQuery) -> tuple[tuple[int, ...], ...]:
    """Return, for each network, which of all declared inputs' entries its file takes."""
    columns, start = [], 0
    for network in declared.networks:
        own: list[int] = []
        for variable in network.those(Role.INPUT):
            if not variable.is_initialised:
                own += range(start, start + variable.size)
            start += variable.size
        columns.append(tuple(own))
    return tuple(columns)


def _fixed(declared: VnnlibQuery, defaults: Mapping[str, TensorInterface]) -> list[Form]:
    """Return the equations that give initialised inputs the values in the model file."""
    forms: list[Form] = []
    start = 0
    for variable in declared.variables(Side.INPUT):
        if variable.is_initialised:
            default = defaults[variable.name].default
            values = np.zeros(0) if default is None else default.ravel()
            if not np.isfinite(values).all():
                raise PropertyError(f"the initialized input {variable.name} has a value that is not finite")
            for i, value in enumerate(values, start=start):
                is_at_most = LinearExpression(((Symbol(Side.INPUT, i), Fraction(1)),), -Fraction(float(value)))
                forms += [atomic(Atom(is_at_most)), atomic(Atom(-is_at_most))]
        start += variable.size
    return forms


def _regions(declared: VnnlibQuery, names: Sequence[str], fixed: Sequence[Form]) -> tuple[tuple[Region, ...], bool]:
    """Return the query's regions, none if no input meets the assertions; and whether they are all of it."""
    # What a condition with arithmetic implies for exact numbers, it may miss once rounded.
    implied = declared.is_real or declared.arithmetic is Arithmetic.DIRECT
    tolerance = Fraction(0) if declared.is_real else ROUNDING
    form = conjunction([declared.form, *fixed])
    try:
        return regions(form, names, implied=implied, tolerance=tolerance), True
    except EmptyDomainError:
        return (), True
    except PropertyError:
        # An input has no bound. Counterexamples may still be found.
        return regions(form, names, implied=implied, reach=REACH, tolerance=tolerance), False


def _joined(parts: Sequence[tuple[Network, Sequence[int]]], size: int) -> Network:
    return join_networks([network for network, _ in parts], [columns for _, columns in parts], size)
