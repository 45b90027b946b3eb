"""One training of so many units as its stages see it, and its objective and bound as they close."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from verinet.program import Progress
from verinet.train.data import TrainingData, distinct_rows
from verinet.train.specification import Loss, Specification, TrainOptions, UnitTightening
from verinet.verify import Deadline

__all__ = ["Journal", "TrainingRun"]

FEW_BINARIES = 100
"""Units at samples up to which one round of gradient runs is enough; a larger programme takes longer than many."""

PRICED = (Loss.HINGE, Loss.L1)
"""Losses whose any-width optimum bounds that of so many units."""

FEW_PRICED, MOST_PRICED = 6, 10
"""Features up to which units are priced in a moment, and up to which pricing them closes more of a large programme's
gap than solvers do in that time."""


@dataclass(eq=False)
class Journal:
    """Objective and bound as they close.

    Parameters
    ----------
    started : float
        On the clock of `time.monotonic`.
    on_progress : callable
    objective, bound : float
        The best ones so far.
    history : list of Progress
    """

    started: float
    on_progress: Callable[[Progress], None]
    objective: float = np.inf
    bound: float = -np.inf
    history: list[Progress] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    def note(self, objective: float | None = None, bound: float = -np.inf) -> None:
        """Take a network's objective and a bound, and report where that leaves both."""
        self.objective = min(self.objective, np.inf if objective is None else objective)
        self.bound = max(self.bound, min(bound, self.objective))
        known = self.objective if np.isfinite(self.objective) else None
        self.history.append(Progress(self.seconds, known, self.bound))
        self.on_progress(self.history[-1])

    def hear(self, state: Progress) -> None:
        """Take a solver's report."""
        self.note(state.objective, state.bound)


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What is trained on what, how, and since when.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    options : TrainOptions
    tightening : UnitTightening
    journal : Journal
    """

    data: TrainingData
    specification: Specification
    options: TrainOptions
    tightening: UnitTightening
    journal: Journal

    @classmethod
    def begin(
        cls, data: TrainingData, specification: Specification, options: TrainOptions, tightening: UnitTightening
    ) -> "TrainingRun":
        """Start the clock."""
        return cls(data, specification, options, tightening, Journal(time.monotonic(), options.on_progress))

    @property
    def deadline(self) -> Deadline:
        """When the time limit ends."""
        return self.until(1.0)

    def until(self, share: float) -> Deadline:
        """Return when a share of the time limit ends."""
        return Deadline(self.journal.started + share * self.options.time_limit)

    @property
    def relus(self) -> int:
        """ReLUs of the programme over all samples: its binaries, but for those of counting."""
        return len(self.specification.signs) * len(distinct_rows(self.data.scaled_x)[0])

    @property
    def is_large(self) -> bool:
        """Whether a solver takes longer than many gradient runs."""
        return len(self.data.y) * len(self.specification.signs) > FEW_BINARIES

    @property
    def is_priced(self) -> bool:
        """Whether networks of any width bound the objective, and training them pays."""
        objective = self.specification.objective
        most = MOST_PRICED if self.is_large else FEW_PRICED
        return objective.l1 > 0 and objective.loss in PRICED and len(self.data.names) <= most

    @property
    def is_priced_at_once(self) -> bool:
        """Whether units have so few features that networks of any width are trained in a moment."""
        return len(self.data.names) <= FEW_PRICED
