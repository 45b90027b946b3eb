"""One linear piece of a programme: every maximum replaced by its winner at a point."""

from dataclasses import replace

import numpy as np

from verinet.numeric import FloatArray
from verinet.program import Expressions, Maximum, Programme, ProgrammeBuilder

__all__ = ["fix_pattern"]


def fix_pattern(programme: Programme, point: FloatArray) -> Programme:
    """Restrict a programme to the activation pattern that holds at a point.

    Parameters
    ----------
    programme : Programme
    point : ndarray, shape (variables,)

    Returns
    -------
    Programme
        Without maxima: each result equals the argument that is largest at the point, and no other argument exceeds
        it. Other semantic constraints stay. Its feasible points are feasible points of `programme`.
    """
    others = tuple(c for c in programme.semantic if not isinstance(c, Maximum))
    builder = ProgrammeBuilder.extending(replace(programme, semantic=others))
    for constraint in programme.semantic:
        if not isinstance(constraint, Maximum):
            continue
        size = len(constraint.results)
        group = np.repeat(np.arange(size), np.diff(constraint.offsets))
        values = constraint.arguments.value(point)
        winner = np.lexsort((values, group))[constraint.offsets[1:] - 1]
        above = Expressions.variables(constraint.results)[group] - constraint.arguments
        is_winner = np.zeros(len(group), dtype=bool)
        is_winner[winner] = True
        builder.rows(above, lower=0.0, upper=np.where(is_winner, 0.0, np.inf))
    return builder.build()
