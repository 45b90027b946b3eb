"""The branch engine: branch and bound on the input box, on all cores, with rounding-safe bounds."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from verinet.bounds import InputSet, bound_network
from verinet.model import Network, Region
from verinet.numeric import FloatArray
from verinet.verify.atoms import BEYOND_FLOATS, are_floats_enough, atom_bounds, refuted_by
from verinet.verify.box_search import BoxSearch, Stop
from verinet.verify.falsify import SAMPLES, Falsifier
from verinet.verify.finding import Finding, Outlook
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.pairs import Pair, pair_up
from verinet.verify.region_tape import RegionTape, domain_atoms, prepare
from verinet.verify.watch import Watch

__all__ = ["search_with_branching"]


def search_with_branching(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    """Decide a region by splitting its input box.

    Parameters
    ----------
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        REFUTED means that rounding-safe bounds exclude every conjunction on every box of a subdivision of the domain.
        FOUND is confirmed exactly. OPEN carries the worst box that is left, and the bound of its violation. The user's
        interrupt ends the search, and is a reason like any other.
    """
    pair = pair_up(network, region)
    if pair is None:
        return _search(network, region, options, deadline, None)
    return pair.restored(_search(pair.network, pair.region, options, deadline, pair))


def _search(network: Network, region: Region, options: VerifyOptions, deadline: Deadline, pair: Pair | None) -> Finding:
    bounds = bound_network(network, InputSet.of(region.domain))
    open_cases = [case for case in region.unsafe if not (case and refuted_by(case, atom_bounds(bounds, case)))]
    closed = len(region.unsafe) - len(open_cases)
    if not open_cases:
        evidence = (f"rounding-safe bounds refuted {closed} case(s) at once",)
        return Finding(Outlook.REFUTED, evidence=evidence, unstable=bounds.unstable)
    if any(not (*case, *domain_atoms(region.domain)) for case in open_cases):
        return Finding(Outlook.OPEN, reason="a case without conditions holds anywhere; the falsifier finds a point")
    if not all(are_floats_enough(bounds, case) for case in open_cases):
        return Finding(Outlook.OPEN, reason=BEYOND_FLOATS, unstable=bounds.unstable)
    search = prepare(network, region, open_cases, bounds, options, deadline, pair)
    return replace(_Decision(search).run(), unstable=bounds.unstable)


class _Decision(BoxSearch[Finding]):
    """A search for one counterexample."""

    def __init__(self, search: RegionTape) -> None:
        options = search.options
        domain = search.region.domain
        super().__init__(domain, search.tape, search.cases, search.deadline, options.threads, options.memory)
        self.search = search
        falsifier = Falsifier(search.network, search.region, options.seed + 1)
        self.watch = Watch(falsifier, len(search.tape.weights), options.falsify)

    def offered(self, point: FloatArray | tuple[Fraction, ...]) -> Finding | None:
        confirmed = self.search.confirm(point)
        if confirmed is None:
            return None
        return Finding(Outlook.FOUND, confirmed, (f"found among {self.boxes} boxes",))

    def between_rounds(self) -> Finding | None:
        point = self.watch.look(self.products, self.deadline, self.open_boxes) if self._may_sample() else None
        if point is not None:
            return Finding(Outlook.FOUND, point, (f"the falsifier found it beside {self.boxes} boxes",))
        self.search.options.on_progress(self.report())
        return None

    def _may_sample(self) -> bool:
        """Return whether there is memory for a first round of samples; later ones use the same again."""
        size = SAMPLES * self.tape.total * np.dtype(np.float64).itemsize
        return bool(self.watch.turns) or self.memory.allows(size)

    def emptied(self) -> Finding:
        if self.aside:
            count = f"{len(self.aside)} box is" if len(self.aside) == 1 else f"{len(self.aside)} boxes are"
            return self._open(f"{count} too small for floats to split and still open, all others are refuted")
        evidence = (f"rounding-safe bounds refuted every case on {self.boxes} boxes of the input domain",)
        return Finding(Outlook.REFUTED, evidence=evidence)

    def stopped(self, stop: Stop) -> Finding:
        limit = "all that the machine gives" if self.memory_limit is None else f"{self.memory_limit:g} MiB"
        reasons = {
            Stop.MEMORY: f"{stop.value} ({limit})",
            Stop.BOXES: f"more than {self.most_set_aside} boxes are too small for floats to split and still open",
        }
        return replace(
            self._open(reasons.get(stop, stop.value)),
            timed_out=stop is Stop.TIME,
            exhausted=stop is Stop.MEMORY,
            interrupted=stop is Stop.INTERRUPT,
        )

    def _open(self, reason: str) -> Finding:
        """Give up, naming the worst box that is left."""
        worst = self.worst
        if worst is None:
            return Finding(Outlook.OPEN, reason=f"{reason} ({self.report()})")
        known = np.isfinite(worst.bound)
        bound = f"the best bound is {worst.bound:.6g}, above 0 is needed" if known else "there is no bound yet"
        reason = f"{reason} ({self.report()}; {bound}; the worst box left is {worst.box})"
        return Finding(Outlook.OPEN, reason=reason, bound=worst.bound if known else None, box=worst.box)
