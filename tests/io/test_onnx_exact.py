"""Float64 arithmetic that knows whether it rounded, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from verinet.io.exact import exact_product, exact_reciprocal, exact_sum

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-64, 64).map(lambda k: k / 8),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(a=numbers, b=numbers)
@example(a=1.0, b=2.0**-60)
@example(a=1e308, b=1e308)
@example(a=5e-324, b=0.5)
@example(a=2.0**-537, b=2.0**-537 * 1.5)
def test_exactness_is_never_claimed_wrongly(a, b):
    total, exact = exact_sum(np.array([a]), np.array([b]))
    fits = np.isfinite(total[0]) and Fraction(total[0]) == Fraction(a) + Fraction(b)
    assert exact == fits
    product, exact = exact_product(np.array([a]), np.array([b]))
    if exact:
        assert Fraction(product[0]) == Fraction(a) * Fraction(b)
    if a:
        inverse, exact = exact_reciprocal(np.array([a]))
        if exact:
            assert Fraction(inverse[0]) * Fraction(a) == 1


@pytest.mark.parametrize(("a", "b"), [(0.1, 2.0), (float(np.float32(0.1)), float(np.float32(0.3))), (0.0, 1e300)])
def test_products_that_fit_are_called_exact(a, b):
    assert exact_product(np.array([a]), np.array([b]))[1]


def test_powers_of_two_have_exact_reciprocals():
    assert exact_reciprocal(np.array([4.0, -0.5, 1.0]))[1]
    assert not exact_reciprocal(np.array([4.0, 3.0]))[1]
