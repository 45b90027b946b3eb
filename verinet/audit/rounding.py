"""Conditions and formulas in decimals that a person reads, rounded no further than the data allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import numpy as np

from verinet.audit.conditions import Condition, Rows
from verinet.audit.regions import AffineForm
from verinet.numeric import BoolArray

__all__ = ["DecimalCondition", "DecimalForm", "decimal_text", "round_condition", "round_form", "signed_sum"]

FEWEST_DIGITS, MOST_DIGITS = 3, 20
WIDEST_FIXED = 7
"""Places that a number may have before it is written with an exponent."""


@dataclass(frozen=True)
class DecimalCondition:
    """``terms . x > threshold``, in decimals that mean exactly what they show.

    Parameters
    ----------
    terms : tuple of (int, Decimal)
        Feature and coefficient, none zero.
    relation : str
        ``>``, ``>=``, ``<`` or ``<=``.
    threshold : Decimal
    """

    terms: tuple[tuple[int, Decimal], ...]
    relation: str
    threshold: Decimal

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Decide the condition as it is written at a point, exactly."""
        left = sum((Fraction(c) * x[j] for j, c in self.terms), Fraction(0))
        right = Fraction(self.threshold)
        return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[self.relation]

    def render(self, names: Sequence[str]) -> str:
        """Write the condition with names for the features."""
        return f"{signed_sum([(c, names[j]) for j, c in self.terms])} {self.relation} {decimal_text(self.threshold)}"


@dataclass(frozen=True)
class DecimalForm:
    """An affine function with rounded coefficients.

    Parameters
    ----------
    terms : tuple of (int, Decimal)
        Feature and coefficient, none zero.
    constant : Decimal
    """

    terms: tuple[tuple[int, Decimal], ...]
    constant: Decimal

    def value(self, x: Sequence[Fraction]) -> Fraction:
        """Evaluate the function as it is written, exactly."""
        return Fraction(self.constant) + sum((Fraction(c) * x[j] for j, c in self.terms), Fraction(0))

    def render(self, names: Sequence[str]) -> str:
        """Write the function with names for the features."""
        return signed_sum([(c, names[j]) for j, c in self.terms], self.constant)


def decimal_text(value: Decimal) -> str:
    """Write a decimal without needless zeros, and with an exponent only where it is very large or small."""
    if not value:
        return "0"
    value = value.normalize(Context(prec=max(len(value.as_tuple().digits), 1)))
    if -WIDEST_FIXED < value.adjusted() < WIDEST_FIXED:
        return f"{value:f}"
    digits, exponent = f"{value:e}".split("e")
    return f"{digits}e{int(exponent)}"


def signed_sum(terms: Sequence[tuple[Decimal, str]], constant: Decimal | None = None) -> str:
    """Write ``a * x - b * y + constant``; coefficients of one are left out, and so is a constant of zero."""
    parts = []
    for coefficient, name in terms:
        # The absolute value by `abs` would be rounded to 28 digits.
        magnitude = coefficient.copy_abs()
        size = "" if magnitude == 1 else f"{decimal_text(magnitude)} * "
        parts.append(f"{'-' if coefficient < 0 else '+'} {size}{name}")
    if constant or not parts:
        constant = constant or Decimal(0)
        parts.append(f"{'-' if constant < 0 else '+'} {decimal_text(constant.copy_abs())}")
    text = " ".join(parts)
    return text[2:] if text.startswith("+") else "-" + text[2:]


def _rounded(value: Fraction, digits: int, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    return Context(prec=digits, rounding=rounding).divide(Decimal(value.numerator), Decimal(value.denominator))


@dataclass(frozen=True, eq=False)
class _Gap:
    """Between which values a threshold may lie: above all rows that are to be below it, and the reverse.

    Parameters
    ----------
    below, above : Fraction or None
        The largest value of a row below and the smallest of a row above; None where there is no such row.
    """

    below: Fraction | None
    above: Fraction | None

    @classmethod
    def of(cls, coefficients: Sequence[Fraction], rows: Rows, is_above: BoolArray) -> "_Gap":
        low, high = rows.enclosed_values(coefficients)
        ends: list[Fraction | None] = []
        for chosen, sign in ((~is_above, 1), (is_above, -1)):
            if not chosen.any():
                ends.append(None)
                continue
            least, most = (low, high) if sign > 0 else (-high, -low)
            # Only rows whose enclosure reaches the best lower end can be the extreme one.
            candidates = np.flatnonzero(chosen & (most >= least[chosen].max()))
            values = rows.exact_values(coefficients, candidates.tolist())
            ends.append(max(values) if sign > 0 else min(values))
        return cls(*ends)

    def allows(self, threshold: Fraction, strict: bool) -> bool:
        """Return whether ``value > threshold`` (or ``>=``) parts the rows as it should."""
        if strict:
            fits_below = self.below is None or self.below <= threshold
            return fits_below and (self.above is None or threshold < self.above)
        fits_below = self.below is None or self.below < threshold
        return fits_below and (self.above is None or threshold <= self.above)


def round_condition(condition: Condition, rows: Rows) -> DecimalCondition:
    """Write a condition in as few digits as keep its truth at every row.

    Parameters
    ----------
    condition : Condition
    rows : Rows

    Returns
    -------
    DecimalCondition
        The coefficient of the feature that matters most over the data is 1. It holds at exactly the rows where the
        condition holds: the values of all rows on either side are compared in rational arithmetic. Between rows it may
        differ a little, and ``>=`` may stand for ``>`` where no row is at the threshold.
    """
    is_true = rows.truth(condition)
    leading = condition.coefficients[_leading(condition, rows)]
    turned = leading < 0
    exact = [Fraction(c, abs(leading)) for c in condition.coefficients]
    threshold = -condition.constant / abs(leading)
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        decimals = [_rounded(c, digits) if c else Decimal(0) for c in exact]
        gap = _Gap.of([Fraction(d) for d in decimals], rows, is_true)
        for strict in (condition.strict, not condition.strict):
            for rounding in (ROUND_HALF_EVEN, ROUND_FLOOR, ROUND_CEILING):
                candidate = _rounded(threshold, digits, rounding)
                if gap.allows(Fraction(candidate), strict):
                    return _decimal_condition(decimals, candidate, strict, turned)
    return _in_full(condition, turned)


def _leading(condition: Condition, rows: Rows) -> int:
    """Return the feature that moves the condition's left side most over the data."""
    low, high = rows.box
    return max(condition.features, key=lambda j: abs(condition.coefficients[j]) * (high[j] - low[j]))


def _in_full(condition: Condition, turned: bool) -> DecimalCondition:
    """Write a condition without any rounding, in whole numbers."""
    factor = condition.constant.denominator
    whole = [Decimal(c * factor) for c in condition.coefficients]
    return _decimal_condition(whole, Decimal(-condition.constant.numerator), condition.strict, turned)


def _decimal_condition(
    coefficients: Sequence[Decimal], threshold: Decimal, strict: bool, turned: bool
) -> DecimalCondition:
    """Build the condition; where the leading coefficient is negative, both sides change their signs."""
    relation = ("<" if turned else ">") + ("" if strict else "=")
    terms = tuple((j, _signed(c, turned)) for j, c in enumerate(coefficients) if c)
    return DecimalCondition(terms, relation, _signed(threshold, turned))


def _signed(value: Decimal, turned: bool) -> Decimal:
    """Change a sign, or not; arithmetic with decimals would round to 28 digits."""
    return value.copy_negate() if turned and value else value


def round_form(
    form: AffineForm, rows: Rows, members: Sequence[int], tolerance: Fraction, keep_sign: bool
) -> tuple[DecimalForm, Fraction]:
    """Write an affine function in as few digits as keep its values at some rows nearly.

    Parameters
    ----------
    form : AffineForm
    rows : Rows
    members : sequence of int
        The rows that matter.
    tolerance : Fraction
        How far the written function may be off there.
    keep_sign : bool
        Whether its values must also be positive exactly where the function's are.

    Returns
    -------
    DecimalForm
    deviation : Fraction
        How far it is off at most at these rows, exactly.
    """
    exact = [value + form.constant for value in rows.exact_values(form.coefficients, members)]
    written, deviation = DecimalForm((), Decimal(0)), Fraction(0)
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        decimals = [_rounded(c, digits) if c else Decimal(0) for c in form.coefficients]
        values = rows.exact_values([Fraction(d) for d in decimals], members)
        constant = _rounded(form.constant, max(digits, _digits_for(form.constant, tolerance)))
        found = [value + Fraction(constant) for value in values]
        written = DecimalForm(tuple((j, d) for j, d in enumerate(decimals) if d), constant)
        deviation = max((abs(a - b) for a, b in zip(exact, found, strict=True)), default=Fraction(0))
        signs = not keep_sign or all((a > 0) == (b > 0) for a, b in zip(exact, found, strict=True))
        if deviation <= tolerance and signs:
            break
    return written, deviation


def _digits_for(value: Fraction, tolerance: Fraction) -> int:
    """Return how many digits of a number stand above a tenth of a tolerance."""
    if not value or not tolerance:
        return FEWEST_DIGITS
    ratio = abs(value) / tolerance
    magnitude = (ratio.numerator.bit_length() - ratio.denominator.bit_length()) * math.log10(2)
    return min(max(math.ceil(magnitude) + 1, FEWEST_DIGITS), MOST_DIGITS)
