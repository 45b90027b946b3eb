"""Descent from one linear piece of a network to the next: on each, a linear programme finds the best point.

All in floats; whatever is found is offered to the incumbent, which confirms it exactly.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.encode import Encoded, Places, add_atoms, encode_domain
from verinet.errors import SolverError
from verinet.model import Side, evaluate_exact
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Expressions, Programme, ProgrammeBuilder, SolveOptions
from verinet.solve import HighsBackend
from verinet.verify.epigraph import add_objective
from verinet.verify.objectives import Case, shifted
from verinet.verify.piece import Piece, piece_around
from verinet.verify.prepared import MARGINS
from verinet.verify.search import Search

__all__ = ["descend", "offer"]

MOST_PIECES = 30
"""Pieces that one descent passes through."""

BEYOND = 1e-6
"""How far behind the optimum of a piece the next one is looked for, as a share of the last step."""

SMALLEST_SHARE = 1e-8
"""A coefficient below this share of its row's largest is left out: solvers refuse such rows."""


def offer(search: Search, x: FloatArray) -> bool:
    """Offer a float point as it stands, and pushed into the domain."""
    if search.incumbent.offer(x):
        return True
    return search.incumbent.offer(search.problem.space.project(np.array([x], dtype=np.float64))[0])


def descend(search: Search) -> bool:
    """Improve the best point of a search by walking over linear pieces; return whether it got better.

    Parameters
    ----------
    search : Search
    """
    point, before = search.incumbent.point, search.incumbent.value
    case = None if point is None else _case_of(search, point)
    if point is None or case is None:
        return False
    walk = _Walk(search, case, np.array([float(v) for v in point]))
    for _ in range(MOST_PIECES):
        if search.beaten or search.deadline.passed or not walk.step():
            break
    return search.incumbent.value != before


def _case_of(search: Search, point: tuple[Fraction, ...]) -> Case | None:
    """Return the case that gives a point its value."""
    outputs = evaluate_exact(search.problem.network, point)
    values = [(v, i) for i, item in enumerate(search.open_cases) if (v := item.case.value(point, outputs)) is not None]
    return search.open_cases[min(values)[1]].case if values else None


@dataclass(eq=False)
class _Walk:
    """Where a descent stands: a point, and the direction it came from."""

    search: Search
    case: Case
    x: FloatArray
    looked_at: FloatArray | None = None

    def step(self) -> bool:
        """Go to the optimum of the piece around the point; return whether it is worth going on behind it."""
        start = self.x if self.looked_at is None else self.looked_at
        piece = piece_around(self.search.problem.network, start)
        for margin in MARGINS:
            optimum = self._optimum(piece, margin)
            if optimum is None:
                return False
            if offer(self.search, optimum):
                return self._moved(optimum)
        return False

    def _moved(self, optimum: FloatArray) -> bool:
        lower, upper = self.search.problem.space.box
        way = optimum - self.x
        self.x, self.looked_at = optimum, np.clip(optimum + BEYOND * way, lower, upper)
        return bool(way.any())

    def _optimum(self, piece: Piece, margin: Fraction) -> FloatArray | None:
        """Return the best point of a piece whose atoms hold by a margin; None if the solver finds none."""
        try:
            programme, index = self._programme(piece, margin)
            outcome = HighsBackend().solve(programme, SolveOptions(time_limit=self.search.deadline.left))
        except SolverError:
            return None
        return None if outcome.values is None else outcome.values[index]

    def _programme(self, piece: Piece, margin: Fraction) -> tuple[Programme, IntArray]:
        domain = self.search.problem.domain
        builder = ProgrammeBuilder()
        inputs = encode_domain(builder, domain)
        index = inputs.expressions.matrix.indices.astype(np.int64)
        fixed = list(domain.integral)
        if fixed:
            builder.rows(inputs.expressions[fixed], self.x[fixed], self.x[fixed])
        needed = _can_fail(piece, inputs)
        builder.rows(Expressions.rows(_cleaned(piece.rows[needed]), index, piece.constants[needed]), lower=0.0)
        outputs = Expressions.rows(_cleaned(piece.gradient), index, piece.offset)
        low, high = builder.enclosure(outputs)
        places = Places(
            {Side.INPUT: inputs.expressions, Side.OUTPUT: outputs},
            {Side.INPUT: inputs.lower, Side.OUTPUT: low},
            {Side.INPUT: inputs.upper, Side.OUTPUT: high},
        )
        add_atoms(builder, (shifted(atom, margin) for atom in self.case.conjunction), places)
        builder.objective = add_objective(builder, self.case.objective, places)
        return builder.build(), index


def _can_fail(piece: Piece, inputs: Encoded) -> BoolArray:
    """Return which conditions of a piece do not hold on the whole box anyway."""
    positive, negative = np.maximum(piece.rows, 0.0), np.minimum(piece.rows, 0.0)
    return np.asarray(positive @ inputs.lower + negative @ inputs.upper + piece.constants < 0.0)


def _cleaned(rows: FloatArray) -> FloatArray:
    """Leave out coefficients that are nothing beside their row's largest."""
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    return np.where(np.abs(rows) < SMALLEST_SHARE * np.maximum(largest, 1.0), 0.0, rows)
