from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from verinet.errors import InputError
from verinet.program import Expressions

VARIABLES = 4
quarters = st.integers(-8, 8).map(lambda k: k / 4)
# One range of magnitudes at a time: mixed, every extreme would drown in the largest.
EXTREMES = (
    st.floats(-3, 3),
    st.sampled_from([0.0, 1.0, -1.0, 0.1, 1e16, -1e16]),
    st.sampled_from([0.0, 1e-200, -1e-200, 5e-324, -5e-324, 2.0**-1022]),
    st.sampled_from([0.0, 1e160, -1e160, -1e300, 1.0]),
)


def matrices(elements):
    return st.integers(1, 3).flatmap(lambda n: hnp.arrays(np.float64, (n, VARIABLES), elements=elements))


def vectors(elements, size=VARIABLES):
    return hnp.arrays(np.float64, (size,), elements=elements)


def expressions_from(dense, constant):
    """Build expressions that know no more columns than they need, stored zeros included."""
    columns = int(np.flatnonzero(dense.any(axis=0)).max(initial=-1)) + 1
    entries = dense[:, :columns].ravel(), np.tile(np.arange(columns), len(dense)), columns * np.arange(len(dense) + 1)
    return Expressions(sp.csr_array(entries, shape=(len(dense), columns)), np.asarray(constant, dtype=float))


@st.composite
def pairs(draw):
    """Draw expressions and the same as a dense matrix with constants, all quarters: no operation rounds."""
    dense = draw(matrices(quarters))
    constant = draw(vectors(quarters, len(dense)))
    return expressions_from(dense, constant), (dense, constant)


def assert_equal(expressions, dense, constant):
    assert expressions.size == len(constant)
    matrix = expressions.widened(VARIABLES).matrix.toarray()
    np.testing.assert_array_equal(matrix, dense)
    np.testing.assert_array_equal(expressions.constant, constant)


@given(pairs(), pairs(), quarters, vectors(quarters))
def test_algebra_is_that_of_dense_matrices(first, second, factor, point):
    (a, (M, c)), (b, (N, d)) = first, second
    assert_equal(Expressions.stack([a, b]), np.vstack([M, N]), np.concatenate([c, d]))
    assert_equal(-a, -M, -c)
    assert_equal(a.scaled(factor), factor * M, factor * c)
    assert_equal(a.shifted(factor), M, c + factor)
    assert_equal(a.total(), M.sum(axis=0, keepdims=True), [c.sum()])
    np.testing.assert_array_equal(a.value(point), M @ point + c)
    if a.size == b.size:
        assert_equal(a + b, M + N, c + d)
        assert_equal(a - b, M - N, c - d)
        assert_equal(a.scaled(d), d[:, None] * M, d * c)
        assert_equal(a.shifted(d), M, c + d)
    else:
        with pytest.raises(InputError, match=f"sizes {a.size} and {b.size}"):
            a + b


@given(pairs(), st.integers(0, 2).flatmap(lambda n: hnp.arrays(np.float64, (n, 3), elements=quarters)))
def test_linear_maps_compose(pair, left):
    a, (M, c) = pair
    left = left[:, : a.size] if a.size <= 3 else left
    if left.shape[1] == a.size:
        assert_equal(a.linear(left), left @ M, left @ c)
        assert_equal(a.linear(sp.csr_array(left)), left @ M, left @ c)


@given(pairs(), st.data())
def test_indexing_picks_expressions(pair, data):
    a, (M, c) = pair
    index = data.draw(st.lists(st.integers(0, a.size - 1), min_size=1, max_size=4))
    assert_equal(a[np.array(index)], M[index], c[index])
    assert_equal(a[index[0]], M[index[:1]], c[index[:1]])
    assert_equal(a[1:], M[1:], c[1:])
    mask = np.arange(a.size) % 2 == 0
    assert_equal(a[mask], M[mask], c[mask])


def test_building():
    assert_equal(Expressions.variables([2, 0]), [[0, 0, 1, 0], [1, 0, 0, 0]], [0, 0])
    assert_equal(Expressions.constants([1.5]), np.zeros((1, VARIABLES)), [1.5])
    rows = Expressions.rows(np.array([[1.0, 2.0], [0.0, -3.0]]), [3, 1], np.array([4.0, 5.0]))
    assert_equal(rows, [[0, 2, 0, 1], [0, -3, 0, 0]], [4, 5])
    assert Expressions.variables([]).size == 0
    assert Expressions.variables([1]).widened(1).columns == 2


def test_rows_refuse_a_variable_that_is_named_twice():
    # Its two coefficients would be added in floating point behind the caller's back.
    with pytest.raises(InputError, match="twice"):
        Expressions.rows(np.array([[1e16, 1.0, -1e16]]), [0, 0, 0], np.zeros(1))


# -------------------------------------------------------------------------------------------------------- enclosures


@st.composite
def boxed(draw, *pools):
    """Draw expressions, a box of their variables with infinite ends, and a point of it."""
    elements = draw(st.sampled_from(pools))
    dense = draw(matrices(elements))
    constant = draw(vectors(elements, len(dense)))
    ends = np.sort(np.stack([draw(vectors(elements)), draw(vectors(elements))]), axis=0)
    shares = draw(vectors(st.sampled_from([0.0, 1.0, 0.5])))
    with np.errstate(all="ignore"):
        point = np.clip((1 - shares) * ends[0] + shares * ends[1], ends[0], ends[1])
    lower = np.where(
        draw(hnp.arrays(bool, VARIABLES, elements=st.integers(0, 7).map(lambda k: k == 7))), -np.inf, ends[0]
    )
    upper = np.where(
        draw(hnp.arrays(bool, VARIABLES, elements=st.integers(0, 7).map(lambda k: k == 7))), np.inf, ends[1]
    )
    return dense, constant, lower, upper, point


def exact_value(row, constant, point):
    return Fraction(constant) + sum(Fraction(w) * Fraction(v) for w, v in zip(row, point, strict=True))


def exact_range(row, constant, lower, upper):
    """Return the exact range, None where it is infinite."""
    ends = []
    for low, high in ((lower, upper), (upper, lower)):
        used = [low[i] if w > 0 else high[i] for i, w in enumerate(row) if w]
        finite = np.isfinite(used).all()
        padded = np.where(row > 0, low, np.where(row < 0, high, 0.0))
        ends.append(exact_value(row, constant, padded) if finite else None)
    return ends


@given(boxed(*EXTREMES))
def test_an_enclosure_contains_every_value_exactly(case):
    dense, constant, lower, upper, point = case
    for expressions in (expressions_from(dense, constant), Expressions(sp.csr_array(dense), constant).scaled(1.0)):
        smallest, largest = expressions.enclosure(lower, upper)
        assert not np.isnan(smallest).any()
        assert not np.isnan(largest).any()
        for i, row in enumerate(dense):
            least, most = exact_range(row, constant[i], lower, upper)
            value = exact_value(row, constant[i], point)
            assert smallest[i] == -np.inf or Fraction(smallest[i]) <= (value if least is None else least)
            assert largest[i] == np.inf or Fraction(largest[i]) >= (value if most is None else most)
            assert smallest[i] == -np.inf or least is not None
            assert largest[i] == np.inf or most is not None


@given(boxed(quarters))
def test_an_enclosure_is_tight(case):
    dense, constant, lower, upper, _ = case
    smallest, largest = expressions_from(dense, constant).enclosure(lower, upper)
    for i, row in enumerate(dense):
        least, most = exact_range(row, constant[i], lower, upper)
        # One infinite end must not cost the other its finite bound.
        assert (least is None) == (smallest[i] == -np.inf)
        assert (most is None) == (largest[i] == np.inf)
        assert least is None or float(least) - smallest[i] < 1e-13
        assert most is None or largest[i] - float(most) < 1e-13


def test_zero_times_infinity_is_zero():
    nothing = Expressions(sp.csr_array(([0.0], [0], [0, 1]), shape=(1, 1)), np.zeros(1))
    smallest, largest = nothing.enclosure(np.array([-np.inf]), np.array([np.inf]))
    assert abs(smallest[0]) < 1e-300
    assert abs(largest[0]) < 1e-300


def test_products_that_underflow_still_count():
    tiny = Expressions.variables([0]).scaled(1e-200)
    smallest, largest = tiny.enclosure(np.array([-1e-200]), np.array([1e-200]))
    assert smallest[0] < 0 < largest[0]


def test_variables_and_constants_keep_their_bounds():
    parts = Expressions.stack(
        [Expressions.variables([0]), -Expressions.variables([1]), Expressions.constants([0.0, 0.1])]
    )
    smallest, largest = parts.enclosure(np.array([0.0, -0.1]), np.array([1.0, 0.3]))
    np.testing.assert_array_equal(smallest, [0.0, -0.3, 0.0, 0.1])
    np.testing.assert_array_equal(largest, [1.0, 0.1, 0.0, 0.1])


def test_an_enclosure_overflows_to_infinity():
    big = Expressions.rows(np.array([[1e200, -1e200]]), [0, 1], np.zeros(1))
    smallest, largest = big.enclosure(np.array([1e200, 0.0]), np.array([1e200, 1e200]))
    assert smallest[0] == -np.inf
    assert largest[0] == np.inf


# --------------------------------------------------------------------------------------------------------- selections


def test_selections_are_recognised():
    parts = Expressions.stack(
        [
            Expressions.variables([1]),
            -Expressions.variables([0]),
            Expressions.constants([0.0]),
            Expressions.variables([1]).shifted(0.5),
            Expressions.variables([1]).scaled(2.0),
            Expressions.variables([0, 1]).total(),
        ]
    )
    np.testing.assert_array_equal(parts.is_selection, [True, True, True, False, False, False])


@given(pairs(), vectors(st.floats(-1, 1), 3), vectors(quarters))
def test_products_with_selections_do_not_round(pair, factors, point):
    """Whatever `is_selection` promises must hold: scaling such expressions by any float is exact."""
    a, (M, c) = pair
    scaled = a.scaled(factors[: a.size]).widened(VARIABLES)
    for i in np.flatnonzero(a.is_selection):
        exact = Fraction(factors[i]) * exact_value(M[i], c[i], point)
        assert exact_value(scaled.matrix.toarray()[i], scaled.constant[i], point) == exact
