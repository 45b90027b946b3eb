"""Block by block: the best unit with all others fixed, one after another, where one programme is too large.

The linear part, the constant and one unit are free in each block, so a block is a programme with the binaries of a
single unit, and the objective never rises. Where every block is proven optimal and none improves, the network is
optimal in each block; that says nothing about units that change together.
"""

import time
from dataclasses import dataclass, replace

from verinet.encode import lower_programme
from verinet.program import SolveOptions, Status
from verinet.solve import choose
from verinet.train.programme import Parameters, TrainingProgramme

__all__ = ["BlockDescent", "descend_by_blocks"]

BLOCK_SECONDS = 10.0
"""Time for one block; later blocks may profit more than the proof of this one."""

BLOCK_GAP = 1e-4
"""At which a block counts as optimal."""

IMPROVEMENT = 1e-7
"""Relative: what counts as a better network."""


@dataclass(frozen=True, eq=False)
class BlockDescent:
    """Where a descent ended.

    Parameters
    ----------
    objective : float
        As the solver claims.
    parameters : Parameters
    settled : bool
        Whether no block, each with all else fixed, has a better optimum: claimed by the solver, to `BLOCK_GAP`.
    """

    objective: float
    parameters: Parameters
    settled: bool


def descend_by_blocks(
    training: TrainingProgramme,
    objective: float,
    parameters: Parameters,
    options: SolveOptions,
    solver: str,
    deadline: float,
) -> BlockDescent:
    """Optimise unit by unit until no unit improves, or the time is over.

    Parameters
    ----------
    training : TrainingProgramme
    objective : float
        Of `parameters`; which is never exceeded.
    parameters : Parameters
    options : SolveOptions
        Of each block; start, gap and time limit are set here.
    solver : str
    deadline : float
        On the clock of `time.monotonic`.
    """
    units = len(parameters.biases)
    since, unit, proven = 0, 0, True
    while since < units:
        left = min(BLOCK_SECONDS, deadline - time.monotonic())
        if left <= 0:
            return BlockDescent(objective, parameters, False)
        lowered = lower_programme(training.with_units_fixed(parameters, [k for k in range(units) if k != unit]))
        start = lowered.extend(training.point(parameters))
        limited = replace(options, start=start, gap_tolerance=BLOCK_GAP, time_limit=left)
        outcome = choose(lowered.programme, solver).backend.solve(lowered.programme, limited)
        since, proven = since + 1, proven and outcome.status is Status.OPTIMAL
        least = objective if outcome.objective is None else outcome.objective
        if outcome.values is not None and least < objective - IMPROVEMENT * abs(objective):
            since, proven = 1, outcome.status is Status.OPTIMAL
            objective, parameters = least, training.parameters(lowered.restrict(outcome.values))
        unit = (unit + 1) % units
    return BlockDescent(objective, parameters, proven)
