"""Options of the verifier."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from verinet.verify.verdict import Replay

__all__ = ["Deadline", "VerifyOptions"]


@dataclass(frozen=True)
class Deadline:
    """A point in time that work must not outlast.

    Parameters
    ----------
    end : float
        On the clock of `time.monotonic`.
    """

    end: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, at least zero."""
        return max(0.0, self.end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self.end

    def within(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and one that many seconds from now."""
        return Deadline(min(self.end, time.monotonic() + seconds))


@dataclass(frozen=True)
class VerifyOptions:
    """How a query is answered.

    Parameters
    ----------
    engine : str
        ``auto``, ``branch``, ``phase``, ``milp`` or ``smt``.
    solver : str
        Backend of the milp engine: ``auto``, ``gurobi``, ``highs``, ``scip`` or ``cpsat``.
    timeout : float
        Seconds of wall time.
    started : float or None
        When they begin to count, on the clock of `time.monotonic`; None for when the verifier is called.
    memory : float or None
        Most memory that the process may hold while the branch or the phase engine searches, in MiB; None for no limit.
    threads : int
        Of the search and of the solver; zero means all cores.
    seed : int
        For the falsifier and the solver.
    falsify : bool
        Look for a counterexample by sampling and gradients first.
    cross_check_neurons : int
        Let Z3 answer too when at most this many neurons are unstable.
    cross_check_seconds : float
        How long Z3 may take for that.
    replay : callable or None
        Runs the original model file at a counterexample.
    on_progress : callable
        Receives one sentence at each step.
    on_notice : callable
        Receives a sentence that should be seen even where progress is not shown: why this takes longer than usual.
    """

    engine: str = "auto"
    solver: str = "auto"
    timeout: float = np.inf
    started: float | None = None
    memory: float | None = None
    threads: int = 1
    seed: int = 0
    falsify: bool = True
    cross_check_neurons: int = 12
    cross_check_seconds: float = 10.0
    replay: Replay | None = None
    on_progress: Callable[[str], None] = field(default=lambda _: None)
    on_notice: Callable[[str], None] = field(default=lambda _: None)
