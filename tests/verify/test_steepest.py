"""The least Lipschitz constant is that of the steepest linear piece, and never below an exact quotient."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.model import (
    Atom,
    Domain,
    LinearExpression,
    Lipschitz,
    Norm,
    Side,
    Symbol,
    VariableType,
    dense_network,
    evaluate_exact,
    reduce_property,
)
from verinet.verify import OptimiseOptions, OptimumStatus, lipschitz_constant


def box(size: int, low: int = -1, high: int = 1) -> Domain:
    return Domain((Fraction(low),) * size, (Fraction(high),) * size)


def piecewise(seed: int, inputs: int, units: int):
    rng = np.random.default_rng(seed)
    weights, biases = rng.integers(-8, 9, (units, inputs)) / 4, rng.integers(-4, 5, units) / 8
    outputs = rng.integers(-8, 9, (1, units)) / 4
    return dense_network([weights, outputs], [biases, np.zeros(1)]), weights, biases, outputs[0]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(Norm))
def test_it_is_the_norm_of_the_steepest_piece(seed, norm) -> None:
    network, weights, biases, outputs = piecewise(seed, 2, 3)
    prop = Lipschitz("steep", (0, 1), 0, Fraction(7), norm)
    found = lipschitz_constant(network, box(2), prop, OptimiseOptions(absolute_gap=1e-9, timeout=5))
    # Pieces of two inputs are met by a fine grid, up to slivers.
    grid = np.stack(np.meshgrid(*[np.linspace(-0.999, 0.9987, 201)] * 2), axis=-1).reshape(-1, 2)
    active = np.unique(grid @ weights.T + biases > 0, axis=0)
    gradients = np.abs((active * outputs) @ weights)
    norms = gradients.sum(axis=1) if norm is Norm.LINF else gradients.max(axis=1)
    assert found.bound >= norms.max()
    assert found.value is not None
    assert found.value <= Fraction(found.bound)
    one, other = reduce_property(network, box(2), prop).invert(found.point)
    changes = [abs(a - b) for a, b in zip(one, other, strict=True)]
    distance = max(changes) if norm is Norm.LINF else sum(changes)
    assert abs(evaluate_exact(network, one)[0] - evaluate_exact(network, other)[0]) == found.value * distance
    if found.status is OptimumStatus.OPTIMAL:
        assert float(found.value) >= norms.max() - 1e-9


def test_a_planted_constant_is_found_with_its_pair() -> None:
    # f = relu(x) + 3 relu(x - 1/2) - 5 relu(y): slopes 4 in x beyond 1/2, -5 in y above 0.
    network = dense_network(
        [np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 3.0, -5.0]])],
        [np.array([0.0, -0.5, 0.0]), np.zeros(1)],
    )
    expected = {Norm.LINF: 9, Norm.L1: 5}
    for norm, constant in expected.items():
        found = lipschitz_constant(network, box(2), Lipschitz("f", (0, 1), 0, Fraction(1), norm))
        assert found.status is OptimumStatus.OPTIMAL
        assert found.value == constant
        assert found.bound == constant
    only_x = lipschitz_constant(network, box(2), Lipschitz("x", (0,), 0, Fraction(1)))
    assert only_x.value == only_x.bound == 4


def test_conditions_and_integers_count() -> None:
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, 3.0]])], [np.array([0.0, -0.5]), np.zeros(1)])
    below = Atom(LinearExpression(((Symbol(Side.INPUT, 0), Fraction(1)),), Fraction(-1, 4)))
    found = lipschitz_constant(network, box(1), Lipschitz("low", (0,), 0, Fraction(1), where=(below,)))
    assert found.value == 1
    assert found.bound == pytest.approx(1, abs=1e-6)
    whole = Domain((Fraction(0),), (Fraction(1),), (VariableType.INTEGER,))
    between = lipschitz_constant(network, whole, Lipschitz("whole", (0,), 0, Fraction(1)))
    # From 0 to 1 the output rises by 1 + 3/2, though it is steeper in between.
    assert between.value == evaluate_exact(network, (Fraction(1),))[0] == Fraction(5, 2)
    assert between.status is OptimumStatus.LIMIT
    assert between.bound >= 4
    assert "integers" in between.reason


def test_a_constant_output_and_a_limit() -> None:
    flat = dense_network([np.zeros((2, 2)), np.ones((1, 2))], [np.ones(2), np.zeros(1)])
    found = lipschitz_constant(flat, box(2), Lipschitz("flat", (0, 1), 0, Fraction(1)))
    assert (found.status, found.bound) == (OptimumStatus.OPTIMAL, 0.0)
    network, *_ = piecewise(3, 6, 20)
    stopped = lipschitz_constant(
        network, box(6), Lipschitz("wide", tuple(range(6)), 0, Fraction(1)), OptimiseOptions(timeout=0.0)
    )
    assert stopped.status is OptimumStatus.LIMIT
    assert stopped.bound >= float(stopped.value)
    assert "time limit" in stopped.reason
