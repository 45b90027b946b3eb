"""Ideal cuts of ReLUs at the root of a programme: relax, separate, and solve again."""

from dataclasses import replace

import numpy as np

from verinet.encode import Lowered, ReluCuts
from verinet.errors import SolverError
from verinet.numeric import FloatArray
from verinet.program import Expressions, ProgrammeBuilder, Rows
from verinet.solve import GrowingProgramme
from verinet.solve.linear_form import linear_form
from verinet.verify import Deadline

__all__ = ["ROOT_SHARE", "with_root_cuts"]

ROOT_SHARE = 0.1
"""Part of a programme's time for its root."""

VIOLATION = 1e-4
"""By how much a result must exceed a cut's side for the cut to be added."""

STALL, PATIENCE = 1e-4, 5
"""Rounds that end the loop, where each moves the bound by less than so much of its magnitude."""


def with_root_cuts(lowered: Lowered, seconds: float) -> Lowered:
    """Add the ideal cuts that the optimum of the linear relaxation breaks, round after round.

    Integrality and constraints that are not linear are left out of the relaxation. Cuts that are slack at its last
    optimum are dropped.

    Parameters
    ----------
    lowered : Lowered
    seconds : float
        Of wall time; a relaxation that it cuts short ends the rounds.

    Notes
    -----
    Soundness: every feasible point stays, whatever HiGHS claims of the relaxation (see `ReluCuts`).
    """
    cuts, deadline = ReluCuts.of(lowered), Deadline.after(seconds)
    form, programme = linear_form(lowered.programme), lowered.programme
    relaxation = GrowingProgramme()
    relaxation.add_columns(form.cost, programme.lower, programme.upper, np.zeros((0, programme.size)))
    relaxation.add_rows(form.lower, form.upper, form.matrix)
    found: list[Rows] = []
    point = _optimum(relaxation, deadline)
    stalled = 0
    while point is not None and stalled < PATIENCE:
        broken = cuts.separate(point, VIOLATION)
        if not broken.expressions.size:
            break
        found.append(broken)
        relaxation.add_rows(broken.lower, broken.upper, broken.expressions.widened(programme.size).matrix)
        after = _optimum(relaxation, deadline)
        if after is None:
            break
        before, bound = form.cost @ point, form.cost @ after
        stalled = stalled + 1 if bound - before <= STALL * abs(bound) else 0
        point = after
    return lowered if point is None else _with_tight(lowered, found, point)


def _optimum(relaxation: GrowingProgramme, deadline: Deadline) -> FloatArray | None:
    """Return the optimum that HiGHS claims, None where it claims none."""
    if deadline.passed:
        return None
    try:
        solution = relaxation.solve(deadline.left)
    except SolverError:
        return None
    return None if solution is None else solution[0]


def _with_tight(lowered: Lowered, found: list[Rows], point: FloatArray) -> Lowered:
    """Add the rows that are not slack at a point."""
    builder = ProgrammeBuilder.extending(lowered.programme)
    for rows in found:
        expressions: Expressions = rows.expressions
        tight = expressions.widened(lowered.programme.size).value(point) >= rows.upper - VIOLATION
        builder.rows(expressions[tight], rows.lower[tight], rows.upper[tight])
    return replace(lowered, programme=builder.build())
