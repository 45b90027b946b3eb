"""What is computed from runs: right or wrong, sums, medians, scores and ratios."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import Protocol

__all__ = ["SOLVED", "Judgement", "Summary", "geometric_mean", "judge", "par2", "speedup", "summarise"]

CLOCK = 1e-3
"""Seconds below which a difference is noise; shorter times count as this long in ratios."""


class Judgement(Enum):
    """How a verdict stands against what is known."""

    RIGHT = "right"
    WRONG = "WRONG"
    UNCHECKED = "unchecked"
    OPEN = "open"


SOLVED = (Judgement.RIGHT, Judgement.UNCHECKED)
"""Decided, and not known to be wrong."""


def judge(verdict: str, expected: str | None) -> Judgement:
    """Compare a verdict with the expected one; anything but ``sat`` and ``unsat`` decides nothing."""
    if verdict not in ("sat", "unsat"):
        return Judgement.OPEN
    if expected is None:
        return Judgement.UNCHECKED
    return Judgement.RIGHT if verdict == expected else Judgement.WRONG


def geometric_mean(values: Sequence[float]) -> float | None:
    """Return the geometric mean of positive numbers; none of none."""
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else None


def speedup(before: float, after: float) -> float:
    """Return how many times faster the second time is."""
    return max(before, CLOCK) / max(after, CLOCK)


def par2(times: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the mean of times, an unsolved instance (None) counting as twice its limit.

    Parameters
    ----------
    times : iterable of (float or None, float)
        Seconds until the verdict, and the limit.
    """
    scores = [2 * limit if time is None else time for time, limit in times]
    return math.fsum(scores) / len(scores) if scores else None


class _Run(Protocol):
    """What a summary needs of a run."""

    @property
    def judgement(self) -> Judgement: ...
    @property
    def verdict(self) -> str: ...
    @property
    def solve(self) -> float | None: ...
    @property
    def wall(self) -> float: ...
    @property
    def limit(self) -> float: ...
    @property
    def known(self) -> bool: ...


@dataclass(frozen=True)
class Summary:
    """Figures over runs; those of time are over the runs that decided and are not known to be wrong, in seconds.

    Parameters
    ----------
    runs, known : int
        All runs, and those whose verdict is known.
    right, wrong, unchecked : int
    undecided : dict of str to int
        How often each other verdict came.
    solve_sum, wall_sum : float
    solve_median, wall_median : float or None
    par2 : float or None
        Mean wall seconds, all others counting as twice their limit.
    overrun : float
        The most that any run's wall seconds exceeded its limit; negative if none did.
    """

    runs: int
    known: int
    right: int
    wrong: int
    unchecked: int
    undecided: dict[str, int]
    solve_sum: float
    solve_median: float | None
    wall_sum: float
    wall_median: float | None
    par2: float | None
    overrun: float


def summarise(runs: Sequence[_Run]) -> Summary:
    """Compute the figures of at least one run."""
    decided = [run for run in runs if run.judgement in SOLVED]
    solve, wall = [run.solve or 0.0 for run in decided], [run.wall for run in decided]
    others: dict[str, int] = {}
    for run in runs:
        if run.judgement is Judgement.OPEN:
            others[run.verdict] = others.get(run.verdict, 0) + 1
    counts = {judgement: sum(run.judgement is judgement for run in runs) for judgement in Judgement}
    return Summary(
        runs=len(runs),
        known=sum(run.known for run in runs),
        right=counts[Judgement.RIGHT],
        wrong=counts[Judgement.WRONG],
        unchecked=counts[Judgement.UNCHECKED],
        undecided=others,
        solve_sum=math.fsum(solve),
        solve_median=median(solve) if solve else None,
        wall_sum=math.fsum(wall),
        wall_median=median(wall) if wall else None,
        par2=par2((run.wall if run.judgement in SOLVED else None, run.limit) for run in runs),
        overrun=max(run.wall - run.limit for run in runs),
    )
