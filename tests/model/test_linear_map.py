from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from tests.strategies import Weights, matrix_of, networks
from verinet.errors import InputError
from verinet.model import Affine, Convolution, Dense, Sparse

MAPS = {
    "dense": Dense(np.arange(6.0).reshape(2, 3) - 2),
    "sparse": Sparse.from_entries(np.array([2, 0, 0]), np.array([1, 2, 0]), np.array([1.5, -2.0, 0.25]), 4, 3),
    "empty": Sparse.from_entries(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 2, 3),
    "selection": Sparse.selection(np.array([2, 2, 0]), 3),
    "placement": Sparse.placement(np.array([3, 0]), 5),
    "diagonal": Sparse.diagonal(np.array([1.0, -2.0, 0.5])),
    "convolution": Convolution(np.arange(8.0).reshape(2, 1, 2, 2) - 3, (1, 3, 4), pads=(1, 0, 0, 1)),
    "strided": Convolution(np.arange(18.0).reshape(1, 2, 3, 3) - 7, (2, 5, 4), (2, 1), (1, 1, 1, 1)),
    "dilated": Convolution(np.arange(4.0).reshape(1, 1, 2, 2) + 1, (1, 5, 5), dilations=(2, 3)),
    "grouped": Convolution(np.arange(16.0).reshape(4, 1, 2, 2) - 8, (2, 3, 3), groups=2),
    "depthwise": Convolution(np.arange(12.0).reshape(3, 1, 2, 2), (3, 2, 3), (1, 2), (1, 1, 0, 1), (1, 1), 3),
}


def naive_convolution(c, x):
    """Compute a convolution entry by entry, from its definition."""
    filters, rows, columns = c.shape_out
    per_filter, (channels, height, width) = filters // c.groups, c.shape_in
    result = np.zeros(c.shape_out)
    for f, r, k in product(range(filters), range(rows), range(columns)):
        for channel, i, j in product(*(range(n) for n in c.weights.shape[1:])):
            source = f // per_filter * (channels // c.groups) + channel
            y = r * c.strides[0] + i * c.dilations[0] - c.pads[0]
            x_ = k * c.strides[1] + j * c.dilations[1] - c.pads[1]
            if 0 <= y < height and 0 <= x_ < width:
                result[f, r, k] += c.weights[f, channel, i, j] * x.reshape(c.shape_in)[source, y, x_]
    return result.ravel()


@pytest.mark.parametrize("linear_map", MAPS.values(), ids=MAPS)
class TestEveryMap:
    def test_all_forms_agree(self, linear_map):
        matrix = matrix_of(linear_map)
        assert matrix.shape == (linear_map.size_out, linear_map.size_in)
        x = np.random.default_rng(0).integers(-9, 9, (2, 3, linear_map.size_in)).astype(float)
        expected = x @ matrix.T
        np.testing.assert_array_equal(linear_map.apply(x), expected)
        np.testing.assert_array_equal(linear_map.to_sparse().apply(x), expected)
        np.testing.assert_array_equal(linear_map.apply(x[0, 0]), expected[0, 0])

    def test_transposed_is_the_adjoint(self, linear_map):
        matrix = matrix_of(linear_map)
        a = np.random.default_rng(1).integers(-9, 9, (4, linear_map.size_out)).astype(float)
        np.testing.assert_array_equal(linear_map.apply_transposed(a), a @ matrix)
        np.testing.assert_array_equal(linear_map.to_sparse().apply_transposed(a[0]), a[0] @ matrix)

    def test_python_integers_are_exact(self, linear_map):
        integers, denominator = linear_map.as_integers
        matrix = matrix_of(linear_map)
        assert denominator & (denominator - 1) == 0
        assert integers.weights.dtype == object
        # Entries far beyond 64 bits: any detour through a machine number would show.
        x = np.array([7**60 + k for k in range(linear_map.size_in)], dtype=object)
        rows = [[int(w * denominator) for w in row] for row in matrix]
        assert list(integers.apply(x)) == [sum(w * v for w, v in zip(row, x, strict=True)) for row in rows]
        a = np.array([11**50 - k for k in range(linear_map.size_out)], dtype=object)
        columns = zip(*rows, strict=True)
        assert list(integers.apply_transposed(a)) == [sum(w * v for w, v in zip(c, a, strict=True)) for c in columns]

    def test_longest_row_and_column_bound_the_products(self, linear_map):
        nonzero = matrix_of(linear_map) != 0
        assert linear_map.longest_row >= nonzero.sum(axis=1).max(initial=0)
        assert linear_map.longest_column >= nonzero.sum(axis=0).max(initial=0)

    def test_map_weights_keeps_the_structure(self, linear_map):
        doubled = linear_map.map_weights(lambda w: 2 * w)
        assert type(doubled) is type(linear_map)
        np.testing.assert_array_equal(matrix_of(doubled), 2 * matrix_of(linear_map))


@pytest.mark.parametrize("linear_map", MAPS.values(), ids=MAPS)
def test_absolute_takes_the_absolute_value_of_every_entry(linear_map):
    np.testing.assert_array_equal(matrix_of(linear_map.absolute), abs(matrix_of(linear_map)))


def test_longest_row_and_column_are_tight_for_sparse_maps():
    assert (MAPS["sparse"].longest_row, MAPS["sparse"].longest_column) == (2, 1)
    assert (MAPS["selection"].longest_row, MAPS["selection"].longest_column) == (1, 2)
    assert MAPS["empty"].longest_row == MAPS["empty"].longest_column == 0


@pytest.mark.parametrize("name", ["convolution", "strided", "dilated", "grouped", "depthwise"])
def test_convolution_follows_its_definition(name):
    convolution = MAPS[name]
    x = np.random.default_rng(2).integers(-9, 9, convolution.size_in).astype(float)
    np.testing.assert_array_equal(convolution.apply(x), naive_convolution(convolution, x))


@given(
    channels=st.integers(1, 2),
    filters=st.integers(1, 2),
    groups=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_any_convolution_follows_its_definition(channels, filters, groups, kernel, strides, pads, dilations, extra):
    height, width = (d * (k - 1) + 1 + e for k, d, e in zip(kernel, dilations, extra, strict=True))
    rng = np.random.default_rng(3)
    weights = rng.integers(-4, 5, (filters * groups, channels, *kernel)).astype(float)
    convolution = Convolution(weights, (channels * groups, height, width), strides, pads, dilations, groups)
    x = rng.integers(-9, 9, convolution.size_in).astype(float)
    expected = naive_convolution(convolution, x)
    np.testing.assert_array_equal(convolution.apply(x), expected)
    np.testing.assert_array_equal(matrix_of(convolution) @ x, expected)
    a = rng.integers(-9, 9, convolution.size_out).astype(float)
    np.testing.assert_array_equal(convolution.apply_transposed(a), a @ matrix_of(convolution))


def test_convolution_agrees_with_scipy():
    rng = np.random.default_rng(4)
    kernel, image = rng.integers(-4, 5, (3, 2)).astype(float), rng.integers(-9, 9, (6, 5)).astype(float)
    convolution = Convolution(kernel[None, None], (1, 6, 5))
    np.testing.assert_array_equal(
        convolution.apply(image.ravel()).reshape(convolution.shape_out[1:]), correlate2d(image, kernel, mode="valid")
    )


@given(networks(weights=Weights.FLOATS))
def test_as_integers_stores_every_float_exactly(network):
    for node in network.nodes:
        if isinstance(node.op, Affine):
            for linear_map in node.op.maps:
                integers, denominator = linear_map.as_integers
                flat = zip(integers.weights.ravel(), linear_map.weights.ravel(), strict=True)
                # Dividing Python integers rounds once, correctly: the float comes back only if the quotient is it.
                assert all(
                    float(w).as_integer_ratio()[0] * denominator == n * float(w).as_integer_ratio()[1] for n, w in flat
                )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dense(np.zeros(3)), "needs a matrix"),
        (lambda: Dense(np.array([[np.nan]])), "finite weights"),
        (lambda: Sparse.diagonal(np.array([np.inf])), "finite weights"),
        (lambda: Sparse.selection(np.array([3]), 3), "columns in 0..2"),
        (lambda: Sparse.selection(np.array([-1]), 3), "columns in 0..2"),
        (lambda: Sparse(np.ones(2), np.array([0, 1]), np.array([0, 1]), 2), "offsets"),
        (lambda: Sparse(np.ones(2), np.array([0, 1]), np.array([1, 2]), 2), "offsets"),
        (lambda: Sparse(np.ones(2), np.array([0, 1]), np.array([0, 2, 1, 2]), 2), "offsets"),
        (lambda: Convolution(np.zeros((1, 2, 2)), (1, 2, 2)), "4 axes"),
        (lambda: Convolution(np.zeros((1, 2, 2, 2)), (1, 2, 2)), "groups=1"),
        (lambda: Convolution(np.zeros((3, 1, 1, 1)), (2, 2, 2), groups=2), "groups=2"),
        (lambda: Convolution(np.zeros((1, 1, 3, 3)), (1, 2, 2)), "exceeds"),
        (lambda: Convolution(np.full((1, 1, 1, 1), np.nan), (1, 2, 2)), "finite weights"),
    ],
)
def test_bad_maps_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()
