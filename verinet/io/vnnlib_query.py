"""VNN-LIB 2 queries: declared networks with named tensors, and assertions over their entries.

The language: ``(vnnlib-version <2.0>)``, one or more ``(declare-network ...)`` with their inputs, hidden nodes and
outputs, and ``(assert ...)`` over entries such as ``X[0,2]``. The query is ``sat`` if there are inputs of all networks
with which every assertion holds. Version 2.1 adds inputs that keep the value the model file gives them
(``initialized``).

What other tools write is read too: ``Real`` for ``real``, whole numbers and exponents in literals, ``=`` for ``==``, a
space before an index, no version, no assertion.

References
----------
VNNLIB/VNNLIB-Standard: The VNN-LIB standard, version 2.0, chapters 3 (query language) and 4 (theories).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import product
from math import prod

from verinet.errors import FileFormatError, InputError, PropertyError
from verinet.io.cases import Form, conjunction
from verinet.io.names import quoted
from verinet.io.s_expressions import Group, Source
from verinet.io.vnnlib_arithmetic import arithmetic_of, check_types
from verinet.io.vnnlib_formula import evaluate_assertion, operator_of
from verinet.model import Arithmetic, Side, Symbol

__all__ = ["ELEMENT_TYPES", "REAL", "VERSIONS", "NetworkDeclaration", "Role", "Variable", "VnnlibQuery", "read_query"]

VERSIONS = ("2.0", "2.1")
"""The versions of the language that are read."""

REAL = "real"
"""The element type that stands for exact real numbers."""

ELEMENT_TYPES = frozenset(
    {REAL, "float16", "float32", "float64", "bfloat16", "bool", "complex64", "complex128"}
    | {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    | {"float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e5m2fnuz", "float4e2m1"}
)
"""Every type that a declaration may name; few of them are answered."""

MOST_ENTRIES = 1 << 24
"""A declared tensor with more entries than this is refused before names are made for them."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NETWORK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""With hyphens, which the grammar does not have and the standard's own example does."""
_NUMBERS = re.compile(r"\[\s*(?:[0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*)?\s*\]")
_VERSION = re.compile(r"<([0-9]{1,4}\.[0-9]{1,4})>")


class Role(Enum):
    """What a declared tensor is to its network."""

    INPUT = "declare-input"
    HIDDEN = "declare-hidden"
    OUTPUT = "declare-output"


@dataclass(frozen=True)
class Variable:
    """A declared tensor.

    Parameters
    ----------
    name : str
    role : Role
    element_type : str
    shape : tuple of int
        Empty for a single number, which is written without indices.
    node : str
        For a hidden node: the name of what computes it in the model file.
    is_initialised : bool
        Whether an input keeps the value that the model file gives it.
    """

    name: str
    role: Role
    element_type: str
    shape: tuple[int, ...]
    node: str = ""
    is_initialised: bool = False

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def side(self) -> Side:
        """Where its entries live."""
        return Side.INPUT if self.role is Role.INPUT else Side.OUTPUT

    def entries(self) -> Iterator[str]:
        """Return how each entry is written, in row-major order."""
        if not self.shape:
            yield self.name
            return
        for index in product(*map(range, self.shape)):
            yield f"{self.name}[{','.join(map(str, index))}]"


@dataclass(frozen=True)
class NetworkDeclaration:
    """The interface of a network.

    Parameters
    ----------
    name : str
    variables : tuple of Variable
        Inputs, then hidden nodes, then outputs.
    equal_to, isomorphic_to : str or None
        The network of which it is a copy, or whose shapes it shares.
    """

    name: str
    variables: tuple[Variable, ...]
    equal_to: str | None = None
    isomorphic_to: str | None = None

    def those(self, role: Role) -> tuple[Variable, ...]:
        """Return the variables of a role."""
        return tuple(variable for variable in self.variables if variable.role is role)


@dataclass(frozen=True, eq=False)
class VnnlibQuery:
    """What a VNN-LIB 2 file says.

    Symbols count the entries of all inputs, network after network; and likewise those of all hidden nodes and outputs.

    Parameters
    ----------
    file : str
        What to call it in a sentence.
    version : str
    networks : tuple of NetworkDeclaration
    form : Form
        All assertions together.
    arithmetic : Arithmetic
        What the comparisons hold at most.
    """

    file: str
    version: str
    networks: tuple[NetworkDeclaration, ...]
    form: Form
    arithmetic: Arithmetic

    @cached_property
    def element_types(self) -> frozenset[str]:
        """Every type that occurs."""
        return frozenset(variable.element_type for network in self.networks for variable in network.variables)

    @cached_property
    def is_real(self) -> bool:
        """Whether the question is about real numbers, whatever the float types of the model files are."""
        return self.element_types == {REAL}

    def entries(self, side: Side) -> list[str]:
        """Return how each entry of a side is written, in the order of its symbols."""
        return [name for variable in self.variables(side) for name in variable.entries()]

    def variables(self, side: Side) -> tuple[Variable, ...]:
        """Return the declared tensors of a side, in the order of their symbols."""
        return tuple(v for network in self.networks for v in network.variables if v.side is side)


def read_query(source: Source, groups: Sequence[Group]) -> VnnlibQuery:
    """Read the groups of a VNN-LIB 2 text.

    Parameters
    ----------
    source : Source
    groups : sequence of Group
        All of the text's.

    Returns
    -------
    VnnlibQuery

    Raises
    ------
    FileFormatError
        If it is not VNN-LIB 2, with the line.
    PropertyError
        If its disjunctive form is too large.

    Notes
    -----
    Soundness: literals, sums and products are exact rationals, strict inequalities stay strict, and the form is
    equivalent to the assertions.
    """
    version = VERSIONS[0]
    networks: dict[str, NetworkDeclaration] = {}
    asserted: list[Group] = []
    for position, group in enumerate(groups):
        try:
            command = operator_of(group)
            if command == "vnnlib-version" and position == 0:
                version = _version(group)
            elif command == "declare-network" and not asserted:
                network = _network(group, networks)
                networks[network.name] = network
            elif command == "assert":
                asserted.append(_joined(group))
            else:
                raise FileFormatError(
                    f"expected vnnlib-version once, then declare-network, then assert, found {quoted(command)} there; "
                    "reorder the commands"
                )
        except InputError as error:
            raise source.placed(error, group) from None
    if not networks:
        raise FileFormatError(f"{source.file}: expected at least one declare-network, found none; declare the network")
    symbols = _symbols(tuple(networks.values()), source)
    types = _types(tuple(networks.values()))
    for group in asserted:
        check_types(group, types, source)
    form = conjunction([evaluate_assertion(group, symbols, source) for group in asserted])
    return VnnlibQuery(
        source.file,
        version,
        tuple(networks.values()),
        form,
        max((arithmetic_of(group, symbols) for group in asserted), default=Arithmetic.DIRECT),
    )


def _version(group: Group) -> str:
    match group.items:
        case [_, str(token)] if _VERSION.fullmatch(token):
            version = token[1:-1]
        case _:
            raise FileFormatError("expected (vnnlib-version <2.0>)")
    if version not in VERSIONS:
        raise FileFormatError(f"expected VNN-LIB version {' or '.join(VERSIONS)}, found {version}; convert the file")
    return version


def _network(group: Group, known: Mapping[str, NetworkDeclaration]) -> NetworkDeclaration:
    if len(group.items) < 2:
        raise FileFormatError("expected (declare-network NAME ...), found no name")
    name = _fresh_name(group.items[1], _NETWORK_NAME, list(known))
    taken = [variable.name for network in known.values() for variable in network.variables]
    relations: list[tuple[str, str]] = []
    variables: list[Variable] = []
    for item in group.items[2:]:
        if not isinstance(item, Group):
            raise FileFormatError(f"network {name}: expected declarations in parentheses, found {quoted(item)}")
        command = operator_of(item)
        if command in ("equal-to", "isomorphic-to") and not variables:
            relations.append((command, _related(item, known)))
            continue
        variable = _variable(command, item, [*taken, *(variable.name for variable in variables)])
        if variables and list(Role).index(variable.role) < list(Role).index(variables[-1].role):
            raise FileFormatError(f"network {name}: expected inputs, then hidden nodes, then outputs; reorder them")
        variables.append(variable)
    if len(relations) > 1:
        raise FileFormatError(f"network {name}: expected at most one equal-to or isomorphic-to, found {len(relations)}")
    for role in (Role.INPUT, Role.OUTPUT):
        if not any(variable.role is role for variable in variables):
            raise FileFormatError(f"network {name}: expected at least one {role.value}, found none; add it")
    target = dict(relations)
    network = NetworkDeclaration(name, tuple(variables), target.get("equal-to"), target.get("isomorphic-to"))
    _check_relation(network, known)
    return network


def _fresh_name(item: str | Group, pattern: re.Pattern[str], taken: Sequence[str]) -> str:
    if not isinstance(item, str) or pattern.fullmatch(item) is None:
        found = quoted(item) if isinstance(item, str) else "a parenthesis"
        raise FileFormatError(f"expected a name of letters, digits and underscores, found {found}")
    if item in taken:
        raise FileFormatError(f"the name {item} is declared twice; rename one of them")
    return item


def _related(group: Group, known: Mapping[str, NetworkDeclaration]) -> str:
    match group.items:
        case [_, str(name)] if name in known:
            pass
        case _:
            raise FileFormatError(f"expected ({group.items[0]} NAME) with the name of a network declared before")
    if known[name].equal_to or known[name].isomorphic_to:
        raise FileFormatError(f"network {name} refers to another one itself; refer to that one")
    return name


def _check_relation(network: NetworkDeclaration, known: Mapping[str, NetworkDeclaration]) -> None:
    """Check that a copy declares what its original does: the same shapes, and for ``equal-to`` the same types."""
    target = network.equal_to or network.isomorphic_to
    if target is None:
        return
    with_types = network.equal_to is not None
    for role in (Role.INPUT, Role.OUTPUT):
        own, other = (
            [(v.shape, v.is_initialised, v.element_type if with_types else "") for v in declared.those(role)]
            for declared in (network, known[target])
        )
        if own != other:
            raise FileFormatError(
                f"network {network.name}: expected the same {role.value} shapes{' and types' if with_types else ''} as "
                f"in network {target}, found others; correct one of them"
            )
    hidden = {v.node: v for v in known[target].those(Role.HIDDEN)}
    for variable in network.those(Role.HIDDEN):
        other_variable = hidden.get(variable.node)
        if other_variable is not None and (
            other_variable.shape != variable.shape
            or (with_types and other_variable.element_type != variable.element_type)
        ):
            raise FileFormatError(f"hidden node {variable.name} differs from {other_variable.name} in network {target}")


def _variable(command: str, group: Group, taken: Sequence[str]) -> Variable:
    try:
        role = Role(command)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise FileFormatError(f"expected equal-to, isomorphic-to, {known}, found {quoted(command)}") from None
    words = [item for item in group.items[1:] if isinstance(item, str)]
    if len(words) < len(group.items) - 1 or len(words) < 3:
        raise FileFormatError(f"expected ({command} NAME TYPE [SHAPE]), found {len(words)} words after {command}")
    name, kind, shape, *rest = words
    _fresh_name(name, _NAME, taken)
    element_type = REAL if kind == "Real" else kind
    if element_type not in ELEMENT_TYPES:
        raise FileFormatError(f"{name}: expected an element type such as {REAL} or float32, found {quoted(kind)}")
    node, initialised = "", False
    if role is Role.HIDDEN:
        if len(rest) != 1 or len(rest[0]) < 2 or not rest[0].startswith('"'):
            raise FileFormatError(f'{name}: expected (declare-hidden NAME TYPE [SHAPE] "NODE") with a name in quotes')
        node = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), rest[0][1:-1])
    elif role is Role.INPUT and rest == ["initialized"]:
        initialised = True
    elif rest:
        raise FileFormatError(f"{name}: found {quoted(rest[0])} after the shape; remove it")
    return Variable(name, role, element_type, _shape(name, shape), node, initialised)


def _shape(name: str, text: str) -> tuple[int, ...]:
    if _NUMBERS.fullmatch(text) is None:
        raise FileFormatError(f"{name}: expected a shape such as [1,3], found {quoted(text)}")
    shape = tuple(map(int, re.findall("[0-9]+", text)))
    if not 0 < prod(shape) <= MOST_ENTRIES:
        raise FileFormatError(f"{name}: expected a shape of 1 to {MOST_ENTRIES} entries, found {text}")
    return shape


def _joined(group: Group) -> Group:
    """Join names with the indices behind them, as they are written in the table of symbols."""
    whole = Group([], group.position)
    pending = [(group, whole)]
    while pending:
        old, new = pending.pop()
        for item in old.items:
            if isinstance(item, Group):
                part = Group([], item.position)
                new.items.append(part)
                pending.append((item, part))
            elif item.startswith("[") and new.items and isinstance(new.items[-1], str):
                if not _NUMBERS.fullmatch(item):
                    raise FileFormatError(f"expected indices such as [0,2], found {quoted(item)}")
                indices = ",".join(str(int(number)) for number in re.findall("[0-9]+", item))
                new.items[-1] += f"[{indices}]"
            else:
                new.items.append(item)
    return whole


def _symbols(networks: tuple[NetworkDeclaration, ...], source: Source) -> dict[str, Symbol]:
    symbols: dict[str, Symbol] = {}
    counts = dict.fromkeys(Side, 0)
    for variable in (variable for network in networks for variable in network.variables):
        side = variable.side
        if counts[side] + variable.size > MOST_ENTRIES:
            raise PropertyError(f"{source.file}: expected at most {MOST_ENTRIES} declared entries, found more")
        symbols.update((name, Symbol(side, i)) for i, name in enumerate(variable.entries(), start=counts[side]))
        counts[side] += variable.size
    return symbols


def _types(networks: tuple[NetworkDeclaration, ...]) -> dict[str, str]:
    return {variable.name: variable.element_type for network in networks for variable in network.variables}
