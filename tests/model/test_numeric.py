"""The numbers that every room shares; exactness here is what the model's exactness rests on."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.numeric import float_down, float_up, gamma, integers_over_power_of_two

LARGEST = Fraction(float(np.finfo(np.float64).max))
SMALLEST = Fraction(math.ulp(0.0))

rationals = st.one_of(
    st.fractions(),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.sampled_from([LARGEST, LARGEST + 1, 2 * LARGEST, SMALLEST, SMALLEST / 3, Fraction(1, 3), Fraction(1, 10)]),
)


@given(rationals, st.sampled_from([1, -1]))
def test_directed_rounding_is_tight(value, sign):
    value = sign * value
    down, up = float_down(value), float_up(value)
    assert down == -math.inf or Fraction(down) <= value
    assert up == math.inf or Fraction(up) >= value
    after, before = math.nextafter(down, math.inf), math.nextafter(up, -math.inf)
    assert after == math.inf or Fraction(after) > value
    assert before == -math.inf or Fraction(before) < value


@pytest.mark.parametrize("value", [2 * LARGEST, Fraction(10) ** 400])
def test_beyond_the_largest_float(value):
    assert float_down(value) == float(LARGEST)
    assert float_up(value) == math.inf
    assert float_down(-value) == -math.inf
    assert float_up(-value) == -float(LARGEST)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_integers_over_a_power_of_two_are_the_floats(values):
    integers, denominator = integers_over_power_of_two(np.array(values, dtype=np.float64))
    assert denominator >= 1
    assert denominator & (denominator - 1) == 0
    assert all(type(n) is int for n in integers)
    assert [Fraction(n, denominator) for n in integers] == [Fraction(v) for v in values]


def test_the_denominator_is_no_larger_than_needed():
    assert integers_over_power_of_two(np.array([[4.0, 0.0], [-6.0, 0.5]]))[1] == 2
    assert integers_over_power_of_two(np.array([2.0**60]))[1] == 1


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_gamma_bounds_dot_products(terms, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, terms)) * 10.0 ** np.arange(terms)
    exact = sum(Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True))
    magnitude = sum(abs(Fraction(x) * Fraction(y)) for x, y in zip(a, b, strict=True))
    assert abs(Fraction(float(a @ b)) - exact) <= Fraction(gamma(terms)) * magnitude
    assert gamma(terms) < gamma(terms + 1) < 1e-14 * (terms + 2)
