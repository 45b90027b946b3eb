"""A network over a domain, prepared for many optimisations: bounds, encodings and samples, made once."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.encode import Lowered, QueryProgramme, add_atoms, encode_query, lower_programme
from verinet.model import Atom, Conjunction, Domain, Network, evaluate, evaluate_exact
from verinet.numeric import FloatArray, float_down
from verinet.program import Programme, ProgrammeBuilder
from verinet.verify.atoms import atom_bounds, refuted_by
from verinet.verify.epigraph import add_objective
from verinet.verify.falsify import SearchSpace
from verinet.verify.objectives import Case, Objective, shifted

__all__ = ["MARGINS", "Problem"]

Point = tuple[Fraction, ...]

MARGINS = (Fraction(1, 10**9), Fraction(1, 10**7), Fraction(1, 10**5))
"""By how much atoms are tightened, one after another, until an exact point is found: just beyond the tolerances of
solvers, and more where the network amplifies them."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A network over a domain, with everything that does not depend on what is minimised; made when first needed.

    Parameters
    ----------
    network : Network
    domain : Domain
        Its box is not empty.
    seed : int
        For the sampled points.
    """

    network: Network
    domain: Domain
    seed: int = 0
    _lowered: dict[Conjunction, Lowered] = field(default_factory=dict, init=False, repr=False)
    _refuted: dict[Conjunction, bool] = field(default_factory=dict, init=False, repr=False)
    _exact_samples: dict[int, tuple[Point, Point] | None] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def bounds(self) -> NetworkBounds:
        """Rounding-safe enclosures of every neuron."""
        return bound_network(self.network, InputSet.of(self.domain))

    @cached_property
    def encoding(self) -> QueryProgramme:
        """The semantic programme of network and domain."""
        intervals = {name: (v.lower, v.upper) for name, v in self.bounds.intervals.items()}
        return encode_query(self.network, self.domain, intervals)

    @cached_property
    def space(self) -> SearchSpace:
        """The domain in floats."""
        return SearchSpace(self.domain)

    @cached_property
    def samples(self) -> tuple[FloatArray, FloatArray]:
        """Some points near the domain, and the network's float outputs there."""
        x = self.space.starts(np.random.default_rng(self.seed))
        return x, evaluate(self.network, x)

    def exact_sample(self, number: int) -> tuple[Point, Point] | None:
        """Return a sampled point, exactly in the domain, and the network's exact outputs there; None if it is not."""
        if number not in self._exact_samples:
            point = self.domain.nearest(self.samples[0][number].tolist())
            inside = self.domain.contains(point)
            self._exact_samples[number] = (point, evaluate_exact(self.network, point)) if inside else None
        return self._exact_samples[number]

    def lowered(self, conjunction: Conjunction) -> Lowered:
        """Return the linear programme with binaries of the points that meet a conjunction; no objective."""
        if conjunction not in self._lowered:
            self._lowered[conjunction] = lower_programme(self.satisfaction(conjunction))
        return self._lowered[conjunction]

    def satisfaction(self, atoms: Iterable[Atom]) -> Programme:
        """Return the semantic programme of the points that meet some atoms; no objective."""
        builder = ProgrammeBuilder.extending(self.encoding.programme)
        add_atoms(builder, atoms, self.encoding.places)
        return builder.build()

    def programme(self, case: Case, margin: Fraction | None = None) -> Programme:
        """Return the semantic programme of a case with its objective.

        Parameters
        ----------
        case : Case
        margin : Fraction or None
            If given, the atoms of the case and of the domain hold by this margin; with a margin of zero only strict
            ones do, by the least of `MARGINS`.
        """
        atoms = case.conjunction
        if margin is not None:
            atoms = tuple(
                shifted(atom, margin or MARGINS[0]) if margin or atom.strict else atom
                for atom in (*atoms, *self.domain.conditions)
            )
        builder = ProgrammeBuilder.extending(self.satisfaction(atoms))
        builder.objective = add_objective(builder, case.objective, self.encoding.places)
        return builder.build()

    def refuted(self, conjunction: Conjunction) -> bool:
        """Return whether rounding-safe bounds exclude a conjunction."""
        if not conjunction:
            return False
        if conjunction not in self._refuted:
            self._refuted[conjunction] = refuted_by(conjunction, atom_bounds(self.bounds, conjunction))
        return self._refuted[conjunction]

    def least(self, objective: Objective) -> float:
        """Bound an objective from below over the domain, safely: part by part, so parts do not know of each other."""
        members = [Atom(e) for part in objective.parts for e in part if e.terms]
        values = iter(atom_bounds(self.bounds, members).tolist() if members else ())
        total = Fraction(0)
        for part in objective.parts:
            best = max(next(values) if e.terms else float_down(e.constant) for e in part)
            if not math.isfinite(best):
                return -math.inf
            total += Fraction(best)
        lower, upper = self.domain.exact_box() if objective.changes else ((), ())
        for change in objective.changes:
            inside = (lower[i] <= c <= upper[i] for i, c in zip(change.coordinates, change.centre, strict=True))
            total += 0 if all(inside) else change.price
        return float_down(total)
