"""Screening a programme before a solver sees it: is it well formed, and can floating point be trusted with it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from verinet.errors import InputError, RejectedRowError, UnsupportedModelError
from verinet.numeric import FloatArray, IntArray
from verinet.program import Bilinear, Expressions, Indicator, Maximum, Product, Programme, Semantic, SolveOptions
from verinet.solve.linear_form import canonical

__all__ = ["check_kept", "check_numerics", "check_options", "check_structure"]

LARGEST_RATIO = 1e9
"""Between the coefficients of one row. From about 1e13 on HiGHS calls feasible models infeasible."""

LARGEST_COEFFICIENT = 1e9
"""Also for the sides of rows: beyond it float64 cannot tell a row from one that is off by the tolerance."""

SMALLEST_COEFFICIENT = 1e-9
"""Beneath it a coefficient is worth less than the tolerance of its row, and solvers drop it by default."""

LARGEST_BOUND = 1e15
"""Of a variable; solvers read 1e20 as infinite, which is another model."""

LARGEST_INTEGER_BOUND = 1e9
"""Gurobi keeps integer values within about 2e9."""

EXACT_REMEDY = "rescale the model or use the exact engine (solver z3)"


def check_structure(programme: Programme) -> None:
    """Refuse a programme whose numbers or indices make no sense, whoever built it.

    Raises
    ------
    InputError
        If a number is NaN, a coefficient is infinite, a side excludes every value, or a variable does not exist.
    """
    if programme.objective.size != 1:
        raise InputError(f"the objective needs to be one expression, found {programme.objective.size}")
    for name, expressions in _named_expressions(programme):
        _check_expressions(name, expressions, programme.size)
    _check_sides("variable", programme.lower, programme.upper)
    _check_sides("row", programme.rows.lower, programme.rows.upper)
    for number, exact in enumerate(programme.exact):
        if any(not 0 <= variable < programme.size for variable, _ in exact.terms):
            raise InputError(f"exact row {number} refers to a variable that does not exist")
    for number, constraint in enumerate(programme.semantic):
        _check_indices(f"{type(constraint).__name__} constraint {number}", constraint, programme)


def check_options(programme: Programme, options: SolveOptions) -> None:
    """Refuse options that no backend can follow.

    Raises
    ------
    InputError
    """
    for name in ("time_limit", "threads", "gap_tolerance", "feasibility_tolerance"):
        value = getattr(options, name)
        if not value >= 0:
            raise InputError(f"the solve option {name} needs to be at least 0, found {name}={value}")
    if np.isnan(options.cutoff) or np.isnan(options.stop_at):
        raise InputError("the solve options cutoff and stop_at need numbers, found NaN")
    if options.start is not None and np.shape(options.start) != (programme.size,):
        raise InputError(
            f"a start needs one value for each of the {programme.size} variables (NaN where unknown), found shape "
            f"{np.shape(options.start)}"
        )


def check_kept(programme: Programme, solver: str, dropped_up_to: float, refused_from: float) -> None:
    """Refuse a programme of which a solver would drop or refuse a coefficient: it would solve another model.

    Parameters
    ----------
    programme : Programme
    solver : str
    dropped_up_to, refused_from : float
        The solver reads a coefficient as zero up to the first magnitude and refuses it from the second on.

    Raises
    ------
    RejectedRowError
    """
    for name, expressions in _linear_expressions(programme):
        matrix = canonical(expressions.matrix)
        magnitude = abs(matrix.data)
        for wrong, what in ((magnitude <= dropped_up_to, "drops"), (magnitude >= refused_from, "refuses")):
            if wrong.any():
                entry = int(np.flatnonzero(wrong)[0])
                row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
                raise RejectedRowError(
                    f"{solver} {what} the coefficient {matrix.data[entry]:g} of {name} {row}, which changes the model; "
                    f"{EXACT_REMEDY}"
                )


def check_numerics(programme: Programme) -> None:
    """Refuse a programme whose numbers floating-point solvers are known to get wrong.

    Raises
    ------
    UnsupportedModelError
        If the coefficients of a row, or of the objective, range over more than `LARGEST_RATIO` or leave the window
        from `SMALLEST_COEFFICIENT` to `LARGEST_COEFFICIENT`, or a side or a bound is too large.

    Notes
    -----
    Soundness: a screen, not a proof. What passes still carries the solver's tolerances.
    """
    for name, expressions in (*_linear_expressions(programme), ("objective", programme.objective)):
        _check_range(name, canonical(expressions.matrix))
    rows = programme.rows
    for side in (rows.lower - rows.expressions.constant, rows.upper - rows.expressions.constant):
        _check_size("the side of row", side, np.full(len(side), LARGEST_COEFFICIENT))
    largest = np.where(programme.integer, LARGEST_INTEGER_BOUND, LARGEST_BOUND)
    for bound in (programme.lower, programme.upper):
        _check_size("the bound of variable", bound, largest)


def _check_range(name: str, matrix: Any) -> None:
    magnitude = abs(matrix.data)
    filled = np.flatnonzero(np.diff(matrix.indptr))
    if not len(filled):
        return
    starts = matrix.indptr[filled]
    smallest, largest = np.minimum.reduceat(magnitude, starts), np.maximum.reduceat(magnitude, starts)
    with np.errstate(over="ignore"):
        ratio = largest / smallest
    wide = ratio > LARGEST_RATIO
    if wide.any():
        k = int(np.flatnonzero(wide)[0])
        raise UnsupportedModelError(
            f"the coefficients of {name} {filled[k]} range from {smallest[k]:g} to {largest[k]:g} "
            f"(ratio {ratio[k]:g}), more than {LARGEST_RATIO:g}, where floating-point solvers give wrong answers; "
            f"{EXACT_REMEDY}"
        )
    outside = (smallest < SMALLEST_COEFFICIENT) | (largest > LARGEST_COEFFICIENT)
    if outside.any():
        k = int(np.flatnonzero(outside)[0])
        raise UnsupportedModelError(
            f"the coefficients of {name} {filled[k]} need magnitudes from {SMALLEST_COEFFICIENT:g} to "
            f"{LARGEST_COEFFICIENT:g} for a floating-point solver, found {smallest[k]:g} to {largest[k]:g}; "
            f"{EXACT_REMEDY}"
        )


def _check_size(name: str, values: FloatArray, largest: FloatArray) -> None:
    wrong = np.isfinite(values) & (abs(values) > largest)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise UnsupportedModelError(
            f"{name} {k} needs a magnitude of at most {largest[k]:g} for a floating-point solver, found "
            f"{values[k]:g}; {EXACT_REMEDY}"
        )


def _check_expressions(name: str, expressions: Expressions, size: int) -> None:
    data = expressions.matrix.data
    if not np.isfinite(data).all() or not np.isfinite(expressions.constant).all():
        raise InputError(f"the {name} needs finite coefficients and constants, found NaN or infinity")
    highest = int(expressions.matrix.indices.max(initial=-1))
    if highest >= size or expressions.columns > size:
        raise InputError(f"the {name} refers to variable {highest}, the programme has {size} variables")


def _check_sides(name: str, lower: FloatArray, upper: FloatArray) -> None:
    wrong = np.isnan(lower) | np.isnan(upper) | (lower == np.inf) | (upper == -np.inf)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{name} {k} needs a value between its sides, found lower={lower[k]} upper={upper[k]}")


def _check_indices(name: str, constraint: Semantic, programme: Programme) -> None:
    variables = _variables(constraint)
    if len(variables) and not (variables.min() >= 0 and variables.max() < programme.size):
        raise InputError(f"{name} refers to a variable that does not exist, the programme has {programme.size}")
    if isinstance(constraint, Maximum) and (np.diff(constraint.offsets) < 1).any():
        raise InputError(f"{name} has a maximum of no arguments")
    switches = constraint.conditions if isinstance(constraint, Indicator) else np.zeros(0, dtype=np.int64)
    wrong = ~programme.integer[switches] | (programme.lower[switches] < 0) | (programme.upper[switches] > 1)
    if wrong.any():
        raise InputError(f"{name} needs binary conditions, variable {switches[wrong][0]} is not binary")
    if isinstance(constraint, Product) and not programme.integer[constraint.weights].all():
        raise InputError(f"{name} needs integer weights, a weight is continuous")
    if isinstance(constraint, Bilinear):
        sizes = len(constraint.results), constraint.left.size, constraint.right.size
        if len(set(sizes)) > 1:
            raise InputError(f"{name} needs as many left and right factors as results, found sizes {sizes}")


def _variables(constraint: Semantic) -> IntArray:
    match constraint:
        case Maximum() | Bilinear():
            return np.asarray(constraint.results)
        case Product():
            return np.concatenate([constraint.results, constraint.weights])
        case Indicator():
            return np.asarray(constraint.conditions)


def _semantic_expressions(constraint: Semantic) -> Expressions:
    match constraint:
        case Maximum():
            return constraint.arguments
        case Product():
            return constraint.activations
        case Indicator():
            return constraint.expressions
        case Bilinear():
            return Expressions.stack([constraint.left, constraint.right])


def _linear_expressions(programme: Programme) -> Iterator[tuple[str, Expressions]]:
    """Yield what a solver with native indicators reads as rows."""
    yield "row", programme.rows.expressions
    for number, constraint in enumerate(programme.semantic):
        yield f"{type(constraint).__name__} constraint {number}, row", _semantic_expressions(constraint)


def _named_expressions(programme: Programme) -> Iterator[tuple[str, Expressions]]:
    yield "objective", programme.objective
    yield from _linear_expressions(programme)
