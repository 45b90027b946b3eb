"""Questions about what a float type computes, answered by way of the exact real function.

``verified`` demands that the exact function has no counterexample even where every atom is loosened by a bound on all
rounding: of the network's evaluation in any order of summation, and of the comparison itself. ``violated`` demands a
point of the float type at which the model's own runtime confirms the counterexample, and exact evaluation too. In
between lies what rounding may decide either way: ``unknown``, with that as the reason.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import FloatFormat, InputSet, Rounded, rounding_bounds
from verinet.model import (
    Arithmetic,
    Atom,
    Conjunction,
    Domain,
    LinearExpression,
    Network,
    Query,
    Reduction,
    Region,
    Side,
    evaluate_exact,
)
from verinet.numeric import FloatArray
from verinet.verify.options import VerifyOptions
from verinet.verify.verdict import Answer, Verdict
from verinet.verify.verifier import verify_query
from verinet.verify.witness import make_witness

__all__ = ["FloatQuestion", "verify_float_query"]

SPARE_ROUNDINGS = 8
"""Roundings of a comparison beside those of its products and sums: literals, a quotient on the way to a bound."""


@dataclass(frozen=True, eq=False)
class FloatQuestion:
    """A query about what a float type computes.

    Parameters
    ----------
    query : Query
        The same about exact real numbers, on continuous boxes with linear conditions.
    spelled_out : Network or None
        The query's network with nodes of its own for each operator of the model files; None if there is none.
    kind : FloatFormat
    arithmetic : Arithmetic
    is_comparison : bool
        See `verify_query`.
    """

    query: Query
    spelled_out: Network | None
    kind: FloatFormat
    arithmetic: Arithmetic
    is_comparison: bool = False


def verify_float_query(question: FloatQuestion, options: VerifyOptions) -> Verdict:
    """Decide whether a float evaluation has a counterexample.

    Parameters
    ----------
    question : FloatQuestion
    options : VerifyOptions
        With a replay: without one no counterexample can be confirmed.

    Returns
    -------
    Verdict

    Notes
    -----
    Soundness: see the module, `rounding_bounds` for what "any order of summation" leaves out, and `verify_query`.
    """
    options = replace(options, started=time.monotonic() if options.started is None else options.started)
    name = question.kind.name
    exact = _asked(question, question.query, options)
    if exact.answer is Answer.UNKNOWN:
        return exact
    if exact.answer is Answer.VIOLATED:
        return _confirmed(question, exact, options) or _second_try(question, exact, options)
    if question.arithmetic is Arithmetic.OTHER:
        return _undecided(exact, f"the comparisons hold arithmetic of which no bound on {name} rounding is known")
    if question.spelled_out is None:
        return _undecided(exact, f"the network has operators for which no bound on {name} rounding is known")
    looser = _shifted(question, question.spelled_out, 1)
    if looser is None:
        return _undecided(exact, f"values of the network may overflow {name}")
    verdict = exact if looser is question.query else _asked(question, looser, options)
    if verdict.answer is Answer.VIOLATED:
        return _undecided(verdict, f"it holds for exact real numbers, but {name} rounding might decide otherwise")
    if verdict.answer is Answer.UNKNOWN:
        return verdict
    return replace(verdict, evidence=(*verdict.evidence, f"with {name} rounding in any order of summation"))


def _asked(question: FloatQuestion, query: Query, options: VerifyOptions) -> Verdict:
    return verify_query(query.network, query, options, is_comparison=question.is_comparison)


def _undecided(verdict: Verdict, reason: str) -> Verdict:
    remedy = "declare the variables real to ask about exact numbers"
    return Verdict(Answer.UNKNOWN, engine=verdict.engine, seconds=verdict.seconds, reason=f"{reason}; {remedy}")


def _second_try(question: FloatQuestion, exact: Verdict, options: VerifyOptions) -> Verdict:
    """Look for a counterexample that rounding cannot undo."""
    tighter = None
    if question.spelled_out is not None and question.arithmetic is not Arithmetic.OTHER:
        tighter = _shifted(question, question.spelled_out, -1)
    if tighter is not None and tighter is not question.query:
        verdict = _asked(question, tighter, options)
        found = _confirmed(question, verdict, options) if verdict.answer is Answer.VIOLATED else None
        if found is not None or verdict.timed_out:
            return found or verdict
    reason = (
        f"exact real numbers have a counterexample, but none was found that {question.kind.name} evaluation confirms"
    )
    return _undecided(exact, reason)


# Counterexamples


def _confirmed(question: FloatQuestion, verdict: Verdict, options: VerifyOptions) -> Verdict | None:
    """Return the verdict with a witness of the float type that its own evaluation confirms; None if there is none."""
    if verdict.witness is None or options.replay is None or question.arithmetic is Arithmetic.OTHER:
        return None
    kind = np.float32 if question.kind.name == "float32" else np.float64
    with np.errstate(over="ignore"):
        near = [kind(float(value)) for value in verdict.witness.point]
    for rounding in (lambda v, _: v, np.nextafter):
        # The nearest float first; then the one beside it, towards the exact point and so into the domain.
        moved = [_towards(v, exact, rounding) for v, exact in zip(near, verdict.witness.point, strict=True)]
        if not np.isfinite(moved).all():
            continue
        point = tuple(Fraction(float(v)) for v in moved)
        outputs = evaluate_exact(question.query.network, point)
        replayed = np.asarray(options.replay(point), dtype=np.float64)
        if not np.isfinite(replayed).all() or not _violates(question.query, point, outputs):
            continue
        if _violates_rounded(question, point, [Fraction(float(v)) for v in replayed]):
            identity = Reduction(question.query, (tuple(range(len(point))),))
            witness = make_witness(question.query.network, identity, point, options.replay)
            evidence = (*verdict.evidence, f"evaluation in {question.kind.name} confirms it")
            return replace(verdict, witness=witness, evidence=evidence)
    return None


def _towards(value: np.floating, exact: Fraction, rounding: Callable[..., np.floating]) -> np.floating:
    if not np.isfinite(value) or Fraction(float(value)) == exact:
        return value
    far = np.inf if exact > Fraction(float(value)) else -np.inf
    return rounding(value, type(value)(far))


def _violates(query: Query, point: Sequence[Fraction], outputs: Sequence[Fraction]) -> bool:
    return any(region.violated_at(point, outputs) for region in query.regions)


def _violates_rounded(question: FloatQuestion, point: Sequence[Fraction], outputs: Sequence[Fraction]) -> bool:
    """Decide whether a point is a counterexample however its comparisons are rounded."""

    def holds(atom: Atom) -> bool:
        parts = [abs(v) for v in _parts(atom.expression, point, outputs)]
        is_exact = _is_written_exactly(question, atom.expression) and _sums_exactly(question, parts)
        slack = Fraction(0) if is_exact else _own_slack(question, atom.expression, sum(parts))
        moved = _moved(atom, -slack)
        return replace(moved, strict=moved.strict or slack > 0).holds(point, outputs)

    def lies_within(domain: Domain) -> bool:
        ends = zip(domain.lower, point, domain.upper, strict=True)
        return all(_is_beyond(question, v, low, 1) and _is_beyond(question, v, high, -1) for low, v, high in ends)

    for region in question.query.regions:
        if not lies_within(region.domain):
            continue
        if all(map(holds, region.domain.conditions)) and any(all(map(holds, c)) for c in region.unsafe):
            return True
    return False


def _is_beyond(question: FloatQuestion, value: Fraction, bound: Fraction, sign: int) -> bool:
    """Decide whether a value keeps a bound, and keeps it strictly where the type has to round it."""
    slack = _literal_slack(question, bound)
    return sign * (value - bound) > slack if slack else sign * (value - bound) >= 0


# Loosening and tightening


def _shifted(question: FloatQuestion, network: Network, sign: int) -> Query | None:
    """Return the query with every atom and bound loosened (sign 1) or tightened (-1) by what rounding may do to it.

    The query itself if that is nothing; None if a value may overflow.
    """
    regions: list[Region] = []
    for region in question.query.regions:
        # Tightened atoms are bounded over the wider box too: it holds the narrower one.
        wide = _moved_box(question, region.domain, 1)
        box = wide if sign > 0 else _moved_box(question, region.domain, sign)
        if wide is None or box is None:
            continue
        rounded = rounding_bounds(network, InputSet.of(Domain(*wide)).box, question.kind)
        if rounded is None:
            return None
        shift = _Shift(question, wide, rounded, sign)
        domain = Domain(*box, conditions=shift.all(region.domain.conditions))
        regions.append(Region(domain, tuple(map(shift.all, region.unsafe))))
    same = len(regions) == len(question.query.regions) and tuple(regions) == question.query.regions
    return question.query if same else Query(question.query.network, tuple(regions))


Box = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def _moved_box(question: FloatQuestion, domain: Domain, sign: int) -> Box | None:
    """Return the box widened (or narrowed) by what rounding may do to its literals; None if that leaves nothing."""
    lower = tuple(v - sign * _literal_slack(question, v) for v in domain.lower)
    upper = tuple(v + sign * _literal_slack(question, v) for v in domain.upper)
    return None if any(low > high for low, high in zip(lower, upper, strict=True)) else (lower, upper)


def _literal_slack(question: FloatQuestion, value: Fraction) -> Fraction:
    """Return how far a bound on one entry may be from the number it is written as."""
    if question.kind.name == "float64":
        return abs(Fraction(float(value)) - value)
    with np.errstate(over="ignore"):
        nearest = float(np.float32(float(value)))
    # A number that the type cannot hold is compared as infinity; its slack only has to be more than the type's range.
    return abs(Fraction(nearest) - value) if np.isfinite(nearest) else abs(value)


def _rounding_slack(question: FloatQuestion, roundings: int, size: Fraction | int) -> Fraction:
    kind = question.kind
    return Fraction(kind.relative(roundings)) * size + 2 * roundings * Fraction(kind.smallest)


def _own_slack(question: FloatQuestion, expression: LinearExpression, size: Fraction | int) -> Fraction:
    """Return how far rounding may move the two sides of a comparison against each other.

    Parameters
    ----------
    question : FloatQuestion
    expression : LinearExpression
        Left side minus right side.
    size : Fraction
        Sum of the absolute values of its terms.
    """
    terms = expression.terms
    if all(abs(c) == 1 for _, c in terms) and (len(terms) == 1 or (len(terms) == 2 and not expression.constant)):
        # An entry against an entry, or against a literal that may have to be rounded.
        return _literal_slack(question, expression.constant) if expression.constant else Fraction(0)
    roundings = 2 * len(expression.terms) + SPARE_ROUNDINGS
    return _rounding_slack(question, roundings, size)


def _parts(expression: LinearExpression, inputs: Sequence[Fraction], outputs: Sequence[Fraction]) -> list[Fraction]:
    """Return the terms of an expression at a point, and its constant."""
    sides = {Side.INPUT: inputs, Side.OUTPUT: outputs}
    return [*(c * sides[s.side][s.index] for s, c in expression.terms), expression.constant]


def _is_written_exactly(question: FloatQuestion, expression: LinearExpression) -> bool:
    """Decide whether the type holds every literal."""
    return not any(_literal_slack(question, v) for v in (expression.constant, *(c for _, c in expression.terms)))


def _sums_exactly(question: FloatQuestion, parts: Sequence[Fraction]) -> bool:
    """Decide whether numbers can be added in any order without rounding: as whole multiples of one power of two."""
    denominator = max(part.denominator for part in parts)
    is_dyadic = all(part.denominator & (part.denominator - 1) == 0 for part in parts)
    fits = sum(parts) * denominator * Fraction(question.kind.unit) <= 1
    return is_dyadic and fits and denominator * Fraction(question.kind.smallest) <= 1


def _moved(atom: Atom, slack: Fraction) -> Atom:
    """Return the atom with room for a slack: ``expression <= slack``."""
    if not slack:
        return atom
    return Atom(LinearExpression(atom.expression.terms, atom.expression.constant - slack), atom.strict)


class _Shift:
    """Moves atoms by what rounding may do to them over a box."""

    def __init__(self, question: FloatQuestion, box: Box, rounded: Rounded, sign: int) -> None:
        self._question, self._sign = question, sign
        self._inputs = [max(abs(low), abs(high)) for low, high in zip(*box, strict=True)]
        self._errors = _fractions(rounded.error)
        self._outputs = [m + e for m, e in zip(_fractions(rounded.exact.magnitude), self._errors, strict=True)]

    def all(self, atoms: Conjunction) -> Conjunction:
        return tuple(map(self._one, atoms))

    def _one(self, atom: Atom) -> Atom:
        terms = atom.expression.terms
        slack = sum((abs(c) * self._errors[s.index] for s, c in terms if s.side is Side.OUTPUT), Fraction(0))
        size = sum(abs(part) for part in _parts(atom.expression, self._inputs, self._outputs))
        slack += _own_slack(self._question, atom.expression, size)
        return _moved(atom, self._sign * slack)


def _fractions(values: FloatArray) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]
