"""What a backend claims about a programme, and the options it is given."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from verinet.numeric import FEASIBILITY_TOLERANCE, FloatArray

__all__ = ["Outcome", "Progress", "SolveOptions", "Status"]


class Status(Enum):
    """What the backend claims; only these four.

    Every limit, interruption, inf-or-unbounded and numerical status is UNKNOWN with its reason.
    """

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A backend's claim.

    Parameters
    ----------
    status : Status
    solver : str
        Name and version of the backend.
    seconds : float
        Wall time of the solve.
    values : ndarray of float, shape (variables,), or None
        The best point that the solver claims to be feasible.
    objective : float or None
        The objective that it claims for this point.
    bound : float
        The claimed lower bound of the objective; ``-inf`` if it has none, ``inf`` if it claims infeasibility.
    reason : str
        Why the status is UNKNOWN; empty otherwise.

    Notes
    -----
    Nothing here is proved: values and bounds carry the solver's tolerances.
    """

    status: Status
    solver: str
    seconds: float
    values: FloatArray | None = None
    objective: float | None = None
    bound: float = -np.inf
    reason: str = ""

    @property
    def gap(self) -> float:
        """Relative gap between objective and bound, ``inf`` without both; zero at most by the solver's tolerance."""
        if self.objective is None or not np.isfinite(self.bound):
            return np.inf
        return max(0.0, (self.objective - self.bound) / max(abs(self.objective), 1e-10))


@dataclass(frozen=True)
class Progress:
    """A report from a running solve.

    Parameters
    ----------
    seconds : float
    objective : float or None
        Of the incumbent.
    bound : float
    values : ndarray or None
        The incumbent, if it is new since the last report.
    """

    seconds: float
    objective: float | None
    bound: float
    values: FloatArray | None = None


@dataclass(frozen=True)
class SolveOptions:
    """Limits and hints for one solve.

    Parameters
    ----------
    time_limit : float
        Seconds of wall time; infinite by default.
    threads : int
        Zero leaves the choice to the backend.
    gap_tolerance : float
        Relative gap at which an incumbent counts as optimal.
    feasibility_tolerance : float
        By how much the backend may violate a row or integrality.
    seed : int
    start : ndarray of float, shape (variables,), or None
        A point to start from, entries may be NaN where unknown. The backend may drop it when it is not feasible.
    cutoff : float
        Only points with a smaller objective are of interest; with none left the status is INFEASIBLE.
    stop_at : float
        Stop as soon as an incumbent reaches this objective (status UNKNOWN, reason given).
    on_progress : callable or None
        Called with `Progress`, from the solver's thread.
    cancel : threading.Event
        Once set, the solve stops soon and says so.
    """

    time_limit: float = np.inf
    threads: int = 1
    gap_tolerance: float = 1e-6
    feasibility_tolerance: float = FEASIBILITY_TOLERANCE
    seed: int = 0
    start: FloatArray | None = None
    cutoff: float = np.inf
    stop_at: float = -np.inf
    on_progress: Callable[[Progress], None] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
