"""The counterexample-guided search for the smallest repair of one layer.

Soundness: a repaired network counts only once the verifier passed it, with its weights rounded as they are written.
The bound is that of programmes whose demands every network with the properties meets: a solver's claim about changes
of this layer within the reach.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.encode import lower_programme
from verinet.errors import InputError
from verinet.model import Demand, Network, requirement_of
from verinet.numeric import FloatArray
from verinet.program import Outcome, SolveOptions, Status
from verinet.solve import choose
from verinet.train.certified.search import Conclusion, Solution, Task, search_certified
from verinet.train.repair.layer import RepairLayer
from verinet.train.repair.programme import RepairProgramme, build_repair
from verinet.train.result import CertifiedResult
from verinet.train.specification import TrainOptions, UniversalProperty

__all__ = ["ChangeNorm", "RepairOptions", "Repaired", "repair"]

LEAST_MARGIN = 1e-6
"""By how much repaired networks overfulfil demands, relative to their outputs: more than float32 rounds."""

NEGLIGIBLE = 1e-9
"""Changes below this share of the reach are residues of a solver."""

PROGRAMME_GAP = 1e-6
"""Relative gap at which a programme counts as solved."""


class ChangeNorm(Enum):
    """What a change costs."""

    L1 = "l1"
    """The sum of all changes of weights and biases."""
    COUNT = "count"
    """How many weights and biases change."""


@dataclass(frozen=True)
class RepairOptions:
    """How a network is repaired.

    Parameters
    ----------
    norm : ChangeNorm
    reach : float or None
        The largest change of a weight or bias; None for twice the layer's largest magnitude, at least 1.
    search : TrainOptions
        Limits of time and rounds, solver, threads, and the relative gap at which a change counts as the smallest.
    """

    norm: ChangeNorm = ChangeNorm.L1
    reach: float | None = None
    search: TrainOptions = field(default_factory=lambda: TrainOptions(gap_tolerance=1e-3))

    def __post_init__(self) -> None:
        if self.reach is not None and not (self.reach > 0 and np.isfinite(self.reach)):
            raise InputError(f"the reach of a repair needs to be a finite number above 0, found {self.reach}")


@dataclass(frozen=True, eq=False)
class Repaired:
    """A repaired network and what changed.

    Parameters
    ----------
    network : Network
    layer : str
        The name of the changed node.
    norm : ChangeNorm
    l1 : Fraction
        The sum of all changes, exactly, as written.
    changed : int
        Weights and biases that changed.
    bound : float
        No smaller change within the reach has the properties, by a solver's claim.
    proven : bool
        Whether bound and change meet.
    reason : str
        Why they do not; empty otherwise.
    reach : float
    """

    network: Network
    layer: str
    norm: ChangeNorm
    l1: Fraction
    changed: int
    bound: float
    proven: bool
    reason: str
    reach: float

    @property
    def size(self) -> Fraction:
        """The change in its norm."""
        return self.l1 if self.norm is ChangeNorm.L1 else Fraction(self.changed)


def repair(
    layer: RepairLayer, properties: Sequence[UniversalProperty], options: RepairOptions | None = None
) -> CertifiedResult[Repaired]:
    """Change a layer of a network as little as possible such that properties hold.

    Parameters
    ----------
    layer : RepairLayer
    properties : sequence of UniversalProperty
    options : RepairOptions or None

    Returns
    -------
    CertifiedResult
        Without a result where no network passed.

    Raises
    ------
    PropertyError
        If a property does not fit the network.
    """
    options = options or RepairOptions()
    for wanted in properties:
        requirement_of(layer.network, wanted.domain, wanted.prop, wanted.references)
    largest = float(np.abs(layer.current).max(initial=0.0))
    reach = max(1.0, 2.0 * largest) if options.reach is None else options.reach
    return search_certified(_RepairMaster(layer, options, reach), properties, options.search)


@dataclass(frozen=True, eq=False)
class _RepairMaster:
    """Repair as the loop around it sees it."""

    layer: RepairLayer
    options: RepairOptions
    reach: float

    @property
    def can_exclude(self) -> bool:
        """Whether single networks can be left out: next to one there are always others."""
        return False

    @property
    def scope(self) -> str:
        """What the programme ranges over."""
        return f"no change of layer {self.layer.name!r} by at most {self.reach:g} a weight"

    def sufficient(self, properties: Sequence[UniversalProperty], seconds: float) -> Solution[Repaired] | None:
        """Return no network: repair begins with the given one."""
        return None

    def constant(self, seconds: float) -> Solution[Repaired] | None:
        """Return no network: a constant one is no repair."""
        return None

    def solve(self, task: Task[Repaired], seconds: float) -> Solution[Repaired]:
        """Solve without a margin for the bound, and with one for the network where rounding asks for it."""
        if not task.demands:
            unchanged = self._repaired(np.zeros(len(self.layer.current)))
            return Solution(unchanged, (Fraction(0),), (0.0,), "")
        until = time.monotonic() + seconds
        loose, outcome = self._optimise(task.demands, 0.0, seconds)
        bound = self._bound(outcome)
        if outcome.status is Status.INFEASIBLE:
            return Solution(None, (), (np.inf,), "")
        reason = "" if outcome.status is Status.OPTIMAL else outcome.reason or outcome.status.value
        found = self._read(loose, outcome)
        if task.margin or found is None or not _meets(found.network, task.demands):
            tight, inner = self._optimise(task.demands, max(task.margin, LEAST_MARGIN), until - time.monotonic())
            found = self._read(tight, inner) or found
        if found is None:
            return Solution(None, (), (bound,), reason or "no change was found that keeps a margin for rounding")
        gap = float(found.size) - bound
        if gap > self.options.search.gap_tolerance * max(float(found.size), 1e-10):
            reason = reason or "the change keeps a margin for rounding, and the gap is open"
        return Solution(found, (found.size,), (bound,), reason)

    def _optimise(self, demands: Sequence[Demand], margin: float, seconds: float) -> tuple[RepairProgramme, Outcome]:
        counted = self.options.norm is ChangeNorm.COUNT
        built = build_repair(self.layer, demands, margin, self.reach, counted=counted)
        lowered = lower_programme(built.programme)
        search = self.options.search
        limits = SolveOptions(
            time_limit=max(seconds, 0.1), threads=search.threads, gap_tolerance=PROGRAMME_GAP, seed=search.seed
        )
        return built, choose(lowered.programme, search.solver).backend.solve(lowered.programme, limits)

    def _bound(self, outcome: Outcome) -> float:
        """Return the claimed bound; a count is whole."""
        bound = max(outcome.bound, 0.0)
        if self.options.norm is ChangeNorm.COUNT and np.isfinite(bound):
            return float(np.ceil(bound - 1e-6))
        return bound

    def _read(self, built: RepairProgramme, outcome: Outcome) -> Repaired | None:
        return None if outcome.values is None else self._repaired(built.change(outcome.values))

    def _repaired(self, change: FloatArray) -> Repaired:
        """Round a change as it will be written, and measure it exactly."""
        layer = self.layer
        moved = np.abs(change) > NEGLIGIBLE * self.reach
        network = layer.with_parameters(np.where(moved, layer.current + change, layer.current))
        written = RepairLayer(network, network.by_name[layer.name])
        steps = [Fraction(float(b)) - Fraction(float(a)) for a, b in zip(layer.current, written.current, strict=True)]
        changed = sum(step != 0 for step in steps)
        l1 = sum((abs(step) for step in steps), Fraction(0))
        return Repaired(network, layer.name, self.options.norm, l1, changed, 0.0, False, "", self.reach)

    def conclude(self, result: Repaired, conclusion: Conclusion) -> Repaired:
        """Write the bound into the result."""
        bound = min(conclusion.bounds[0], float(result.size))
        return replace(result, bound=bound, proven=conclusion.proven, reason=conclusion.reason)


def _meets(network: Network, demands: Sequence[Demand]) -> bool:
    return all(demand.met_by(network) for demand in demands)
