"""Cuts at the root: the relaxation of a programme is solved again and again, each time with the rows that it broke."""

from dataclasses import replace

import numpy as np

from verinet.encode import Lowered, ReluCuts
from verinet.numeric import FloatArray
from verinet.program import Expressions, Programme, ProgrammeBuilder, Rows, SolveOptions, Status
from verinet.solve import choose
from verinet.verify import Deadline

__all__ = ["with_root_cuts"]

MOST_ROUNDS = 20
"""Of solving and cutting."""

VIOLATION = 1e-6
"""By how much a point breaks a cut that is worth a row: more than a solver's tolerance."""

STALLED = 1e-5
"""Relative: a smaller rise of the bound ends the rounds."""


def with_root_cuts(lowered: Lowered, solver: str, deadline: Deadline) -> Lowered:
    """Add ideal cuts of ReLUs that points of the relaxation break; those that are slack at the last one are left out.

    Parameters
    ----------
    lowered : Lowered
    solver : str
        For the relaxations.
    deadline : Deadline
        For all of them.

    Returns
    -------
    Lowered
        With the same feasible points; products of continuous expressions have no relaxation that is linear, and get no
        cuts.
    """
    if not lowered.programme.is_linear:
        return lowered
    cuts, programme, best = ReluCuts.of(lowered), lowered.programme, -np.inf
    found: list[Rows] = []
    point = None
    for _ in range(MOST_ROUNDS):
        relaxed = replace(programme, integer=np.zeros(programme.size, dtype=np.bool_))
        options = SolveOptions(time_limit=max(deadline.left, 0.1))
        outcome = choose(relaxed, solver).backend.solve(relaxed, options)
        if outcome.status is not Status.OPTIMAL or outcome.values is None:
            break
        point = outcome.values
        broken = cuts.separate(point, VIOLATION)
        stalled = outcome.bound <= best + STALLED * max(1.0, abs(outcome.bound))
        if not broken.expressions.size or stalled or deadline.passed:
            break
        best = outcome.bound
        found.append(broken)
        programme = _extended(programme, broken)
    return lowered if point is None else replace(lowered, programme=_with_tight(lowered.programme, found, point))


def _extended(programme: Programme, rows: Rows) -> Programme:
    builder = ProgrammeBuilder.extending(programme)
    builder.rows(rows.expressions, rows.lower, rows.upper)
    return builder.build()


def _with_tight(programme: Programme, found: list[Rows], point: FloatArray) -> Programme:
    """Add those rows that a point meets with equality, but for a solver's tolerance."""
    if not found:
        return programme
    expressions = Expressions.stack([rows.expressions for rows in found])
    upper = np.concatenate([rows.upper for rows in found])
    tight = np.flatnonzero(expressions.value(point) >= upper - VIOLATION)
    return _extended(programme, Rows(expressions[tight], np.full(len(tight), -np.inf), upper[tight]))
