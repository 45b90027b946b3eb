"""Small programmes with known answers, and one that is hard, for every backend."""

import itertools
from collections.abc import Sequence

import numpy as np

from verinet.program import Expressions, Programme, ProgrammeBuilder, VariableKind

INFINITY = np.inf


def linear(
    costs: Sequence[float],
    rows: Sequence[Sequence[float]] = (),
    lower: Sequence[float] | float = -INFINITY,
    upper: Sequence[float] | float = INFINITY,
    box: tuple[float, float] | Sequence[tuple[float, float]] = (0.0, 10.0),
    integer: Sequence[bool] | bool = False,
    offset: float = 0.0,
) -> Programme:
    """Build a linear programme from dense numbers."""
    size = len(costs)
    boxes = [box] * size if isinstance(box[0], (int, float)) else list(box)
    kinds = [integer] * size if isinstance(integer, bool) else list(integer)
    builder = ProgrammeBuilder()
    for j, ((low, high), whole) in enumerate(zip(boxes, kinds, strict=True)):
        kind = VariableKind.INTEGER if whole else VariableKind.CONTINUOUS
        builder.variables(f"x{j}", [low], [high], kind)
    if len(rows):
        matrix = np.asarray(rows, dtype=float)
        expressions = Expressions.rows(matrix, np.arange(size), np.zeros(len(matrix)))
        builder.rows(expressions, np.asarray(lower, dtype=float), np.asarray(upper, dtype=float))
    builder.objective = Expressions.rows(np.array([costs], dtype=float), np.arange(size), np.array([offset]))
    return builder.build()


def market_split(size: int = 50, rows: int = 12, seed: int = 1) -> tuple[Programme, float]:
    """Build equations that no solver settles in a second, and the objective of a point that solves them."""
    rng = np.random.default_rng(seed)
    matrix, costs = rng.integers(1, 1000, (rows, size)), rng.integers(1, 1000, size)
    point = rng.integers(0, 2, size)
    side = (matrix @ point).astype(float)
    return linear(-costs, matrix, side, side, box=(0, 1), integer=True), -float(costs @ point)


def knapsacks(size: int = 30, rows: int = 5, seed: int = 0) -> Programme:
    """Build a multi-dimensional knapsack problem that takes a MILP solver some nodes."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(1, 50, (rows, size))
    return linear(-rng.integers(1, 50, size), matrix, upper=matrix.sum(axis=1) / 2, box=(0, 1), integer=True)


def brute_force(programme: Programme) -> float:
    """Return the least objective over all integer points of the box, ``inf`` if none is feasible."""
    ranges = [range(int(low), int(high) + 1) for low, high in zip(programme.lower, programme.upper, strict=True)]
    points = np.array(list(itertools.product(*ranges)), dtype=float)
    rows = points @ programme.matrix.toarray().T + programme.rows.expressions.constant
    feasible = ((rows >= programme.rows.lower) & (rows <= programme.rows.upper)).all(axis=1)
    objective = programme.objective.widened(programme.size)
    values = points[feasible] @ objective.matrix.toarray()[0] + objective.constant[0]
    return float(values.min(initial=INFINITY))
