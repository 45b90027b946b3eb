"""Number conventions shared by all rooms: array aliases, directed rounding, tolerances.

A float is always float64 and means exactly the dyadic rational it stores. A decimal of a property file is a
`fractions.Fraction` until it has to become a float; then the caller says in which direction rounding is safe.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLAIM_TOLERANCE",
    "FEASIBILITY_TOLERANCE",
    "SMALLEST_FLOAT",
    "UNIT_ROUNDOFF",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "ObjectArray",
    "float_down",
    "float_up",
    "gamma",
    "integers_over_power_of_two",
    "readable",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ObjectArray = NDArray[np.object_]

SMALLEST_FLOAT = 2.0**-1074
"""No rounding to a subnormal number is off by more."""

UNIT_ROUNDOFF = 2.0**-53
"""Relative error of one float64 operation, rounded to nearest."""

FEASIBILITY_TOLERANCE = 1e-9
"""The tightest row tolerance that Gurobi and HiGHS both accept (HiGHS goes to 1e-10)."""

CLAIM_TOLERANCE = 1e-6
"""How far from its threshold a solver's bound must be before it counts as a claim.

A MIP solver allows each row and integrality to be off by about 1e-9 and sums of such errors are amplified by the
network's weights, so a bound nearer than this to the threshold decides nothing and goes to an exact engine.
"""


def gamma(terms: int) -> float:
    """Bound the relative error of a float64 dot product of `terms` products, in any order of summation.

    Parameters
    ----------
    terms : int
        Number of products.

    Returns
    -------
    float
        ``n u / (1 - n u)`` with two operations to spare, rounded up.

    References
    ----------
    Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.
    """
    product = (terms + 2) * UNIT_ROUNDOFF
    return math.nextafter(product / (1.0 - product) * (1.0 + 4 * UNIT_ROUNDOFF), math.inf)


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def float_down(value: Fraction) -> float:
    """Return the largest float64 that is at most `value`."""
    nearest = _nearest(value)
    if nearest == -math.inf:
        return nearest
    if nearest == math.inf or Fraction(nearest) > value:
        return math.nextafter(nearest, -math.inf)
    return nearest


def float_up(value: Fraction) -> float:
    """Return the smallest float64 that is at least `value`."""
    # Adding zero turns the negative zero of float_up(0) into zero.
    return -float_down(-value) + 0.0


def readable(value: Fraction) -> str:
    """Write a rational for people: whole numbers in full, others to nine digits, of any size."""
    if value.denominator == 1 and abs(value.numerator) < 10**15:
        return str(value.numerator)
    nearest = _nearest(value)
    return f"{nearest:.9g}" if math.isfinite(nearest) else f"{'-' if value < 0 else ''}1e{_magnitude(value)}"


def _magnitude(value: Fraction) -> int:
    """Return the power of ten of a number too large for a float, roughly."""
    bits = abs(value.numerator).bit_length() - value.denominator.bit_length()
    return int(bits * math.log10(2))


def integers_over_power_of_two(values: FloatArray) -> tuple[ObjectArray, int]:
    """Write finite floats as integers over one power of two, exactly.

    Parameters
    ----------
    values : ndarray of float
        Finite, any shape.

    Returns
    -------
    integers : ndarray of Python int, same shape
    denominator : int
        The power of two, at least 1: ``values == integers / denominator``.
    """
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    trailing_zeros = np.log2(np.maximum(whole & -whole, 1).astype(np.float64)).astype(np.int64)
    place = exponent.astype(np.int64) - 53 + trailing_zeros
    nonzero = whole != 0
    lowest = int(min(place[nonzero].min(), 0)) if nonzero.any() else 0
    shift = np.where(nonzero, place - lowest, 0)
    integers = (whole >> trailing_zeros).astype(object) << shift.astype(object)
    return np.asarray(integers, dtype=object), 1 << -lowest
