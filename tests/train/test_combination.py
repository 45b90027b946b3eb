"""Several networks become one that computes the same."""

import numpy as np
import pytest

from verinet.errors import InputError
from verinet.model import evaluate
from verinet.train import RawParameters, combine
from verinet.train.export import build_network

KINK = RawParameters(
    np.array([[1.0, 0.0]]), np.array([-0.5]), np.array([[2.0]]), np.array([[0.0, 1.0]]), np.array([3.0])
)
TRIPLE = RawParameters(
    np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([-1.5, 0.0]), np.array([[-1.0, 1.0]]), np.zeros((1, 2)), np.zeros(1)
)
FLAT = RawParameters(np.zeros((0, 2)), np.zeros(0), np.zeros((1, 0)), np.zeros((1, 2)), np.array([1.0]))


@pytest.mark.parametrize(
    ("parts", "multiples", "units"),
    [([KINK, TRIPLE, FLAT], True, 2), ([KINK, TRIPLE], False, 3), ([KINK, KINK], False, 1), ([FLAT, FLAT], True, 0)],
)
def test_outputs_stay_and_equal_units_stand_once(parts, multiples: bool, units: int) -> None:
    combined = combine(parts, multiples=multiples)
    assert combined.units == units
    x = np.random.default_rng(0).uniform(-2, 2, size=(50, 2))
    expected = np.column_stack([evaluate(build_network(part), x)[:, 0] for part in parts])
    np.testing.assert_allclose(evaluate(build_network(combined), x), expected, atol=1e-12)
    for number, part in enumerate(parts):
        again = build_network(combined.part(number))
        np.testing.assert_allclose(evaluate(again, x)[:, 0], expected[:, number], atol=1e-12)
        assert combined.part(number).nonzeros == part.nonzeros


def test_opposite_directions_are_two_units() -> None:
    opposite = RawParameters(-KINK.weights, -KINK.biases, KINK.outputs, KINK.skip, KINK.offsets)
    assert combine([KINK, opposite], multiples=True).units == 2


def test_no_outputs_are_refused() -> None:
    with pytest.raises(InputError, match="at least one output"):
        combine([], multiples=True)
