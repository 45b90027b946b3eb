"""Semantic constraints as linear rows and binaries.

Each lowering takes expressions and bounds, folds what bounds decide, and adds binaries for the rest. It also says how
to extend a point of the semantic programme to the new variables, so that a known solution can start a solver. A product
of two continuous expressions has no linear form: it stays, for solvers that branch on continuous variables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import UnsupportedModelError
from verinet.numeric import FloatArray, IntArray
from verinet.program import (
    Bilinear,
    Expressions,
    Indicator,
    Maximum,
    Product,
    Programme,
    ProgrammeBuilder,
    Rows,
)

__all__ = [
    "Completion",
    "Lowered",
    "Relus",
    "keep_bilinear",
    "lower_indicator",
    "lower_maximum",
    "lower_product",
    "lower_programme",
]

SMALLEST_BIG_M = 1e-6
"""A positive big-M below this is raised to it: valid, and solvers would take a smaller one for zero."""

SMALLEST_COEFFICIENT = 1e-9
"""Relative to its row's largest: what is smaller is moved into the row's sides, at its worst over the bounds."""

MOST_VALUES = 8
"""Weights of up to so many values get a binary for each in their products."""

Completion = Callable[[FloatArray], FloatArray]
"""Computes the new variables' values from a point of all earlier variables."""


@dataclass(frozen=True, eq=False)
class Relus:
    """Rows and binaries that say ``result = max(argument, 0)``: a binary is 1 where the result is the argument.

    Parameters
    ----------
    results, binaries : ndarray of int, shape (size,)
        Variables.
    arguments : Expressions
    """

    results: IntArray
    binaries: IntArray
    arguments: Expressions

    @classmethod
    def none(cls) -> "Relus":
        """Return those of a constraint without ReLUs."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), Expressions.constants([]))

    @classmethod
    def stack(cls, parts: Sequence["Relus"]) -> "Relus":
        """Return those of several constraints."""
        parts = [cls.none(), *parts]
        return cls(
            np.concatenate([part.results for part in parts]),
            np.concatenate([part.binaries for part in parts]),
            Expressions.stack([part.arguments for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Lowered:
    """A programme of linear rows that says the same as a semantic one.

    Parameters
    ----------
    programme : Programme
        Its first variables are those of the semantic programme.
    completions : tuple
        One for each semantic constraint, in order.
    size : int
        Number of variables of the semantic programme.
    relus : Relus
        Those that have a binary.
    """

    programme: Programme
    completions: tuple[Completion, ...]
    size: int
    relus: Relus

    def extend(self, point: FloatArray) -> FloatArray:
        """Extend a feasible point of the semantic programme to all variables."""
        for complete in self.completions:
            point = np.concatenate([point, complete(point)])
        return point

    def restrict(self, point: FloatArray) -> FloatArray:
        """Return the part of a point that belongs to the semantic programme."""
        return point[: self.size]


def _tightest(
    builder: ProgrammeBuilder, expressions: Expressions, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    low, high = builder.enclosure(expressions)
    return np.maximum(low, lower), np.minimum(high, upper)


def _big_m(value: FloatArray) -> FloatArray:
    """Return a valid big-M for a row that is violated by at most `value`: not less, zero if it never is."""
    return np.where(value > 0, np.maximum(value, SMALLEST_BIG_M), 0.0)


def lower_maximum(builder: ProgrammeBuilder, constraint: Maximum) -> tuple[Completion, Relus]:
    """Add ``y_j = max_i a_i`` by big-M rows.

    ``y >= a_i`` and ``y <= a_i + (max over k != i of U_k - L_i) (1 - z_i)`` with ``sum z = 1``. Members with
    ``U_i <= max L`` are dropped. Two members share one binary: for a ReLU this is ``y <= a - L (1 - z)``,
    ``y <= U z``.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Receives rows and binaries.
    constraint : Maximum

    Returns
    -------
    callable
        Computes the new variables' values from a point of all earlier ones.
    Relus

    References
    ----------
    Tjeng, Xiao, Tedrake, Evaluating robustness of neural networks with mixed integer programming, ICLR 2019.
    """
    arguments, offsets = constraint.arguments, constraint.offsets
    low, high = _tightest(builder, arguments, constraint.lower, constraint.upper)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UnsupportedModelError(
            "a maximum needs finite bounds of its arguments to become linear rows; bound the inputs, "
            "or use an exact solver"
        )
    size = len(constraint.results)
    group = np.repeat(np.arange(size), np.diff(offsets))
    best = np.lexsort((low, group))[offsets[1:] - 1]
    kept = high > low[best][group]
    kept[best] = True
    members = np.flatnonzero(kept)
    of = group[members]
    count = np.bincount(of, minlength=size)
    kept_arguments = arguments[members]
    results = Expressions.variables(constraint.results)[of]
    alone = count[of] == 1
    if alone.any():
        builder.rows((results - kept_arguments)[alone], 0.0, 0.0)
    if alone.all():
        return lambda point: np.zeros(0), Relus.none()
    order = np.lexsort((high[members], of))
    last = np.cumsum(count) - 1
    largest = order[last]
    second = order[np.maximum(last - 1, 0)]
    rival = np.where(np.arange(len(members)) == largest[of], second[of], largest[of])
    slack = _big_m(np.nextafter(high[members][rival] - low[members], np.inf))
    first = np.concatenate([[0], last[:-1] + 1])
    pair, many = count[of] == 2, count[of] > 2
    is_first = np.arange(len(members)) == first[of]
    pairs = np.flatnonzero(count == 2)
    pair_binary = np.zeros(size, dtype=np.int64)
    pair_binary[pairs] = builder.binaries("active", len(pairs))
    many_binary = builder.binaries("largest", int(many.sum()))
    binary = pair_binary[of]
    binary[many] = many_binary
    above = results - kept_arguments
    chosen = Expressions.variables(binary)
    # Chosen members have z = 1, except the second of a pair, which is chosen by z = 0.
    when_one, when_zero = many | (pair & is_first), pair & ~is_first
    builder.rows(above[pair | many], lower=0.0)
    builder.rows((above + chosen.scaled(slack))[when_one], upper=slack[when_one])
    builder.rows((above - chosen.scaled(slack))[when_zero], upper=0.0)
    if many.any():
        rows = np.unique(of[many], return_inverse=True)[1]
        ones = np.zeros((int(rows.max()) + 1, len(rows)))
        ones[rows, np.arange(len(rows))] = 1.0
        builder.rows(Expressions.variables(many_binary).linear(ones), 1.0, 1.0)

    def complete(point: FloatArray) -> FloatArray:
        values = kept_arguments.value(point)
        winner = np.lexsort((values, of))[last]
        won = np.zeros(len(members))
        won[winner] = 1.0
        return np.concatenate([won[first[pairs]], won[many]])

    second_of_pair = kept_arguments[last[pairs]]
    is_zero = (np.diff(second_of_pair.matrix.indptr) == 0) & (second_of_pair.constant == 0.0)
    found = pairs[is_zero]
    return complete, Relus(constraint.results[found], pair_binary[found], kept_arguments[first[found]])


def lower_product(builder: ProgrammeBuilder, constraint: Product) -> tuple[Completion, Relus]:
    """Add ``y = w a`` for an integer w by binaries that all products of one weight share.

    A weight of few values gets a binary for each value but one, and its products the convex hull: with r the value
    without a binary, ``w = r + sum_v (v - r) d_v``, ``y = r a + sum_v (v - r) p_v`` and, for ``L <= a <= U``,
    ``L d_v <= p_v <= U d_v`` and ``L (1 - sum d) <= a - sum_v p_v <= U (1 - sum d)``. A weight of many values gets its
    bits, ``w = w_min + sum_t 2^t b_t``, and each bit the hull of its own product.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Receives rows and binaries.
    constraint : Product

    Returns
    -------
    callable
        Computes the new variables' values from a point of all earlier ones.
    Relus

    References
    ----------
    Glover, Improved linear integer programming formulations of nonlinear integer problems, 1975; for several values
    the disjunctive hull (Balas 1998).
    """
    low, high = _tightest(builder, constraint.activations, constraint.lower, constraint.upper)
    distinct, of = np.unique(constraint.weights, return_inverse=True)
    smallest, largest = builder.bounds(distinct)
    if not all(np.isfinite(v).all() for v in (low, high, smallest, largest)):
        raise UnsupportedModelError("a product needs finite bounds of its weight and its activation")
    smallest, largest = np.ceil(smallest), np.floor(largest)
    few = largest - smallest < MOST_VALUES
    completions = [
        lower(builder, distinct, smallest, largest, _ProductPart(constraint, of, rows, -_big_m(-low), _big_m(high)))
        for lower, rows in ((_lower_by_values, np.flatnonzero(few[of])), (_lower_by_bits, np.flatnonzero(~few[of])))
        if len(rows)
    ]
    return lambda point: np.concatenate([np.zeros(0), *(complete(point) for complete in completions)]), Relus.none()


@dataclass(frozen=True, eq=False)
class _ProductPart:
    """Some products of a constraint: those of `rows`; `of` says which distinct weight each has."""

    constraint: Product
    of: IntArray
    rows: IntArray
    low: FloatArray
    high: FloatArray

    @property
    def weight(self) -> IntArray:
        return self.of[self.rows]

    def bounds(self, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        return self.low[self.rows[chosen]], self.high[self.rows[chosen]]

    def activations(self, chosen: IntArray) -> Expressions:
        return self.constraint.activations[self.rows[chosen]]

    def results(self) -> Expressions:
        return Expressions.variables(self.constraint.results[self.rows])


def _lower_by_values(
    builder: ProgrammeBuilder, distinct: IntArray, smallest: FloatArray, largest: FloatArray, part: _ProductPart
) -> Completion:
    """Add products of weights of few values, a binary for each value but the one that is nearest to zero."""
    count = len(part.rows)
    used = np.unique(part.weight)
    rest = np.clip(0.0, smallest, largest)
    lowest, highest = int(smallest[used].min()), int(largest[used].max())
    weights = Expressions.variables(distinct[used]).shifted(-rest[used])
    share = Expressions.constants(np.zeros(len(used)))
    total = part.activations(np.arange(count)).scaled(rest[part.weight])
    inside = Expressions.constants(np.zeros(count))
    several = highest - lowest > 1
    writers: list[Completion] = []
    for value in range(lowest, highest + 1):
        own = used[(smallest[used] <= value) & (value <= largest[used]) & (rest[used] != value)]
        if not len(own):
            continue
        binaries = np.full(len(distinct), -1)
        binaries[own] = builder.binaries(f"value{value}", len(own))
        chosen = np.flatnonzero(binaries[part.weight] >= 0)
        low, high = part.bounds(chosen)
        results = builder.variables(f"part{value}", np.minimum(low, 0.0), np.maximum(high, 0.0))
        on = Expressions.variables(binaries[part.weight[chosen]])
        parts = Expressions.variables(results)
        builder.rows((parts - on.scaled(high))[np.flatnonzero(high != 0)], upper=0.0)
        builder.rows((parts - on.scaled(low))[np.flatnonzero(low != 0)], lower=0.0)
        if several:
            # Implied by the rows of all values together, but of one binary: by these alone a product is seen to be a
            # multiple of its activation's step.
            activation = part.activations(chosen)
            builder.rows(parts - activation - on.scaled(low), upper=-low)
            builder.rows(parts - activation - on.scaled(high), lower=-high)
        placed = _placing(chosen, count)
        total = total + parts.scaled(value - rest[part.weight[chosen]]).linear(placed)
        inside = inside + parts.linear(placed)
        where = _placing(np.searchsorted(used, own), len(used))
        steps = Expressions.variables(binaries[own])
        weights = weights - steps.scaled(value - rest[own]).linear(where)
        share = share + steps.linear(where)
        writers.append(_value_writer(part, distinct[own], value, chosen))
    together = np.flatnonzero(np.diff(share.matrix.indptr) > 1)
    builder.rows(weights, 0.0, 0.0)
    builder.rows(share[together], upper=1.0)
    builder.rows(part.results() - total, 0.0, 0.0)
    free = np.flatnonzero(np.diff(inside.matrix.indptr) > 0)
    low, high = part.bounds(free)
    shares = share[np.searchsorted(used, part.weight[free])]
    outside = part.activations(free) - inside[free]
    builder.rows(outside + shares.scaled(low), lower=low)
    builder.rows(outside + shares.scaled(high), upper=high)
    return lambda point: np.concatenate([np.zeros(0), *(write(point) for write in writers)])


def _placing(rows: IntArray, size: int) -> Any:
    """Return the matrix that puts entries at places of a longer vector."""
    return sp.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(size, len(rows)))


def _value_writer(part: _ProductPart, weights: IntArray, value: int, chosen: IntArray) -> Completion:
    def write(point: FloatArray) -> FloatArray:
        on = (np.round(point[part.constraint.weights[part.rows[chosen]]]) == value).astype(np.float64)
        binaries = (np.round(point[weights]) == value).astype(np.float64)
        return np.concatenate([binaries, on * part.activations(chosen).value(point)])

    return write


def _lower_by_bits(
    builder: ProgrammeBuilder, distinct: IntArray, smallest: FloatArray, largest: FloatArray, part: _ProductPart
) -> Completion:
    """Add products of weights of many values, a binary for each bit."""
    every = np.arange(len(part.rows))
    used = np.unique(part.weight)
    low, high = part.bounds(every)
    activation, result = part.activations(every), part.results()
    bits = int(np.max(largest[used] - smallest[used])).bit_length()
    place = np.searchsorted(used, part.weight)
    encoded_weight, encoded_result = (
        Expressions.constants(smallest[used]),
        activation.scaled(smallest[part.weight]),
    )
    for t in range(bits):
        shared = Expressions.variables(builder.binaries(f"bit{t}", len(used)))
        bit = shared[place]
        piece = Expressions.variables(builder.variables(f"part{t}", np.minimum(low, 0.0), np.maximum(high, 0.0)))
        builder.rows(piece - bit.scaled(high), upper=0.0)
        builder.rows(piece - bit.scaled(low), lower=0.0)
        builder.rows(piece - activation - bit.scaled(low), upper=-low)
        builder.rows(piece - activation - bit.scaled(high), lower=-high)
        encoded_weight = encoded_weight + shared.scaled(2.0**t)
        encoded_result = encoded_result + piece.scaled(2.0**t)
    builder.rows(Expressions.variables(distinct[used]) - encoded_weight, 0.0, 0.0)
    builder.rows(result - encoded_result, 0.0, 0.0)

    def complete(point: FloatArray) -> FloatArray:
        rest = np.round(point[distinct[used]] - smallest[used]).astype(np.int64)
        values = activation.value(point)
        columns = []
        for t in range(bits):
            on = ((rest >> t) & 1).astype(np.float64)
            columns += [on, on[place] * values]
        return np.concatenate(columns)

    return complete


def lower_indicator(builder: ProgrammeBuilder, constraint: Indicator) -> tuple[Completion, Relus]:
    """Add ``z = active implies e <= 0`` as ``e <= U (1 - z)``, or ``e <= U z`` if active means zero.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Receives rows and binaries.
    constraint : Indicator

    Returns
    -------
    callable
        Computes the new variables' values from a point of all earlier ones.
    Relus
    """
    _, high = _tightest(builder, constraint.expressions, np.full(len(constraint.upper), -np.inf), constraint.upper)
    if not np.isfinite(high).all():
        raise UnsupportedModelError("an indicator needs a finite upper bound of its row to become a linear row")
    slack = _big_m(high)
    condition = Expressions.variables(constraint.conditions).scaled(slack)
    if constraint.active:
        builder.rows(constraint.expressions + condition, upper=slack)
    else:
        builder.rows(constraint.expressions - condition, upper=0.0)
    return lambda point: np.zeros(0), Relus.none()


def keep_bilinear(builder: ProgrammeBuilder, constraint: Bilinear) -> tuple[Completion, Relus]:
    """Leave a product of continuous expressions as it stands.

    Parameters
    ----------
    builder : ProgrammeBuilder
        Receives the constraint.
    constraint : Bilinear

    Returns
    -------
    callable
        There are no new variables to compute.
    Relus
    """
    builder.semantic(constraint)
    return lambda point: np.zeros(0), Relus.none()


LOWERINGS: Mapping[type, Callable[..., tuple[Completion, Relus]]] = {
    Maximum: lower_maximum,
    Product: lower_product,
    Indicator: lower_indicator,
    Bilinear: keep_bilinear,
}
"""How each semantic constraint becomes linear rows, where it can."""


def lower_programme(programme: Programme) -> Lowered:
    """Turn every semantic constraint except `Bilinear` into linear rows and binaries.

    Parameters
    ----------
    programme : Programme

    Returns
    -------
    Lowered
        Its feasible points, cut to the first variables, are those of `programme`, up to big-M constants that are
        rounded so that no point is lost.

    Raises
    ------
    UnsupportedModelError
        If an expression that needs a big-M has no finite bound.
    """
    builder = ProgrammeBuilder.extending(replace(programme, semantic=()))
    parts = [LOWERINGS[type(constraint)](builder, constraint) for constraint in programme.semantic]
    completions = tuple(complete for complete, _ in parts)
    relus = Relus.stack([found for _, found in parts])
    return Lowered(_without_tiny(builder.build()), completions, programme.size, relus)


def _without_tiny(programme: Programme) -> Programme:
    """Move coefficients that a float solver would take for zero into the sides of their rows.

    Soundness: ``c x`` is replaced by its worst value over the bounds of x, so no feasible point is lost.
    """
    matrix = programme.matrix
    magnitude = np.abs(matrix.data)
    of = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    largest = np.zeros(matrix.shape[0])
    np.maximum.at(largest, of, magnitude)
    reach = np.maximum(np.abs(programme.lower), np.abs(programme.upper))[matrix.indices]
    tiny = (magnitude > 0) & (magnitude < SMALLEST_COEFFICIENT * np.maximum(largest[of], 1.0)) & np.isfinite(reach)
    if not tiny.any():
        return programme
    slack = np.zeros(matrix.shape[0])
    np.add.at(slack, of[tiny], np.nextafter(magnitude[tiny] * reach[tiny], np.inf))
    slack *= 1 + 1e-12
    kept = matrix.copy()
    kept.data = np.where(tiny, 0.0, matrix.data)
    kept.eliminate_zeros()
    expressions = Expressions(kept, programme.rows.expressions.constant)
    lower = np.where(slack > 0, np.nextafter(programme.rows.lower - slack, -np.inf), programme.rows.lower)
    upper = np.where(slack > 0, np.nextafter(programme.rows.upper + slack, np.inf), programme.rows.upper)
    return replace(programme, rows=Rows(expressions, lower, upper))
