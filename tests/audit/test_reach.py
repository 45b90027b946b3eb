"""An input counts as unread only if it truly changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import networks
from verinet.audit.page import network_page
from verinet.audit.reach import reached_inputs
from verinet.model import Affine, Dense, Input, Network, Node, dense_network, evaluate_exact_batch


def tiny() -> Network:
    """Two affine operations whose product underflows to zero in floats, and is not zero."""
    small = Affine((Dense(np.array([[1e-200]])),), np.zeros(1))
    return Network((Node("x", Input(1)), Node("a", small, ("x",)), Node("y", small, ("a",))), ("y",))


@settings(max_examples=30, deadline=None)
@given(networks())
def test_inputs_that_are_not_reached_change_nothing(network: Network) -> None:
    rest = sorted(set(range(network.size_in)) - set(reached_inputs(network)))
    x = np.random.default_rng(1).integers(-8, 9, (4, network.size_in)) / 4
    moved = x.copy()
    moved[:, rest] += 3.0
    assert evaluate_exact_batch(network, x) == evaluate_exact_batch(network, moved)


@pytest.mark.parametrize("output", [0, 1])
def test_reach_follows_one_output(output: int) -> None:
    assert reached_inputs(dense_network([np.eye(2)], [np.zeros(2)]), output) == (output,)


def test_an_effect_too_small_for_floats_is_still_read() -> None:
    assert reached_inputs(tiny()) == (0,)
    assert "1 of 1: faint" in network_page(tiny(), ["faint"], ["y"], title="t")
