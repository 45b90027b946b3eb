"""Decimal literals mean exactly what they say, and say exactly what is meant."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import InputError
from verinet.io.decimals import checked, exact_decimal, finite_decimal, parse_decimal


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e300"), max_value=Decimal("1e300")))
def test_a_literal_is_read_exactly(number: Decimal) -> None:
    assert parse_decimal(str(number)) == Fraction(number)


@given(st.floats(min_value=-8e307, max_value=8e307))
def test_a_float_survives_writing_and_reading(number: float) -> None:
    assert parse_decimal(exact_decimal(Fraction(number))) == Fraction(number)


@given(st.integers(), st.integers(1, 400))
def test_a_fraction_has_a_finite_decimal_only_for_twos_and_fives(numerator: int, denominator: int) -> None:
    value = Fraction(numerator, denominator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    text = finite_decimal(value)
    assert (text is not None) == (rest == 1)
    assert text is None or Fraction(text) == value


@pytest.mark.parametrize(
    "text", ["", ".", "e5", "1e", "0x10", "1_0", "nan", "inf", "--1", "1.2.3", " 1", "1/3", "\u0661", "1e1.5"]
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="decimal number"):
        parse_decimal(text)


@pytest.mark.parametrize("text", ["1e999999999999", "1e-999999999999", "1" * 5000, "1e400", "-1e309"])
def test_numbers_that_would_fill_the_memory_or_leave_the_range_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_decimal(text)


@pytest.mark.parametrize(
    ("text", "value"), [("5.", Fraction(5)), (".5", Fraction(1, 2)), ("-1E-2", Fraction(-1, 100)), ("+3", Fraction(3))]
)
def test_all_forms_of_literals_are_read(text: str, value: Fraction) -> None:
    assert parse_decimal(text) == value


def test_long_integers_are_written_in_full() -> None:
    assert exact_decimal(Fraction(1, 2**5000)).endswith("5")
    assert len(exact_decimal(Fraction(10**6000))) == 6001
    assert exact_decimal(Fraction(-1, 8)) == "-0.125"


def test_endless_decimals_and_oversized_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="finitely many"):
        exact_decimal(Fraction(1, 3))
    with pytest.raises(InputError, match=r"2\*\*1023"):
        checked(Fraction(2**1024))
    with pytest.raises(InputError, match="bits"):
        checked(Fraction(2**200_001, 2**200_001 + 1))
