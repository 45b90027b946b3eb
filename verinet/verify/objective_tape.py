"""What is minimised, for the kernels: its members are atoms of every case, less a cut-off that moves.

An objective of one maximum contributes its members. A sum of several becomes an entry of the network first: a node of
all members, one of the maxima, one of their sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.bounds.tape import Tape, make_tape
from verinet.errors import InputError
from verinet.model import (
    Affine,
    Atom,
    Conjunction,
    Dense,
    Domain,
    LinearExpression,
    Maximum,
    Network,
    Node,
    Side,
    Symbol,
)
from verinet.numeric import float_down
from verinet.verify.atoms import atom_bounds
from verinet.verify.box_kernels import Cases
from verinet.verify.objectives import Case, Objective
from verinet.verify.reach import Reach
from verinet.verify.region_tape import append_rows, domain_atoms, make_cases, with_atoms

__all__ = ["ObjectiveTape", "prepare_objective"]

Members = tuple[LinearExpression, ...]


@dataclass(frozen=True, eq=False)
class ObjectiveTape:
    """Cases with objectives as arrays for the kernels.

    Parameters
    ----------
    network : Network
        With an output for each sum among the objectives.
    members : tuple of tuple of LinearExpression
        For each case: the objective is, but for rounding, the largest of these over the network's outputs.
    conjunctions : tuple of Conjunction
        One for each case.
    ceiling : float
        No objective exceeds it over the domain; infinite where nothing is known.
    tape : Tape
    cases : Cases
    reach : Reach or None
        If all cases have one objective.
    """

    network: Network
    members: tuple[Members, ...]
    conjunctions: tuple[Conjunction, ...]
    ceiling: float
    tape: Tape
    cases: Cases
    reach: Reach | None

    def cut_at(self, cutoff: Fraction) -> None:
        """Look for values below a cut-off only; it may fall, never rise."""
        priced = self.cases.priced == 1
        self.cases.offset[priced] = float_down(-cutoff)
        radius = None if self.reach is None else self.reach.radius(cutoff)
        if radius is not None:
            self.cases.balls.radius[-1] = min(radius, self.cases.balls.radius[-1])

    def below(self, cutoff: Fraction) -> tuple[Conjunction, ...]:
        """Return conjunctions that say: a case holds, with a value below a cut-off."""
        limit = LinearExpression((), cutoff)
        return tuple(
            (*conjunction, *(Atom(e - limit, strict=True) for e in members))
            for conjunction, members in zip(self.conjunctions, self.members, strict=True)
        )


def prepare_objective(network: Network, domain: Domain, cases: Sequence[Case]) -> ObjectiveTape:
    """Lay out cases with their objectives.

    Parameters
    ----------
    network : Network
    domain : Domain
    cases : sequence of Case

    Raises
    ------
    InputError
        If an objective counts changes: halving a box never arrives at an input that stays the same.
    """
    if any(change.price for case in cases for change in case.objective.changes):
        raise InputError("the branch engine cannot count changes of inputs; choose --engine milp")
    inputs = InputSet.of(domain)
    bounds = bound_network(network, inputs)
    members: dict[Objective, Members] = {}
    for case in cases:
        objective = case.objective
        if objective not in members:
            if len(objective.parts) > 1:
                bounds = bound_network(_with_sum(bounds, objective, f"verinet/objective_{len(members)}"), inputs)
                place = bounds.network.size_out - 1
                members[objective] = (LinearExpression(((Symbol(Side.OUTPUT, place), Fraction(1)),)),)
            else:
                members[objective] = objective.parts[0] if objective.parts else (LinearExpression(()),)
    reach = Reach(domain, cases[0].objective) if len(members) == 1 else None
    shared = domain_atoms(domain)
    ordinary = list(dict.fromkeys(atom for case in cases for atom in (*case.conjunction, *shared)))
    priced = list(dict.fromkeys(Atom(e, strict=True) for own in members.values() for e in own))
    place_of = {atom: i for i, atom in enumerate(ordinary)}
    price_of = {atom.expression: len(ordinary) + i for i, atom in enumerate(priced)}
    rows = [
        [place_of[a] for a in dict.fromkeys((*case.conjunction, *shared))]
        + [price_of[e] for e in dict.fromkeys(members[case.objective])]
        for case in cases
    ]
    atoms = [*ordinary, *priced]
    return ObjectiveTape(
        bounds.network,
        tuple(members[case.objective] for case in cases),
        tuple(case.conjunction for case in cases),
        float(-atom_bounds(bounds, [Atom(-atom.expression) for atom in priced]).min()),
        make_tape(with_atoms(bounds.network, bounds, atoms)),
        make_cases(domain if reach is None else reach.widened, rows, atoms, network.size_out, len(priced)),
        reach,
    )


def _with_sum(bounds: NetworkBounds, objective: Objective, name: str) -> Network:
    """Append the sum of an objective's maxima as an output, never above it."""
    sizes = [len(part) for part in objective.parts]
    atoms = [Atom(e) for part in objective.parts for e in part]
    network = append_rows(bounds.network, bounds, atoms, f"{name}/members")
    largest = Maximum(np.arange(sum(sizes)), np.cumsum([0, *sizes]), sum(sizes))
    total = Affine((Dense(np.ones((1, len(sizes)))),), np.zeros(1))
    nodes = (
        Node(f"{name}/largest", largest, (f"{name}/members",)),
        Node(f"{name}/sum", total, (f"{name}/largest",)),
    )
    return replace(network, nodes=(*network.nodes, *nodes), outputs=(*bounds.network.outputs, f"{name}/sum"))
