"""Decimal literals and the rational numbers they mean, in both directions and exactly."""

import re
from decimal import Decimal
from fractions import Fraction

from verinet.errors import InputError
from verinet.io.names import quoted

__all__ = ["approximate", "checked", "exact_decimal", "finite_decimal", "parse_decimal"]

MOST_DIGITS = 4000
"""The longest literal and the largest exponent that are read.

Every float64 has fewer digits (the smallest takes 1074 places); an exponent of a billion would fill the memory.
"""

MOST_BITS = 100_000
"""The longest numerator or denominator that arithmetic in a file may build up."""

_LITERAL = re.compile(r"[+-]?(?=\.?[0-9])[0-9]*(?:\.[0-9]*)?(?:[eE](?P<exponent>[+-]?[0-9]+))?")


def parse_decimal(text: str) -> Fraction:
    """Return the number that a decimal literal means, exactly.

    Parameters
    ----------
    text : str
        Digits with an optional sign, point and exponent, such as ``-2.5e-3``.

    Returns
    -------
    Fraction

    Raises
    ------
    InputError
        If it is not such a literal, has more than 4000 digits, or lies beyond the range of float64.
    """
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise InputError(f"expected a decimal number such as -2.5e-3, found {quoted(text)}")
    if len(text) > MOST_DIGITS or abs(int(match["exponent"] or 0)) > MOST_DIGITS:
        raise InputError(
            f"a number may have at most {MOST_DIGITS} digits and an exponent of at most {MOST_DIGITS}, found "
            f"{quoted(text)}"
        )
    return checked(Fraction(text))


def checked(value: Fraction) -> Fraction:
    """Return the number itself if later stages can work with it.

    Raises
    ------
    InputError
        If it is 2**1023 or more in size, so that it may have no float64 near it, or is a fraction of huge integers.
    """
    above, below = value.numerator.bit_length(), value.denominator.bit_length()
    if above - below > 1022:
        raise InputError("expected numbers of less than 2**1023 in size, found a larger one; rescale it")
    if max(above, below) > MOST_BITS:
        raise InputError(
            f"expected numbers of at most {MOST_BITS} bits, arithmetic built a longer one; round its operands"
        )
    return value


def finite_decimal(value: Fraction) -> str | None:
    """Write a number with all its decimal digits; None if they never end, as for 1/3."""
    twos = (value.denominator & -value.denominator).bit_length() - 1
    odd, fives = value.denominator >> twos, 0
    while odd % 5 == 0:
        odd, fives = odd // 5, fives + 1
    if odd != 1:
        return None
    places = max(twos, fives)
    # Decimal turns any integer into digits; str() refuses those of more than 4300.
    digits = format(Decimal(abs(value.numerator) * (10**places // value.denominator)), "f").zfill(places + 1)
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def exact_decimal(value: Fraction) -> str:
    """Write a number with all its decimal digits.

    Raises
    ------
    InputError
        If they never end.
    """
    text = finite_decimal(value)
    if text is None:
        raise InputError(
            f"expected a number with finitely many decimal digits, found {value}; choose a decimal near it"
        )
    return text


def approximate(value: Fraction) -> str:
    """Write a number for a sentence, in nine digits."""
    return f"{float(checked(value)):.9g}"
