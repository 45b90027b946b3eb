"""A region for the kernels: its network as a tape whose last node holds the atoms, and its cases as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import InputSet, NetworkBounds
from verinet.bounds.tape import Tape, make_tape
from verinet.errors import InputError
from verinet.model import Affine, Atom, Dense, Domain, LinearExpression, Network, Node, Region, Side, Symbol
from verinet.numeric import FloatArray
from verinet.verify.atoms import BEYOND_FLOATS, float_atoms
from verinet.verify.box_kernels import Cases
from verinet.verify.box_minimum import make_balls
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.pairs import Pair
from verinet.verify.witness import confirm

__all__ = ["RegionTape", "append_rows", "domain_atoms", "make_cases", "prepare", "with_atoms"]


@dataclass(frozen=True, eq=False)
class RegionTape:
    """A region as arrays for the kernels, and what exact code needs."""

    network: Network
    region: Region
    options: VerifyOptions
    deadline: Deadline
    tape: Tape
    cases: Cases

    def confirm(self, point: FloatArray | tuple[Fraction, ...]) -> tuple[Fraction, ...] | None:
        """Return an exact counterexample at or next to a point, or None."""
        return confirm(self.network, self.region, point)


def domain_atoms(domain: Domain) -> tuple[Atom, ...]:
    """Return the conditions of a domain and what its one-hot groups say, as atoms."""
    atoms = list(domain.conditions)
    for group in domain.groups:
        total = LinearExpression((), Fraction(-1))
        for i in group:
            total = total + LinearExpression(((Symbol(Side.INPUT, i), Fraction(1)),))
        atoms += [Atom(total), Atom(-total)]
    return tuple(atoms)


def append_rows(network: Network, bounds: NetworkBounds, atoms: Sequence[Atom], name: str) -> Network:
    """Append a node whose entries are the atoms' expressions, rounded so that none is larger than its atom's.

    Parameters
    ----------
    network : Network
    bounds : NetworkBounds
        Of the network.
    atoms : sequence of Atom
        At least one.
    name : str
        Of the node.

    Returns
    -------
    Network
        With this node as an output, the last one.

    Raises
    ------
    InputError
        If floats are not enough for some atom; see `are_floats_enough`.
    """
    rounded = float_atoms(bounds, atoms)
    if not np.isfinite(rounded.constants).all():
        raise InputError(f"{BEYOND_FLOATS}; choose --engine smt")
    names, maps = [], []
    for sources, rows in ((network.inputs, rounded.inputs), (network.outputs, rounded.outputs)):
        sizes = [network.by_name[source].op.size_out for source in sources]
        for source, part in zip(sources, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True):
            if part.any():
                names.append(source)
                maps.append(Dense(np.ascontiguousarray(part)))
    if not maps:
        source = network.inputs[0]
        names, maps = [source], [Dense(np.zeros((len(atoms), network.by_name[source].op.size_out)))]
    node = Node(name, Affine(tuple(maps), rounded.constants), tuple(names))
    return Network((*network.nodes, node), (*network.outputs, name))


def with_atoms(network: Network, bounds: NetworkBounds, atoms: Sequence[Atom]) -> Network:
    """Make the atoms the only output; see `append_rows`."""
    appended = append_rows(network, bounds, atoms, "verinet/atoms")
    return replace(appended, outputs=appended.outputs[-1:])


def make_cases(
    domain: Domain, cases: Sequence[Sequence[int]], atoms: Sequence[Atom], outputs: int, priced: int = 0
) -> Cases:
    """Lay out cases for the kernels.

    Parameters
    ----------
    domain : Domain
    cases : sequence of sequence of int
        The atoms of each case, priced ones last.
    atoms : sequence of Atom
    outputs : int
        Entries of the network's output that bend; later ones stand for sums of inputs' distances.
    priced : int
        How many atoms, the last ones, are members of an objective.
    """
    lower, upper = domain.box()
    integral = np.zeros(len(lower), dtype=np.int64)
    integral[list(domain.integral)] = 1
    is_priced = np.arange(len(atoms)) >= len(atoms) - priced
    bends = [any(s.side is Side.OUTPUT and s.index < outputs for s, _ in atom.expression.terms) for atom in atoms]
    return Cases(
        np.cumsum([0, *map(len, cases)]),
        np.array([i for case in cases for i in case], dtype=np.int64),
        np.array([atom.strict for atom in atoms], dtype=np.int64),
        is_priced.astype(np.int64),
        np.zeros(len(atoms)),
        np.array(bends, dtype=np.int64),
        integral,
        np.where(upper - lower > 0, 1.0, 0.0),
        make_balls(InputSet.of(domain)),
    )


def prepare(
    network: Network,
    region: Region,
    open_cases: Sequence[tuple[Atom, ...]],
    bounds: NetworkBounds,
    options: VerifyOptions,
    deadline: Deadline,
    pair: Pair | None = None,
) -> RegionTape:
    """Prepare the question whether a region holds a counterexample.

    Parameters
    ----------
    network : Network
    region : Region
    open_cases : sequence of tuple of Atom
        Those of its conjunctions that are still in question.
    bounds : NetworkBounds
    options : VerifyOptions
    deadline : Deadline
    pair : Pair or None
        Of network and region, where they are about two copies: the tape then has their differences too.
    """
    enclosed = bounds if pair is None else pair.bounds(bounds)
    if pair is not None:
        open_cases = [pair.restated(case) for case in open_cases]
    shared = domain_atoms(region.domain)
    atoms = list(dict.fromkeys(atom for case in open_cases for atom in (*case, *shared)))
    place = {atom: i for i, atom in enumerate(atoms)}
    rows = [[place[atom] for atom in dict.fromkeys((*case, *shared))] for case in open_cases]
    cases = make_cases(region.domain, rows, atoms, enclosed.network.size_out)
    tape = make_tape(with_atoms(enclosed.network, enclosed, atoms))
    return RegionTape(network, region, options, deadline, tape, cases)
