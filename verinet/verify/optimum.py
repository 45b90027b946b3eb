"""What comes out of an optimisation: an exact point, a bound from the other side, and who vouches for it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.numeric import float_down, float_up

__all__ = ["Basis", "OptimiseOptions", "Optimum", "OptimumProgress", "OptimumStatus", "Sense"]


class Sense(Enum):
    """Which end is looked for."""

    MINIMISE = "minimise"
    MAXIMISE = "maximise"


class OptimumStatus(Enum):
    """How a search ended.

    OPTIMAL: point and bound are within the wanted gap. BEATEN: a confirmed point beats the cut-off. CUT_OFF: the bound
    shows that none does. INFEASIBLE: no point of the domain meets the region. LIMIT: none of these, see the reason.
    """

    OPTIMAL = "optimal"
    BEATEN = "cut-off beaten"
    CUT_OFF = "cut off"
    INFEASIBLE = "infeasible"
    LIMIT = "limit"


class Basis(Enum):
    """What stands behind a bound."""

    EXACT = "exact arithmetic"
    ROUNDING_SAFE = "rounding-safe bounds"
    SOLVER_CLAIM = "a solver's claim"


@dataclass(frozen=True)
class OptimumProgress:
    """A report from a running search.

    Parameters
    ----------
    seconds : float
    value : Fraction or None
        Of the best confirmed point.
    bound : float
    """

    seconds: float
    value: Fraction | None
    bound: float

    @property
    def gap(self) -> float:
        """Distance of value and bound, infinite without both."""
        return gap_of(self.value, self.bound)

    def negated(self) -> "OptimumProgress":
        """Return the same report about the negated values."""
        return replace(self, value=None if self.value is None else -self.value, bound=-self.bound)

    def __str__(self) -> str:
        value = "none" if self.value is None else f"{float(self.value):.9g}"
        return f"best point {value}, bound {self.bound:.9g}, gap {self.gap:.3g}, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Optimum:
    """The least (or greatest) value over a region, enclosed.

    Parameters
    ----------
    status : OptimumStatus
    sense : Sense
    value : Fraction or None
        At `point`, exactly; None if no point was found.
    point : tuple of Fraction or None
        Lies in the domain and meets the region, exactly.
    bound : float
        No point is better than this; infinite where nothing, or everything, is excluded.
    basis : Basis
        Who says so. A solver's claim is its own bound less its tolerance, see `verinet.numeric.CLAIM_TOLERANCE`; no
        certificate stands behind it.
    reason : str
        Why the search stopped short of its goal; empty otherwise.
    engine : str
        What searched, and why it was chosen.
    evidence : tuple of str
        What was done and what is claimed, one sentence each.
    seconds : float

    Notes
    -----
    Soundness: `value` is a fact, since point and value are checked in rational arithmetic. `bound` is as good as its
    basis. The bound never passes the value.
    """

    status: OptimumStatus
    sense: Sense
    value: Fraction | None
    point: tuple[Fraction, ...] | None
    bound: float
    basis: Basis
    reason: str = ""
    engine: str = ""
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.value is None) != (self.point is None):
            raise AssertionError("an optimum has a value if and only if it has a point")
        if self.status is OptimumStatus.LIMIT and not self.reason:
            raise AssertionError("a search that stopped short has a reason")

    def negated(self) -> "Optimum":
        """Return the same result about the negated values: a minimum becomes a maximum, and back."""
        sense = Sense.MAXIMISE if self.sense is Sense.MINIMISE else Sense.MINIMISE
        value = None if self.value is None else -self.value
        return replace(self, sense=sense, value=value, bound=-self.bound)

    @property
    def gap(self) -> float:
        """Distance of value and bound, infinite without both."""
        return gap_of(self.value, self.bound)

    @property
    def lower(self) -> float:
        """A number that the optimum is at least: as strong as `basis`, or the value's exact fact, rounded down."""
        if self.sense is Sense.MINIMISE:
            return self.bound
        return -math.inf if self.value is None else float_down(self.value)

    @property
    def upper(self) -> float:
        """A number that the optimum is at most: as strong as `basis`, or the value's exact fact, rounded up."""
        if self.sense is Sense.MAXIMISE:
            return self.bound
        return math.inf if self.value is None else float_up(self.value)


def gap_of(value: Fraction | None, bound: float) -> float:
    """Return the distance of a value and a bound, rounded up; infinite without both."""
    if value is None or not math.isfinite(bound):
        return math.inf
    return max(0.0, float_up(abs(value - Fraction(bound))))


@dataclass(frozen=True)
class OptimiseOptions:
    """How an optimum is searched for.

    Parameters
    ----------
    engine : str
        ``auto`` or one of `verinet.verify.optimisers.OPTIMISERS`.
    solver : str
        Backend of the milp engine: ``auto``, ``gurobi``, ``highs``, ``scip`` or ``cpsat``.
    timeout : float
        Seconds of wall time.
    threads : int
        Zero means all cores.
    seed : int
    started : float or None
        When the timeout begins to count, on the clock of `time.monotonic`; None for when the search is called.
    memory : float or None
        Most memory that the process may hold while the branch engine searches, in MiB; None for no limit.
    absolute_gap, relative_gap : float
        The search ends when the gap is at most the larger of the first and the second times the value. A solver's
        claim may leave its tolerance on top.
    polish : bool
        On small cases, move the best point to the exact optimum of its linear piece, by Z3.
    on_progress : callable
        Receives `OptimumProgress`, now and then, maybe from another thread.
    """

    engine: str = "auto"
    solver: str = "auto"
    timeout: float = np.inf
    threads: int = 1
    seed: int = 0
    absolute_gap: float = 1e-6
    relative_gap: float = 1e-6
    polish: bool = True
    started: float | None = None
    memory: float | None = None
    on_progress: Callable[[OptimumProgress], None] = field(default=lambda _: None)

    def negated(self) -> "OptimiseOptions":
        """Return options that report a search among negated values in the sense of the question."""
        return replace(self, on_progress=lambda progress: self.on_progress(progress.negated()))
