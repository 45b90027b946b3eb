"""Float64 arithmetic that knows whether it rounded."""

import numpy as np

from verinet.numeric import BoolArray, FloatArray

__all__ = ["exact_product", "exact_reciprocal", "exact_sum"]

_SPLITTER = 2.0**27 + 1.0
_NO_UNDERFLOW = 2.0**-900
_NO_OVERFLOW = 2.0**900


def exact_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, bool]:
    """Return ``a + b`` in float64 and whether every entry is exact.

    References
    ----------
    Knuth, The Art of Computer Programming 2, section 4.2.2: the rounding error of a sum is a float and these six
    operations find it.
    """
    with np.errstate(all="ignore"):
        total = a + b
        part = total - a
        error = (a - (total - part)) + (b - part)
    # Overflow makes the error NaN, which differs from zero.
    return total, bool((error == 0).all())


def exact_product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, bool]:
    """Return ``a * b`` in float64 and whether every entry is exact.

    Products near the ends of the range of float64 are called inexact without further ado.

    References
    ----------
    Dekker, A floating-point technique for extending the available precision, Numerische Mathematik 18 (1971).
    """
    with np.errstate(all="ignore"):
        product = a * b
        a_high, a_low = _halves(a)
        b_high, b_low = _halves(b)
        error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
        size = np.abs(product)
        safe: BoolArray = (size > _NO_UNDERFLOW) & (size < _NO_OVERFLOW) & (error == 0)
    return product, bool((safe | (a == 0) | (b == 0)).all())


def _halves(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def exact_reciprocal(a: FloatArray) -> tuple[FloatArray, bool]:
    """Return ``1 / a`` in float64, no entry of `a` zero, and whether every entry is exact: a power of two."""
    mantissa, _ = np.frexp(a)
    with np.errstate(all="ignore"):
        inverse = 1.0 / a
    return inverse, bool(((np.abs(mantissa) == 0.5) & (inverse * a == 1.0)).all())
