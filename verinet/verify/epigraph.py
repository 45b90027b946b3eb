"""Objectives in a programme: each maximum and each price of a change becomes a variable above it, without binaries.

Only whether a feature changes needs a binary variable. Bounds of the input box serve as big-M, in rational arithmetic.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from verinet.encode import Places, add_atoms, linear_row
from verinet.model import Atom, LinearExpression, Side, Symbol
from verinet.numeric import IntArray, float_down, float_up
from verinet.program import Expressions, ProgrammeBuilder
from verinet.verify.objectives import Change, Objective

__all__ = ["add_objective"]


def add_objective(builder: ProgrammeBuilder, objective: Objective, places: Places) -> Expressions:
    """Add what an objective needs to a programme and return the expression to minimise.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Holds the domain and the network.
    objective : Objective
    places : Places

    Returns
    -------
    Expressions
        Its least value over the programme is at most the objective's; equal to it but for rounding.
    """
    if objective.expression is not None:
        return linear_row(objective.expression, places, *builder.all_bounds())
    inputs = places.expressions[Side.INPUT]
    ranges = [_range_of_part(part, places) for part in objective.parts]
    tops = builder.variables("largest", [low for low, _ in ranges], [high for _, high in ranges])
    switches = builder.binaries("changed", len(objective.changes))
    own = np.concatenate([tops, switches]).astype(np.int64)
    extended = _extended(places, builder, own)
    start = inputs.size
    box = [tuple(map(Fraction, ends)) for ends in zip(places.lower[Side.INPUT], places.upper[Side.INPUT], strict=True)]
    rows = [e - _symbol(start + j) for j, part in enumerate(objective.parts) for e in part]
    for k, change in enumerate(objective.changes, start=start + len(tops)):
        rows += _switched(change, k, box)
    add_atoms(builder, map(Atom, rows), extended)
    prices = [float_down(change.price) for change in objective.changes]
    weights = np.array([[*np.ones(len(tops)), *prices]])
    return Expressions.variables(own).linear(weights) if len(own) else Expressions.constants([0.0])


def _symbol(index: int) -> LinearExpression:
    return LinearExpression(((Symbol(Side.INPUT, index), Fraction(1)),))


def _range_of_part(part: Sequence[LinearExpression], places: Places) -> tuple[float, float]:
    ranges = [_range(e, places) for e in part]
    return max(low for low, _ in ranges), max(high for _, high in ranges)


def _range(expression: LinearExpression, places: Places) -> tuple[float, float]:
    """Enclose an expression over the bounds of its symbols, exactly and then rounded outward."""
    low = high = expression.constant
    for symbol, c in expression.terms:
        ends = places.lower[symbol.side][symbol.index], places.upper[symbol.side][symbol.index]
        if not all(map(math.isfinite, ends)):
            return -math.inf, math.inf
        products = [c * Fraction(float(end)) for end in ends]
        low, high = low + min(products), high + max(products)
    return float_down(low), float_up(high)


def _extended(places: Places, builder: ProgrammeBuilder, own: IntArray) -> Places:
    """Let some variables follow the inputs, so that atoms can speak of them."""
    lower, upper = builder.bounds(own)
    return Places(
        {
            **places.expressions,
            Side.INPUT: Expressions.stack([places.expressions[Side.INPUT], Expressions.variables(own)]),
        },
        {**places.lower, Side.INPUT: np.concatenate([places.lower[Side.INPUT], lower])},
        {**places.upper, Side.INPUT: np.concatenate([places.upper[Side.INPUT], upper])},
    )


def _switched(change: Change, switch: int, box: Sequence[tuple[Fraction, ...]]) -> Iterator[LinearExpression]:
    """Yield expressions that are at most zero: an input leaves its reference only where the switch is 1."""
    for i, centre in zip(change.coordinates, change.centre, strict=True):
        low, high = box[i]
        yield _symbol(i) - _symbol(switch) * (high - centre) + LinearExpression((), -centre)
        yield _symbol(switch) * (low - centre) - _symbol(i) + LinearExpression((), centre)
