"""Output weights under which given units make a monotone network: the upper bound beside the loop's lower one.

On each linear piece the slope is linear in the output weights. Pieces that fall become rows of a small linear
programme over the units of one network, until the verifier finds none that falls, were it ever so thin.
"""

from dataclasses import replace

import numpy as np

from verinet.errors import SolverError
from verinet.model import Domain, Monotone
from verinet.numeric import FloatArray
from verinet.train.any_width.generation import Problem
from verinet.train.any_width.master import Columns, Master, PointRows
from verinet.train.any_width.pricing import Unit
from verinet.train.any_width.unit_sum import assemble
from verinet.train.data import TrainingData
from verinet.train.export import RawParameters, build_network, to_raw
from verinet.verify import Deadline, FallingPiece, falling_pieces

__all__ = ["mend"]

MOST_STEPS = 60
"""Programmes that are solved before the units are given up."""

SHIFT = 3e-4
"""By how much kinks may move: those of several units meet at samples, where no rounding keeps them in order."""


def mend(
    data: TrainingData,
    problem: Problem,
    units: list[Unit],
    demands: list[tuple[Monotone, Domain]],
    margin: float,
    deadline: Deadline,
) -> RawParameters | None:
    """Return the best network of some units whose pieces all have the right slopes; None if that was not found.

    Parameters
    ----------
    data : TrainingData
    problem : Problem
        Its conditions hold as well.
    units : list of Unit
        Each once.
    demands : list of (Monotone, Domain)
    margin : float
        Slopes are at least this, in scaled units.
    deadline : Deadline
    """
    units = [moved for unit in units if unit.weights[:-1].any() for moved in _shifted(unit)]
    base = problem.base()
    columns = base.joined(problem.unit_columns(units)) if units else base
    slopes: list[FloatArray] = []
    for _ in range(MOST_STEPS):
        if deadline.passed:
            return None
        try:
            values = _master(problem, columns, slopes, margin).solve(np.inf).values
        except SolverError:
            return None
        chosen = assemble(problem, units, values)
        raw = to_raw(chosen.parameters(), [unit.sign for unit in chosen.units], {}, data.scaling)
        used = {id(unit): place for place, unit in enumerate(chosen.units)}
        network, fine, known = build_network(raw), True, len(slopes)
        for prop, domain in demands:
            report = falling_pieces(network, domain, prop, deadline)
            if report is None:
                return None
            fine &= report.proves
            slopes += [_slope(data, problem, units, used, piece, prop.increasing) for piece in report.pieces]
        if fine:
            return raw
        if len(slopes) == known:
            return None
    return None


def _shifted(unit: Unit) -> list[Unit]:
    """Return a unit, and those whose kinks lie a little to either side of its own."""
    found = [unit]
    for shift in (SHIFT, -SHIFT):
        weights = unit.weights.copy()
        weights[-1] += shift
        found.append(Unit(unit.sign, unit.cell, weights / np.abs(weights).sum(), unit.worth))
    return found


def _slope(
    data: TrainingData,
    problem: Problem,
    units: list[Unit],
    used: dict[int, int],
    piece: FallingPiece,
    increasing: bool,
) -> FloatArray:
    """Return what each variable adds to the slope on a piece, in the demanded direction."""
    scaled = np.append(data.scaling.features(piece.point), 1.0)
    parts = [0.0] + [float(sign) * (feature == piece.feature) for feature, sign in problem.skip_parts()]
    for unit in units:
        place = used.get(id(unit))
        active = bool(unit.weights @ scaled > 0) if place is None else bool(piece.active[place])
        parts.append(unit.sign * float(unit.weights[piece.feature]) * active)
    return np.array(parts) if increasing else -np.array(parts)


def _master(problem: Problem, columns: Columns, slopes: list[FloatArray], margin: float) -> Master:
    """Append the slopes to the design as if they were outputs at further points, each with a condition."""
    rows, count = problem.rows, len(slopes)
    design = np.vstack([columns.design, *slopes])
    given = 0 if rows is None else len(rows.low)
    weights = np.zeros((given + count, len(design)))
    weights[np.arange(given, given + count), np.arange(len(columns.design), len(design))] = 1.0
    low, high = np.full(given + count, margin), np.full(given + count, np.inf)
    if rows is not None:
        weights[:given, : rows.weights.shape[1]] = rows.weights
        low[:given], high[:given] = rows.sides
    rows = PointRows(weights, low, high) if given + count else None
    return replace(problem, rows=rows).master(Columns(design, columns.costs, columns.free), 0)
