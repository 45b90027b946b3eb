"""The derivative test is sufficient, and exact where nothing cancels."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import boxes, networks, points_in
from verinet.bounds import InputSet, bound_network
from verinet.model import Domain, Op, Relu, dense_network, evaluate_exact
from verinet.model.ops import Input
from verinet.verify import derivative
from verinet.verify.gradient import PULLBACKS


@given(data=st.data())
def test_difference_quotients_have_the_enclosed_sign(data: st.DataObject) -> None:
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    output = data.draw(st.integers(0, network.size_out - 1))
    lower, upper, _ = derivative.derivative_range(bound_network(network, InputSet.of(domain)), output)
    high = domain.exact_box()[1]
    for point in points_in(domain, np.random.default_rng(0), 5):
        before = evaluate_exact(network, point)[output]
        for j in range(network.size_in):
            raised = (*point[:j], high[j], *point[j + 1 :])
            change = evaluate_exact(network, raised)[output] - before
            if lower[j] >= 0:
                assert change >= 0
            if upper[j] <= 0:
                assert change <= 0


def test_a_zero_derivative_is_zero_without_rounding() -> None:
    weights = [np.array([[0.1], [0.3]]), np.array([[0.7, 0.1]])]
    network = dense_network(weights, [np.array([0.1, -0.2]), np.zeros(1)])
    bounds = bound_network(network, InputSet.of(Domain.from_box([-1], [1])))
    lower, upper, _ = derivative.derivative_range(bounds, 0)
    assert lower[0] == 0
    assert upper[0] > 0


def test_stable_neurons_sharpen_the_range() -> None:
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -2.0]])], [np.array([5.0, -5.0]), np.zeros(1)])
    for width, sign in ((1, 1), (9, -1)):
        bounds = bound_network(network, InputSet.of(Domain.from_box([-width], [width])))
        lower, _, _ = derivative.derivative_range(bounds, 0)
        assert (lower[0] > 0) == (sign > 0)
    assert evaluate_exact(network, [Fraction(9)])[0] < evaluate_exact(network, [Fraction(5)])[0]


def test_every_operation_has_its_pullbacks() -> None:
    operations = set(Op.__args__) - {Input}
    assert set(derivative.PULLBACKS) == operations
    assert set(PULLBACKS) == operations
    assert Relu in operations
