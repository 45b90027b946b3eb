"""Pricing of units with many weights as a mixed-integer programme.

Only terms of positive weight need binaries: the others are concave in the weights, and pressed against their rows by
the objective. The cut-off leaves the solver no more to do than to show that nothing better exists.
"""

import os
from dataclasses import dataclass

import numpy as np

from verinet.encode import Encoded, lower_programme, maximum, relu
from verinet.errors import SolverError
from verinet.model import Maximum
from verinet.numeric import CLAIM_TOLERANCE, BoolArray, FloatArray, IntArray
from verinet.program import Expressions, ProgrammeBuilder, SolveOptions
from verinet.solve import choose
from verinet.verify import ConeSearch, Deadline

__all__ = ["Claimed", "bound_by_programme"]


@dataclass(frozen=True, eq=False)
class Claimed:
    """A solver's answer.

    Parameters
    ----------
    bound : float
        Of the greatest value, as claimed, with the tolerance of claims on top.
    points : list of (ndarray, float)
        Points of the sphere with their values in float64.
    """

    bound: float
    points: list[tuple[FloatArray, float]]


def bound_by_programme(
    search: ConeSearch,
    weights: FloatArray,
    allowed: BoolArray,
    cutoff: float,
    solver: str,
    threads: int,
    deadline: Deadline,
) -> Claimed:
    """Bound a weighting's greatest value over the ball by a solver.

    Parameters
    ----------
    search : ConeSearch
        Whose only support is all coordinates.
    weights : ndarray, shape (terms,)
    allowed : ndarray of bool, shape (width, 2)
    cutoff : float
        Values up to this are of no interest.
    solver : str
    threads : int
    deadline : Deadline

    Returns
    -------
    Claimed
        The bound is infinite where the solver has none.
    """
    # In units of the cut-off: the solver's tolerances are absolute.
    scaled = weights / cutoff
    width = search.rows.shape[1]
    builder = ProgrammeBuilder()
    up = builder.variables("up", np.zeros(width), allowed[:, 0].astype(np.float64))
    down = builder.variables("down", np.zeros(width), allowed[:, 1].astype(np.float64))
    w = Expressions.variables(up) - Expressions.variables(down)
    builder.rows((Expressions.variables(up) + Expressions.variables(down)).total(), upper=1.0)
    costs = [_convex(builder, search, scaled, w), _concave(builder, search, scaled, w)]
    builder.objective = Expressions.stack(costs).total()
    try:
        programme = lower_programme(builder.build()).programme
        outcome = choose(programme, solver).backend.solve(
            programme,
            SolveOptions(
                time_limit=deadline.left, threads=threads or os.cpu_count() or 1, gap_tolerance=1e-9, cutoff=-1.0
            ),
        )
    except SolverError:
        return Claimed(np.inf, [])
    points = []
    if outcome.values is not None:
        point = outcome.values[up] - outcome.values[down]
        norm = float(np.abs(point).sum())
        if norm > 0:
            point = point / norm
            points.append((point, search.value(weights, point)))
    return Claimed((-outcome.bound + CLAIM_TOLERANCE) * cutoff, points)


def _pooled(builder: ProgrammeBuilder, search: ConeSearch, terms: IntArray, w: Expressions) -> tuple[Encoded, IntArray]:
    """Return the rows' products of some terms, with bounds over the ball, and where each term's rows begin."""
    starts = search.ends - search.sizes
    rows = np.concatenate([np.arange(starts[t], search.ends[t]) for t in terms])
    block = search.rows[rows]
    reach = np.nextafter(np.abs(block).max(axis=1) * (1 + 1e-12), np.inf)
    offsets = np.concatenate([[0], np.cumsum(search.sizes[terms])])
    return Encoded(w.linear(block), -reach, reach), offsets


def _convex(builder: ProgrammeBuilder, search: ConeSearch, scaled: FloatArray, w: Expressions) -> Expressions:
    """Encode terms of positive weight exactly; return their share of the cost."""
    terms = np.flatnonzero(scaled > 0)
    if not len(terms):
        return Expressions.constants([0.0])
    products, offsets = _pooled(builder, search, terms, w)
    if len(offsets) <= len(products.lower):
        groups = Maximum(np.arange(len(products.lower)), offsets, len(products.lower))
        products = maximum(builder, "pool", products, groups)
    heights = relu(builder, "unit", products)
    return heights.expressions.linear(-scaled[terms][None, :])


def _concave(builder: ProgrammeBuilder, search: ConeSearch, scaled: FloatArray, w: Expressions) -> Expressions:
    """Give terms of negative weight a variable above their rows; return their share of the cost."""
    terms = np.flatnonzero(scaled < 0)
    if not len(terms):
        return Expressions.constants([0.0])
    products, offsets = _pooled(builder, search, terms, w)
    reach = np.maximum.reduceat(products.upper, offsets[:-1])
    heights = Expressions.variables(builder.variables("above", np.zeros(len(terms)), reach))
    of = np.repeat(np.arange(len(terms)), np.diff(offsets))
    builder.rows(heights[of] - products.expressions, lower=0.0)
    return heights.linear(-scaled[terms][None, :])
